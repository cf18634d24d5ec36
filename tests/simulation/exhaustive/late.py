"""Requests that land after their caller has given them up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.errors import ReconcilerError, UnknownOutcome
from tests.simulation.faults import Crash, Fault, Faults
from tests.simulation.world import World

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Late:
    """The request lands `after` so many further calls; its caller gives up on it, or dies."""

    after: int
    dies: bool = False

    @property
    def value(self) -> str:
        """Tell it as the other faults are told."""
        return f"lands {self.after} calls later, {'its caller died' if self.dies else 'after a time-out'}"


Choice = Fault | Late
LATE: tuple[Choice, ...] = tuple(Late(after, dies) for dies in (False, True) for after in (1, 3, 10))


def can_be_late(what: str) -> bool:
    """Return whether a call goes over a network: what is remembered stands in one transaction, or does not."""
    return not what.startswith("memory.")


@dataclass(slots=True)
class LateFaults(Faults):
    """Asks `late` first; what was late lands before the call that is its turn."""

    late: Callable[[str], Late | None] = lambda _: None
    under_way: list[tuple[int, str, Callable[[], Any]]] = field(default_factory=list)

    def call(self, what: str, do: Callable[[], T], *, writes: bool = True) -> T:
        """Make a call that may fail, or take longer than anybody waits."""
        self._land()
        late = self.late(what)
        if late is None:
            return Faults.call(self, what, do, writes=writes)
        self.calls += 1
        self.log.append(f"{what}: {late.value}")
        self.before_write(what)
        self.under_way.append((self.calls + late.after, what, do))
        if late.dies:
            raise Crash(what)
        raise UnknownOutcome(f"{what} was not answered in time")

    def _land(self) -> None:
        due = [request for request in self.under_way if request[0] <= self.calls]
        if not due:
            return
        self.under_way = [request for request in self.under_way if request[0] > self.calls]
        for _, what, do in due:
            try:
                do()
                self.log.append(f"-- {what} lands")
            except ReconcilerError as error:
                self.log.append(f"-- {what} lands, and is not taken: {error.message}")


def install(world: World) -> None:
    """Let requests of this world be late."""
    old = world.faults
    world.faults = LateFaults(old.choose, old.log, old.calls, old.before_write)
    for system in (world.registry, world.serving, world.training, world.ledger, world.memory, world.prober):
        system.faults = world.faults  # type: ignore[attr-defined]  # each has it
