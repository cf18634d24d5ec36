"""All choices of a run come from one tape of bytes; 0 is always the calm choice, and so is the end of the tape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.simulation.faults import Fault

T = TypeVar("T")

_FAULTS = (
    Fault.REFUSED, Fault.LOST, Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.TIMEOUT, Fault.LATE, Fault.CRASH_LATE,
    Fault.STALE, Fault.DENIED, Fault.CONFLICT, Fault.PAUSE,
)  # fmt: skip


@dataclass(slots=True)
class Tape:
    """Reads bytes one after the other; `fault` is what Faults asks at every call."""

    data: bytes
    at: int = 0
    calm_calls: int = -1
    running: bool = True
    dead: str = ""

    def byte(self) -> int:
        """Return the next byte."""
        value = self.data[self.at] if self.at < len(self.data) else 0
        self.at += 1
        return value

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options; the first is the calm one."""
        return options[self.byte() * len(options) // 256]

    @property
    def ended(self) -> bool:
        """Return whether nothing is left."""
        return self.at >= len(self.data)

    def fault(self, what: str) -> Fault:
        """Fail a call now and then: one byte says after how many calls (0: never), the next one how.

        A system that is dead refuses every call.
        """
        if self.dead and what.startswith(self.dead):
            return Fault.REFUSED
        if not self.running:
            return Fault.CALM
        if self.calm_calls < 0:
            wait = self.byte()
            self.calm_calls = wait // 4 if wait else 10_000
        self.calm_calls -= 1
        return self.pick(_FAULTS) if self.calm_calls < 0 else Fault.CALM
