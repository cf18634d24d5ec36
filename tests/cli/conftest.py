"""The console script as people and scripts start it, and repositories to start it in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
import pytest
from typer.testing import CliRunner, Result

from reconciler.cli.app import app
from reconciler.redaction import Redactor
from reconciler.settings import HttpSettings
from reconciler.status import ModelStatus
from reconciler.web.app import View, create_app
from reconciler.web.server import Server, allowed_hosts, listen, url_of

EXAMPLE = Path(__file__).parents[2] / "example-repo"
WHO = pygit2.Signature("Ana", "ana@example.org", 1_787_000_000, 0)

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin each test in an empty folder, with no settings in the environment; processes find the package."""
    for name in [name for name in os.environ if name.startswith("RECONCILER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLE.parent))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Run:
    """Return a function that runs a command; its output is a pipe."""

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


class Repository:
    """A clone with the example's files, to be edited and committed."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(EXAMPLE, folder)
        self.folder = folder
        self.git = pygit2.init_repository(str(folder), initial_head="main")
        self.main = self.commit("Two models")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text of a file; it must be there."""
        file = self.folder / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def commit(self, subject: str) -> str:
        """Commit everything; return the short id."""
        index = self.git.index
        index.add_all()
        index.write()
        parents = [] if self.git.head_is_unborn else [self.git.head.target]
        return str(self.git.create_commit("HEAD", WHO, WHO, subject, index.write_tree(), parents))[:7]

    def branch(self, name: str) -> None:
        """Create a branch here, and be on it."""
        self.git.branches.local.create(name, self.git.head.peel(pygit2.Commit))
        self.git.set_head(f"refs/heads/{name}")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Make a repository from the example, and be in it."""
    made = Repository(tmp_path / "models")
    monkeypatch.chdir(made.folder)
    return made


@contextmanager
def serving(*models: ModelStatus) -> Iterator[str]:
    """Serve the API with these models; give its URL."""
    view = View(
        names=lambda: {model.name for model in models},
        statuses=lambda: {model.name: model for model in models},
        systems=dict,
        sick=lambda: (),
        unready=lambda: (),
        metrics=bytes,
    )
    listener = listen(HttpSettings(port=0))
    server = Server(create_app(view, Redactor(), allowed_hosts("127.0.0.1")), listener)
    server.start()
    try:
        yield url_of(listener)
    finally:
        server.stop()
