"""Read specs from files and from the Git repository they lie in, without any system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from reconciler.desired.files import Snapshot
from reconciler.desired.repository import Assembler
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.source.directory import read_directory

# Stands where a commit id would: files on disk have none, and no time either, for the same files give the same plan.
WORKING_TREE = Commit("working-tree", "", datetime(1970, 1, 1, tzinfo=UTC), "")


def read_state(paths: Sequence[Path], root: Path | None = None) -> DesiredState:
    """Read the desired state from files. Raises Terminal."""
    return assemble(WORKING_TREE, read_directory(paths, root), {})


def assemble(commit: Commit, snapshot: Snapshot, last_good: Mapping[str, DesiredModel]) -> DesiredState:
    """Make the desired state of a snapshot."""
    return Assembler().assemble(commit, snapshot, last_good)
