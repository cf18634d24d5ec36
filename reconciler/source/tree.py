"""A commit's files as a snapshot, read from tree and blob objects without a checkout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

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

# One entry of a tree object: octal mode, name, and the 20 bytes of the id.
_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_FOLDER, _LINK, _SUBMODULE = b"40000", b"120000", b"160000"
_MAX_DEPTH = 64
# A folder may be named in many places for the price of one: ten folders that name each other tenfold have 10^10 paths.
_MOST_FOLDERS = 100_000
_MOST_SIZES = 200_000


class Objects(Protocol):
    """Git's object database."""

    def tree(self, oid: bytes) -> bytes:
        """Return a tree object as it is stored."""

    def blob(self, oid: bytes) -> bytes:
        """Return the bytes of a blob."""

    def size(self, oid: bytes) -> int:
        """Return the size of a blob without reading it."""


class _Entry(NamedTuple):
    mode: bytes
    oid: bytes


@dataclass(frozen=True, slots=True)
class _Folder:
    """What lies below one folder: YAML files, problems and the bytes of the files in all."""

    files: tuple[YamlFile, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    size: int = 0


@dataclass(slots=True)
class TreeCache:
    """What was read of one commit, so that the next one reads only the folders that changed."""

    entries: dict[bytes, dict[str, _Entry]] = field(default_factory=dict)
    folders: dict[tuple[str, bytes], _Folder] = field(default_factory=dict)
    sizes: dict[bytes, int] = field(default_factory=dict)


class TreeSnapshot:
    """The files of one commit; implements `Snapshot`. Raises Terminal when they are more than the limits allow."""

    def __init__(self, objects: Objects, root: bytes, path: str, before: TreeCache) -> None:
        self._objects = objects
        self._root = root
        self._before = before
        # Sizes of blobs never change, so they are kept from commit to commit, within reason.
        sizes = before.sizes if len(before.sizes) < _MOST_SIZES else {}
        self.cache = TreeCache(sizes=sizes)
        self._visited = 0
        found = self._start(path.strip("/"))
        self.documents: Sequence[YamlFile] = sorted(found.files, key=lambda file: file.path)
        self.problems: Sequence[Diagnostic] = found.problems
        check_limits(len(found.files), found.size)
        self._before = self.cache

    def digest(self, path: str) -> Digest:
        """Return the digest of a named file. Raises FileProblem."""
        check_named_path(path)
        return Digest(self._find(path).oid.hex())

    def read(self, path: str, digest: Digest) -> bytes:
        """Return the bytes of a file. Raises FileProblem."""
        oid = bytes.fromhex(digest)
        size = self._size(oid)
        if size > MAX_READ_BYTES:
            error = too_large(size)
            raise FileProblem(f"{path}: {error}", error.advice)
        return self._objects.blob(oid)

    def _start(self, path: str) -> _Folder:
        if not path:
            return self._walk("", self._root, 0)
        try:
            check_named_path(path)
            entry = self._find(path)
        except FileProblem:
            return _Folder()
        if entry.mode == _FOLDER:
            return self._walk(path + "/", entry.oid, 0)
        return _Folder((YamlFile(path, Digest(entry.oid.hex())),), (), self._size(entry.oid))

    def _find(self, path: str) -> _Entry:
        entry, parts = _Entry(_FOLDER, self._root), path.split("/")
        for depth, part in enumerate(parts, start=1):
            found = self._entries(entry.oid).get(part) if entry.mode == _FOLDER else None
            if found is None:
                raise FileProblem(f"there is no file {path} in this commit", "paths count from the repository's root")
            refusal = _refusal(found)
            if refusal:
                raise FileProblem(f"{'/'.join(parts[:depth])} is {refusal[0]}", refusal[1])
            entry = found
        return entry

    def _walk(self, prefix: str, oid: bytes, depth: int) -> _Folder:
        self._visited += 1
        if self._visited > _MOST_FOLDERS:
            raise Terminal(f"more than {_MOST_FOLDERS:,} folders", help="set git.path to the folder of the models")
        if depth > _MAX_DEPTH:
            return _Folder((), (unusable(prefix + ".yaml", f"deeper than {_MAX_DEPTH} folders", "move it up"),))
        known = self._before.folders.get((prefix, oid))
        files: list[YamlFile] = []
        problems: list[Diagnostic] = []
        size = 0
        # Folders below an unchanged one are visited too: that is cheap, and keeps the cache to what this commit has.
        for name, entry in self._entries(oid).items():
            if entry.mode == _FOLDER:
                below = self._walk(f"{prefix}{name}/", entry.oid, depth + 1)
                files += below.files
                problems += below.problems
                size += below.size
                check_limits(len(files), size)
            elif known is None and name.endswith(SUFFIXES):
                refusal = _refusal(entry)
                if refusal:
                    problems.append(unusable(prefix + name, *refusal))
                    continue
                files.append(YamlFile(prefix + name, Digest(entry.oid.hex())))
                size += self._size(entry.oid)
        folder = known or _Folder(tuple(files), tuple(problems), size)
        self.cache.folders[prefix, oid] = folder
        return folder

    def _entries(self, oid: bytes) -> dict[str, _Entry]:
        entries = self.cache.entries.get(oid)
        if entries is None:
            entries = self._before.entries.get(oid)
            if entries is None:
                found = _ENTRY.findall(self._objects.tree(oid))
                entries = {name.decode("utf-8", "replace"): _Entry(mode, blob) for mode, name, blob in found}
            self.cache.entries[oid] = entries
        return entries

    def _size(self, oid: bytes) -> int:
        size = self.cache.sizes.get(oid)
        if size is None:
            size = self.cache.sizes[oid] = self._objects.size(oid)
        return size


def _refusal(entry: _Entry) -> tuple[str, str] | None:
    return {_LINK: SYMLINK, _SUBMODULE: SUBMODULE}.get(entry.mode)
