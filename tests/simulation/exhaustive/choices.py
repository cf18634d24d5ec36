"""What is tried at a call: each fault that its kind can have, and one that takes long as several lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation.faults import OF_KIND, Fault, Kind


@dataclass(frozen=True, slots=True)
class Choice:
    """A fault.

    A request that is late, or whose sender sleeps, lands after `delay` further events, or when its time is over.
    A stale answer is so many writes old.
    """

    fault: Fault
    delay: int = 0

    def __str__(self) -> str:
        """Tell it."""
        return f"{self.fault.value} ({self.delay})" if self.delay else self.fault.value


DELAYS = {
    Fault.LATE: (1, 3, 10, 40, 150),
    Fault.CRASH_LATE: (1, 3, 10, 40, 150),
    Fault.STALE: (1, 3, 7),
    Fault.PAUSE: (1, 6, 40),
}
# What is tried twice, if it takes no longer than this.
MOST_PAIRED = 10
PAIRED = frozenset({Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST, Fault.LATE, Fault.CRASH_LATE})


def choices(kind: Kind) -> Iterator[Choice]:
    """Return what is tried at a call of this kind."""
    for fault in OF_KIND[kind]:
        yield from (Choice(fault, delay) for delay in DELAYS.get(fault, (0,)))


def paired(kind: Kind) -> Iterator[Choice]:
    """Return what is tried as first and as second fault at a call of this kind."""
    return (choice for choice in choices(kind) if choice.fault in PAIRED and choice.delay <= MOST_PAIRED)
