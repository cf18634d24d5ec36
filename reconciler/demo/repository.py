"""The demo's Git repository: a copy of example-repo, and the commits that the story makes in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from reconciler.errors import Refused

Mode = Literal["Knative", "Standard"]
Flavour = Literal["knative", "istio"]
FLAVOURS: tuple[Flavour, ...] = ("knative", "istio")
_ANALYSIS = "    analysis:\n"
_CHECKS = """\
      - name: errors
        interval: 5s
        prometheus: {{template: error-rate, flavour: {flavour}, window: 10s, max: 0.01}}
      - name: latency
        interval: 5s
        prometheus: {{template: latency-p95, flavour: {flavour}, window: 10s, max: 5}}
"""
AUTHOR = ("Ana", "ana@example.org")
FIRST = "Describe two models: iris and diabetes"
SERVE = "Serve in {mode} mode"
ASK, ASK_NOBODY = "Ask Prometheus for errors and latency too", "Ask nobody but the probe"


def example_repository() -> Path:
    """Return the folder that is copied: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "example-repo", here.parent.parent / "example-repo"):
        if (folder / "models").is_dir():
            return folder
    raise Refused("the example repository is missing", help="install model-reconciler again")


@dataclass(frozen=True, slots=True)
class Edit:
    """One line of a file, before and after."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DemoRepository:
    """A work tree on branch main."""

    folder: Path

    @staticmethod
    def open(folder: Path) -> DemoRepository:
        """Open the repository, made from the example the first time."""
        repository = DemoRepository(folder)
        if not (folder / ".git").is_dir():
            shutil.copytree(example_repository(), folder, ignore=shutil.ignore_patterns("__pycache__"))
            repository.git("init", "--quiet", "--initial-branch=main")
            repository.commit(FIRST)
        return repository

    def git(self, *arguments: str) -> str:
        """Run git in the work tree and return what it prints."""
        name, mail = AUTHOR
        identity = ["-c", f"user.name={name}", "-c", f"user.email={mail}", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def beyond(self, told: Iterable[str]) -> list[str]:
        """Return the commits that somebody else made than the demo, the newest first; `told` are the stories' own."""
        ours = {FIRST, ASK, ASK_NOBODY, *told, *(SERVE.format(mode=mode) for mode in get_args(Mode))}
        lines = (line.partition(" ") for line in self.git("log", "--format=%h %s").splitlines())
        return [f"{commit} {subject}" for commit, _, subject in lines if subject not in ours]

    def serve_in(self, mode: Mode) -> None:
        """Have every model served in a mode of KServe."""
        said = re.compile(r"^    mode: \w+$", re.MULTILINE)
        self._rewrite(lambda text: said.sub(f"    mode: {mode}", text), SERVE.format(mode=mode))

    def ask(self, flavour: Flavour | None) -> None:
        """Have every model's checks ask Prometheus, in the words of these metrics, or (None) nobody but the probe."""

        def asking(text: str) -> str:
            for known in FLAVOURS:
                text = text.replace(_CHECKS.format(flavour=known), "")
            more = _CHECKS.format(flavour=flavour) if flavour else ""
            return text.replace(_ANALYSIS, _ANALYSIS + more)

        self._rewrite(asking, ASK if flavour else ASK_NOBODY)

    def _rewrite(self, change: Callable[[str], str], message: str) -> None:
        """Change the text of every model, and commit if that made a difference."""
        for path in sorted((self.folder / "models").glob("*.yaml")):
            path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        if self.git("status", "--porcelain", "models"):
            self.commit(message)

    def edit(self, edit: Edit, message: str) -> bool:
        """Make one edit and commit it; False when the line is not there (somebody changed it already)."""
        path = self.folder / edit.file
        text = path.read_text(encoding="utf-8")
        if edit.before not in text:
            return False
        path.write_text(text.replace(edit.before, edit.after, 1), encoding="utf-8")
        self.commit(message)
        return True
