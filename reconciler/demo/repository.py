"""The demo's Git repository: a copy of example-repo, and the commits that the story makes in it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Refused

AUTHOR = ("Ana", "ana@example.org")


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
            repository.commit("Describe two models: iris and diabetes")
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

    def edit(self, edit: Edit, message: str) -> bool:
        """Make one edit and commit it; False when the line is not there (somebody changed it already)."""
        path = self.folder / edit.file
        text = path.read_text(encoding="utf-8")
        if edit.before not in text:
            return False
        path.write_text(text.replace(edit.before, edit.after, 1), encoding="utf-8")
        self.commit(message)
        return True
