"""A plan from files alone: what is here against a commit that is assumed to be live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from reconciler.cli.specs import WORKING_TREE
from reconciler.desired.files import Snapshot
from reconciler.desired.repository import Assembler
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.errors import Refused
from reconciler.observed import ObservedModel
from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions
from reconciler.plan.planner import Rules
from reconciler.plan.proposal import Compared, Outlook, Proposal, propose
from reconciler.plan.removal import removal_guard
from reconciler.source.directory import DirectorySnapshot, read_directory
from reconciler.source.worktree import Worktree, find_worktree

NOTHING = "nothing: everything is new"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison: what it is called, and its files."""

    name: str
    commit: Commit
    snapshot: Snapshot


def propose_offline(
    folder: Path, base: str | None, ref: str | None, assumptions: Assumptions, now: datetime
) -> Proposal:
    """Plan the files of a folder, or a commit of its repository, against a base. Raises Refused or Terminal."""
    worktree = find_worktree(folder.absolute()) if folder.is_dir() else None
    planned = _planned(folder, ref, worktree)
    against = _base(base, planned, worktree)
    assembler = Assembler()
    before = assembler.assemble(against.commit, against.snapshot, {}) if against else None
    models = before.models if before else {}
    state = assembler.assemble(planned.commit, planned.snapshot, models)
    served = [name for name, model in models.items() if model.spec.serving is not None]
    outlook = Outlook(Rules(state.policy, removal_guard(state, served)), now, assumptions)

    def observe(model: DesiredModel) -> ObservedModel:
        return assumed_world(models.get(model.name), model, now, assumptions)

    return propose(state, before or {}, observe, outlook, _compared(planned, against, before))


def _compared(planned: Side, against: Side | None, before: DesiredState | None) -> Compared:
    if against is None or before is None:
        return Compared(planned.name, NOTHING, "No system was asked; nothing is assumed to be there.")
    assumed = f"No system was asked: {against.name} is assumed to be live as it says, its version counted as 1."
    return Compared(planned.name, against.name, assumed)


def _planned(folder: Path, ref: str | None, worktree: Worktree | None) -> Side:
    if ref is not None:
        commit = _needs_git(worktree, folder, "--ref").resolve(ref)
        return Side(_named(ref, commit), commit, _needs_git(worktree, folder, "--ref").snapshot(commit))
    files = read_directory([folder])
    head = worktree.head() if worktree else None
    if worktree is not None and head is not None and _same(files, worktree, head):
        return Side(head.short, head, files)
    return Side("the files here", WORKING_TREE, files)


def _same(files: DirectorySnapshot, worktree: Worktree, commit: Commit) -> bool:
    """Return whether the files on disk are those of the commit that is checked out, also those Git ignores."""
    if worktree.is_changed():
        return False
    committed = {file.path: file.digest for file in worktree.snapshot(commit).documents}
    here = {file.path: worktree.digest(files.read(file.path, file.digest)) for file in files.documents}
    return here == committed


def _base(base: str | None, planned: Side, worktree: Worktree | None) -> Side | None:
    if base is not None:
        found = _needs_git(worktree, Path(), "--base")
        commit = found.resolve(base)
        return Side(_named(base, commit), commit, found.snapshot(commit))
    default = worktree.default_base() if worktree else None
    if worktree is None or default is None or default[1].id == planned.commit.id:
        return None
    return Side(_named(*default), default[1], worktree.snapshot(default[1]))


def _needs_git(worktree: Worktree | None, folder: Path, option: str) -> Worktree:
    if worktree is None:
        raise Refused(f"{option} names a commit, but {folder} is not in a Git work tree", help="run it in a clone")
    return worktree


def _named(ref: str, commit: Commit) -> str:
    return commit.short if commit.id.startswith(ref) else f"{ref} {commit.short}"
