"""A reconciler that follows a script: what the service's tests run instead of the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Condition, Event
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.observed import By, OrderKind
from reconciler.passes import SYSTEMS, StepResult
from reconciler.status import Condition as Word
from reconciler.status import (
    Conditions,
    Health,
    ModelStatus,
    OrderAnswer,
    OrderStatus,
    Phase,
    Sync,
    SystemStatus,
    Truth,
)

Step = Callable[[str], StepResult]
NOW = datetime(2026, 8, 20, 9, 31, tzinfo=UTC)


def status(name: str, **fields: Any) -> ModelStatus:
    """Build the status of a model that is well."""
    fine = Word(Truth.TRUE, "InSync", "as Git says")
    calm = Word(Truth.FALSE)
    return ModelStatus(
        **{
            "name": name,
            "sync": Sync.SYNCED,
            "health": Health.HEALTHY,
            "phase": Phase.IDLE,
            "conditions": Conditions(fine, calm, calm),
            "updated_at": NOW,
            **fields,
        }
    )


def settled(name: str) -> StepResult:
    """Find nothing to do."""
    return StepResult(status(name))


@dataclass
class Scripted:
    """Runs `steps[name]`, else finds nothing to do; records every call and lets tests wait for it."""

    models: set[str] = field(default_factory=set)
    steps: dict[str, Step] = field(default_factory=dict)
    systems: dict[str, SystemStatus] = field(
        default_factory=lambda: {name: SystemStatus(name, ok=True, since=NOW, age_seconds=1.5) for name in SYSTEMS}
    )
    source_changes: frozenset[str] = frozenset()
    registry_changes: frozenset[str] = frozenset()
    shown: dict[str, ModelStatus] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    refusal: ReconcilerError | None = None
    held: Event | None = None
    changed: Condition = field(default_factory=Condition)

    def refresh_source(self) -> frozenset[str]:
        self._record(self.reads, "git")
        return self.source_changes

    def refresh_registry(self) -> frozenset[str]:
        self._record(self.reads, "registry")
        return self.registry_changes

    def reconcile(self, name: str) -> StepResult:
        self._record(self.calls, name)
        result = self.steps.get(name, settled)(name)
        with self.changed:
            if result.status is None:
                self.shown.pop(name, None)
                self.models.discard(name)
            else:
                self.shown[name] = result.status
            self.changed.notify_all()
        return result

    def order(self, name: str, kind: OrderKind, by: By) -> OrderAnswer:
        meant = f" for {by.meant.version}/{by.meant.step}" if by.meant else ""
        self._record(self.orders, f"{kind.value} {name}{meant} by {by.actor}: {by.reason}")
        if self.held is not None:
            assert self.held.wait(20)
        if self.refusal is not None:
            raise self.refusal
        return OrderAnswer(name, OrderStatus(kind.value, by.actor, by.reason, NOW, "version 2"), False, "all is well")

    def names(self) -> frozenset[str]:
        with self.changed:
            return frozenset(self.models)

    def model_of(self, namespace: str, name: str) -> str | None:
        return name if namespace == "models" and name in self.models else None

    def statuses(self) -> Mapping[str, ModelStatus]:
        with self.changed:
            return dict(self.shown)

    def status_of_systems(self) -> Mapping[str, SystemStatus]:
        return dict(self.systems)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition on what was recorded holds."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout=20), f"never happened: {what}; calls: {self.calls[-20:]}"

    def _record(self, where: list[str], what: str) -> None:
        with self.changed:
            where.append(what)
            self.changed.notify_all()
