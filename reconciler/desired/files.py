"""The files of one commit (or of a folder), as the desired state reads them, and their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

from reconciler.desired.state import Diagnostic

MAX_FILE_BYTES = 1024 * 1024
# A larger file is still read to tell whether it is one of ours: bundles of other people's manifests may be large.
MAX_READ_BYTES = 16 * MAX_FILE_BYTES
MAX_FILES = 20_000
MAX_TOTAL_BYTES = 256 * 1024 * 1024
SUFFIXES = (".yaml", ".yml")

Digest = NewType("Digest", str)
"""Stands for a file's bytes: the same digest means the same bytes."""


class FileProblem(Exception):  # noqa: N818  it carries a sentence
    """A file that a document names cannot be used; `advice` is what to do next."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A YAML file that may hold documents."""

    path: str
    digest: Digest


class Snapshot(Protocol):
    """All files of one commit. Paths count from the repository's root and have forward slashes."""

    @property
    def documents(self) -> Sequence[YamlFile]:
        """Return every .yaml and .yml file to be considered, ordered by path."""

    @property
    def problems(self) -> Sequence[Diagnostic]:
        """Return what is wrong with files that would be considered, such as symlinks; each names its path."""

    def digest(self, path: str) -> Digest:
        """Return the digest of a named file. Raises FileProblem when there is none that may be used."""

    def read(self, path: str, digest: Digest) -> bytes:
        """Return the bytes of a file. Raises FileProblem when it is larger than MAX_READ_BYTES."""


def too_large(size: int) -> FileProblem:
    """Return the problem of a file above the limit."""
    return FileProblem(
        f"the file is {size:,} bytes; at most {MAX_FILE_BYTES:,} (1 MiB) are read", "split it into several files"
    )


def check_named_path(path: str) -> None:
    """Check a path that a document names. Raises FileProblem."""
    if "\0" in path or "\\" in path:
        raise FileProblem(f"not a path: {path!r}", "write it with forward slashes")
    if path.startswith("/"):
        raise FileProblem(f"{path} is absolute", "write the path from the repository's root, without the leading /")
    if any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise FileProblem(
            f"{path} is no plain path inside the repository", "write it from the repository's root, without . or .."
        )


def unusable(path: str, why: str, advice: str) -> Diagnostic:
    """Return the diagnostic of a file that is refused as a whole."""
    return Diagnostic(code="file-refused", message=why, path=path, help=advice)


SYMLINK = ("a symbolic link; links are not followed", "commit the file itself in its place")
SUBMODULE = ("a submodule; submodules are not read", "commit its files into this repository")
