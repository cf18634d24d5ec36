"""The Git repository that a folder lies in, read for plans and never written. pygit2 here as in `git`, its home."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

from reconciler.desired.files import Digest
from reconciler.desired.state import Commit
from reconciler.errors import Refused, Terminal
from reconciler.source.tree import TreeCache, TreeSnapshot

# What a reconciler most likely follows; the remote's first, for a local branch may be behind or ahead of it.
DEFAULT_BASES = ("origin/main", "main", "origin/master", "master")

# The tree that every Git knows, also where no repository holds it: a folder that a commit does not have.
EMPTY_TREE = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")


@dataclass(frozen=True, slots=True)
class Worktree:
    """A repository, and where in it the folder lies that holds the documents."""

    repository: pygit2.Repository
    folder: str

    def resolve(self, ref: str) -> Commit:
        """Return the commit that a branch, tag or id names. Raises Refused."""
        try:
            return _commit(self.repository.revparse_single(ref).peel(pygit2.Commit))
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise Refused(
                f"there is no commit {ref} in {self.repository.workdir or self.repository.path}",
                help="name a branch, a tag or a commit; in CI the history may have to be fetched first (depth 0)",
            ) from error

    def head(self) -> Commit | None:
        """Return the commit that is checked out, None before the first."""
        return None if self.repository.head_is_unborn else self.resolve("HEAD")

    def is_changed(self) -> bool:
        """Return whether a file of the folder that Git knows differs from HEAD."""
        prefix = f"{self.folder}/" if self.folder else ""
        return any(delta.old_file.path.startswith(prefix) for delta in self.repository.diff("HEAD").deltas)

    def default_base(self) -> tuple[str, Commit] | None:
        """Return what pull requests most likely go to, at the point where HEAD left it."""
        head = self.head()
        for name in DEFAULT_BASES if head else ():
            for prefix in ("refs/remotes/", "refs/heads/"):
                reference = self.repository.references.get(prefix + name)
                if reference is not None and head is not None:
                    tip = self.resolve(reference.name)
                    left = self.repository.merge_base(pygit2.Oid(hex=tip.id), pygit2.Oid(hex=head.id))
                    return name, self.resolve(str(left)) if left else tip
        return None

    def snapshot(self, commit: Commit) -> TreeSnapshot:
        """Return the folder's files at a commit; paths count from the folder. Raises Terminal."""
        root = self.repository[pygit2.Oid(hex=commit.id)].peel(pygit2.Commit).tree
        return TreeSnapshot(self, self._below(root), "", TreeCache())

    def _below(self, root: pygit2.Tree) -> bytes:
        if not self.folder:
            return root.id.raw
        found = root[self.folder] if self.folder in root else None  # noqa: SIM401  a Tree has no get()
        return found.id.raw if isinstance(found, pygit2.Tree) else EMPTY_TREE

    def digest(self, data: bytes) -> Digest:
        """Return the digest that a file with these bytes has in a commit."""
        return Digest(str(pygit2.hash(data)))

    def tree(self, oid: bytes) -> bytes:
        """Return a tree object as it is stored."""
        return self._object(oid, ObjectType.TREE)

    def blob(self, oid: bytes) -> bytes:
        """Return the bytes of a blob."""
        return self._object(oid, ObjectType.BLOB)

    def size(self, oid: bytes) -> int:
        """Return the size of a blob without reading it."""
        return self.repository.odb.read_header(pygit2.Oid(raw=oid))[1]

    def _object(self, oid: bytes, wanted: ObjectType) -> bytes:
        if oid == EMPTY_TREE:
            return b""
        kind, data = self.repository.odb.read(pygit2.Oid(raw=oid))
        if kind != wanted:
            raise Terminal(f"the object {oid.hex()} is no {wanted.name.lower()}", help="the repository is damaged")
        return data


def find_worktree(folder: Path) -> Worktree | None:
    """Return the repository that a folder lies in, None when it lies in none. Raises Refused."""
    try:
        found = pygit2.discover_repository(str(folder))
        if found is None:
            return None
        repository = pygit2.Repository(found)
    except pygit2.GitError as error:
        raise Refused(
            f"cannot read the Git repository of {folder}: {error}",
            help="of another owner? `git config --global --add safe.directory` allows it",
        ) from error
    if repository.workdir is None:
        return None
    below = folder.resolve().relative_to(Path(repository.workdir).resolve()).as_posix()
    return Worktree(repository, "" if below == "." else below)


def _commit(found: pygit2.Commit) -> Commit:
    author = f"{found.author.name} <{found.author.email}>"
    at = datetime.fromtimestamp(found.commit_time, UTC)
    return Commit(str(found.id), author, at, found.message.strip().split("\n", 1)[0][:200])
