"""A folder on disk as a snapshot, for validating and planning without Git."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from reconciler.desired.files import (
    MAX_READ_BYTES,
    SUBMODULE,
    SUFFIXES,
    SYMLINK,
    Digest,
    FileProblem,
    YamlFile,
    check_named_path,
    too_large,
    unusable,
)
from reconciler.desired.state import Diagnostic
from reconciler.errors import Terminal
from reconciler.source.limits import check_limits

_SKIPPED_FOLDERS = frozenset((".git", ".venv", "node_modules", "__pycache__"))


class DirectorySnapshot:
    """The files of a folder as they were when it was read; implements `Snapshot`."""

    def __init__(self, root: Path, files: dict[str, bytes], problems: Sequence[Diagnostic]) -> None:
        self.root = root
        self.problems = tuple(problems)
        self._files = files
        self.documents = tuple(YamlFile(path, _digest(data)) for path, data in sorted(files.items()))

    def digest(self, path: str) -> Digest:
        """Return the digest of a named file. Raises FileProblem."""
        check_named_path(path)
        return _digest(self._bytes(path))

    def read(self, path: str, digest: Digest) -> bytes:
        """Return the bytes of a file. Raises FileProblem, also when it changed since its digest was taken."""
        data = self._bytes(path)
        if _digest(data) != digest:
            raise FileProblem(f"{path} changed while it was read", "try again")
        return data

    def _bytes(self, path: str) -> bytes:
        if path in self._files:
            return self._files[path]
        target = self.root
        for part in PurePosixPath(path).parts:
            target /= part
            if target.is_symlink():
                raise FileProblem(f"{path}: {target.relative_to(self.root)} is {SYMLINK[0]}", SYMLINK[1])
            if target.is_dir() and (target / ".git").exists():
                raise FileProblem(f"{path}: {target.relative_to(self.root)} is {SUBMODULE[0]}", SUBMODULE[1])
        if not target.is_file():
            raise FileProblem(f"there is no file {path}", f"paths count from the repository's root, here {self.root}")
        return _read(target)


def read_directory(paths: Sequence[Path], root: Path | None = None) -> DirectorySnapshot:
    """Read the YAML files at or below `paths`. Raises Terminal when there are too many, or a path is missing.

    `root` is where paths inside documents count from: by default the folder, if one folder is given, and else the
    nearest parent with a `.git`, or the current folder.
    """
    absolute = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  resolve() would follow links
    base = Path(os.path.abspath(root)) if root else _root_of(absolute)  # noqa: PTH100  as above
    files: dict[str, bytes] = {}
    problems: list[Diagnostic] = []
    total = 0
    for file in _candidates(absolute):
        if not file.is_relative_to(base):
            raise Terminal(f"{file} lies outside the repository's root {base}", help="name the root")
        path = file.relative_to(base).as_posix()
        if path in files:
            continue
        found = _load(file, path)
        if isinstance(found, Diagnostic):
            problems.append(found)
            continue
        files[path] = found
        total += len(found)
        check_limits(len(files), total)
    return DirectorySnapshot(base, files, problems)


def _load(file: Path, path: str) -> bytes | Diagnostic:
    mode = file.lstat().st_mode
    if stat.S_ISLNK(mode):
        return unusable(path, *SYMLINK)
    if not stat.S_ISREG(mode):
        return unusable(path, "no regular file", "remove it")
    try:
        return _read(file)
    except FileProblem as problem:
        return unusable(path, str(problem), problem.advice)


def _read(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if size > MAX_READ_BYTES:
            raise too_large(size)
        return file.read_bytes()
    except OSError as error:
        raise FileProblem(f"the file cannot be read: {error.strerror}", "check its permissions") from error


def _candidates(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.is_symlink() or path.exists():
            yield path
        else:
            raise Terminal(f"there is no file or folder {path}", help="check the path")


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        linked = [name for name in folders if name.endswith(SUFFIXES) and (Path(parent) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if _is_read(Path(parent) / name))
        for name in sorted(name for name in [*names, *linked] if name.endswith(SUFFIXES)):
            yield Path(parent) / name


def _is_read(folder: Path) -> bool:
    # A folder with a repository of its own is a submodule, or none of ours.
    return folder.name not in _SKIPPED_FOLDERS and not (folder / ".git").exists()


def _root_of(paths: Sequence[Path]) -> Path:
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0]
    for parent in paths[0].parents if paths else ():
        if (parent / ".git").exists():
            return parent
    return Path.cwd()


def _digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())
