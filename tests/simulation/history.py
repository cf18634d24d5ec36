"""Git as a state machine: commits with their parents, a branch that may be rewritten, and a mirror that may lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import Commit, DesiredModel


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A commit and what stands in it."""

    commit: Commit
    parent: str
    seen: Mapping[str, DesiredModel]
    policy: PolicySpec


@dataclass(slots=True)
class History:
    """All commits that were ever made; `served` is what a fetch finds."""

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    tip: str = ""
    served: str = ""
    lagging: bool = False

    def commit(self, seen: Mapping[str, DesiredModel], policy: PolicySpec, at: datetime) -> None:
        """Commit onto the branch."""
        self._add(Snapshot(self.next(at), self.tip, dict(seen), policy))

    def next(self, at: datetime) -> Commit:
        """Return the commit that is made next."""
        return Commit(f"{len(self.snapshots) + 1:040x}", "Ana <ana@example.org>", at, "a commit")

    def amend(self, at: datetime) -> None:
        """Push a commit with the same content by force, onto the parent of the newest."""
        if self.tip:
            self._add(replace(self.snapshots[self.tip], commit=self.next(at)))

    def lag(self, back: int) -> None:
        """Let the mirror serve a commit of so many commits ago, and nothing newer."""
        self.lagging = True
        for _ in range(back):
            self.served = self.snapshots[self.served].parent if self._parent(self.served) else self.served

    def catch_up(self) -> None:
        """Let the mirror serve what was pushed."""
        self.lagging, self.served = False, self.tip

    def descends(self, commit: str, ancestor: str) -> bool:
        """Return whether the first commit descends from the second."""
        while commit := self._parent(commit):
            if commit == ancestor:
                return True
        return False

    def _parent(self, commit: str) -> str:
        snapshot = self.snapshots.get(commit)
        return snapshot.parent if snapshot else ""

    def _add(self, made: Snapshot) -> None:
        self.snapshots[made.commit.id] = made
        self.tip = made.commit.id
        if not self.lagging:
            self.served = self.tip
