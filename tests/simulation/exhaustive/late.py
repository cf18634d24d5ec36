"""Requests that land after their caller has given them up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.faults import Fault, Faults, Kind
from tests.simulation.world import World


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
    return not what.startswith(("memory.", "ledger "))


@dataclass(slots=True)
class LateFaults(Faults):
    """Asks `late` first, as the delay belongs to the choice here."""

    late: Callable[[str], Late | None] = lambda _: None
    after: int = 0

    def _fault(self, what: str, kind: Kind) -> Fault:
        late = self.late(what)
        if late is None:
            return Faults._fault(self, what, kind)
        if kind is not Kind.WRITE:
            return Fault.REFUSED
        self.after = late.after
        return Fault.CRASH_LATE if late.dies else Fault.LATE


def install(world: World) -> None:
    """Let requests of this world be late."""
    old = world.faults
    made = LateFaults(old.choose, old.clock, before_write=old.before_write, after_write=old.after_write)
    made.delay = lambda: made.after
    world.faults = made
    for system in (world.registry, world.serving, world.training, world.ledger, world.memory, world.prober):
        system.faults = world.faults
