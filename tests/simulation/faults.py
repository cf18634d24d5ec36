"""The one place where a call can fail, and the one place where the process can die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from reconciler.errors import Transient, UnknownOutcome

T = TypeVar("T")


class Crash(BaseException):
    """The process died here."""


class Fault(StrEnum):
    """What can happen to a call."""

    CALM = "calm"
    REFUSED = "refused"
    LOST = "applied, answer lost"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"


@dataclass(slots=True)
class Faults:
    """Asks `choose` at every call; `log` tells the story of a failure."""

    choose: Callable[[str], Fault]
    log: list[str] = field(default_factory=list)
    calls: int = 0
    before_write: Callable[[str], None] = lambda _: None

    def call(self, what: str, do: Callable[[], T], *, writes: bool = True) -> T:
        """Make a call that may fail."""
        self.calls += 1
        fault = self.choose(what)
        if fault is not Fault.CALM:
            self.log.append(f"{what}: {fault.value}")
        if fault is Fault.REFUSED or (fault is Fault.LOST and not writes):
            raise Transient(f"{what} was refused")
        if fault is Fault.CRASH_BEFORE:
            raise Crash(what)
        if writes:
            self.before_write(what)
        result = do()
        if fault is Fault.CRASH_AFTER:
            raise Crash(what)
        if fault is Fault.LOST:
            raise UnknownOutcome(f"the answer to {what} was lost")
        self.log.append(what) if writes else None
        return result
