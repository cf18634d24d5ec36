"""Real Git repositories, made with git itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.desired.state import DesiredModel
from reconciler.ports import SourceStatus
from reconciler.settings import GitSettings
from reconciler.source.git import GitSource

_WHO = {
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@example.org",
    "GIT_COMMITTER_NAME": "Raj",
    "GIT_COMMITTER_EMAIL": "raj@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Origin:
    """A repository with a work tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--initial-branch", "main")

    def git(self, *arguments: str, stdin: str = "") -> str:
        """Run git and return what it prints."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            check=True,
            capture_output=True,
            text=True,
            input=stdin,
            env={**os.environ, **_WHO},
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | None], subject: str = "Change") -> str:
        """Write files (None: delete), commit, and return the commit's id."""
        for name, text in files.items():
            target = self.path / name
            if text is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_minutes(self, minutes: int) -> None:
        """Move on."""
        self.now += timedelta(minutes=minutes)


@dataclass
class Kept:
    """What survives a restart of whoever follows."""

    specs: dict[str, DesiredModel] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)

    def last_good(self) -> Mapping[str, DesiredModel]:
        """Return the last good specs."""
        return self.specs

    def acted_on(self, line: str) -> str | None:
        """Return the commit acted on last."""
        return self.lines.get(line)


class Follower:
    """A source, what is remembered of it, and its clock."""

    def __init__(self, state_dir: Path, settings: GitSettings, kept: Kept | None = None) -> None:
        self.clock = Clock()
        self.kept = kept or Kept()
        self.source = GitSource(settings, state_dir, self.clock, self.kept)

    def act(self) -> SourceStatus:
        """Fetch and take over, as the loop does; return how the source stands."""
        status = self.source.fetch()
        self.models()
        if status.commit is not None:
            self.kept.lines[status.line] = status.commit.id
        return status

    def models(self) -> Mapping[str, DesiredModel]:
        """Return the models at the last good commit, and remember them."""
        state = self.source.desired()
        assert state is not None
        self.kept.specs = {name: m for name, m in state.models.items() if not m.stale and not m.removed}
        return state.models
