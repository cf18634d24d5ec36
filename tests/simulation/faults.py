"""The one place where a call can fail, and the one place where the process can die."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from reconciler.errors import Conflict, ReconcilerError, Refused, Transient, UnknownOutcome
from reconciler.ports import Clock

T = TypeVar("T")

# A request whose answer was lost is carried out within this time, or never.
LIFETIME = timedelta(seconds=30)


class Crash(BaseException):
    """The process died here."""


class Kind(StrEnum):
    """What a call does: a local one writes to a disk of ours, on which nothing is ever under way."""

    READ = "read"
    WRITE = "write"
    LOCAL = "local"


class Fault(StrEnum):
    """What can happen to a call."""

    CALM = "calm"
    REFUSED = "refused"
    LOST = "applied, answer lost"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    TIMEOUT = "nothing applied, no answer"
    LATE = "no answer, applied later"
    CRASH_LATE = "crash, applied later"
    DENIED = "denied"
    CONFLICT = "conflict"
    STALE = "an old answer"
    PAUSE = "paused for longer than the lease"


_DEATHS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
OF_KIND: dict[Kind, tuple[Fault, ...]] = {
    Kind.READ: (Fault.REFUSED, Fault.DENIED, Fault.STALE, Fault.PAUSE, *_DEATHS),
    Kind.WRITE: (
        Fault.REFUSED, Fault.DENIED, Fault.CONFLICT, Fault.TIMEOUT, Fault.LOST, Fault.LATE, Fault.CRASH_LATE,
        Fault.PAUSE, *_DEATHS,
    ),
    Kind.LOCAL: (Fault.REFUSED, *_DEATHS),
}  # fmt: skip
"""The faults that a call of each kind can have; any other one is a refusal to it."""

NOT_DONE: dict[Fault, type[ReconcilerError]] = {
    Fault.REFUSED: Transient,
    Fault.DENIED: Refused,
    Fault.CONFLICT: Conflict,
    Fault.TIMEOUT: UnknownOutcome,
}


@dataclass(slots=True, eq=False)
class UnderWay:
    """A request that nobody waits for any more; it lands after so many further events, or when its time is over."""

    what: str
    do: Callable[[], Any]
    events: int
    until: datetime


@dataclass(slots=True)
class Faults:
    """Asks `choose` at every call; `log` tells the story of a failure, `trace` is a hash of every call and fault.

    `delay` says after how many events a late request lands; `pause` lets another replica go on meanwhile;
    `after_write` looks at the world whenever something was written.
    """

    choose: Callable[[str], Fault]
    clock: Clock = lambda: datetime(2026, 1, 5, 9, tzinfo=UTC)
    log: list[str] = field(default_factory=list)
    calls: int = 0
    delay: Callable[[], int] = lambda: 3
    pause: Callable[[str], None] = lambda _: None
    before_write: Callable[[str], None] = lambda _: None
    after_write: Callable[[], None] = lambda: None
    on_call: Callable[[str, Kind], None] = lambda _, __: None
    under_way: list[UnderWay] = field(default_factory=list)
    trace: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def call(self, what: str, do: Callable[[], T], kind: Kind = Kind.WRITE, *, old: Callable[[], T] | None = None) -> T:
        """Make a call that may fail; `old` gives the answer of a while ago."""
        self.calls += 1
        self.event()
        self.on_call(what, kind)
        fault = self._fault(what, kind)
        self.trace.update(f"{what}|{fault}\n".encode())
        if fault is Fault.CALM:
            return self._carry_out(what, do, kind)
        self.log.append(f"{what}: {fault.value}")
        return self._fail(what, do, kind, fault, old)

    def _fault(self, what: str, kind: Kind) -> Fault:
        fault = self.choose(what)
        return fault if fault is Fault.CALM or fault in OF_KIND[kind] else Fault.REFUSED

    def _fail(self, what: str, do: Callable[[], T], kind: Kind, fault: Fault, old: Callable[[], T] | None) -> T:
        match fault:
            case Fault.STALE:
                return old() if old else do()
            case Fault.PAUSE:
                return self._sleep(what, do, kind)
            case Fault.CRASH_BEFORE:
                raise Crash(what)
            case Fault.CRASH_AFTER | Fault.LOST:
                try:
                    self._carry_out(what, do, kind)
                finally:
                    if fault is Fault.CRASH_AFTER:
                        raise Crash(what)
                raise UnknownOutcome(f"the answer to {what} was lost")
            case Fault.LATE | Fault.CRASH_LATE:
                self.before_write(what)
                self.under_way.append(UnderWay(what, do, self.delay(), self.clock() + LIFETIME))
                if fault is Fault.CRASH_LATE:
                    raise Crash(what)
                raise UnknownOutcome(f"no answer to {what}")
            case _:
                raise NOT_DONE[fault](f"{what}: {fault.value}")

    def _sleep(self, what: str, do: Callable[[], T], kind: Kind) -> T:
        """Pause here; a request that was sent already is carried out while its sender sleeps, as any late one."""
        if kind is not Kind.WRITE:
            self.pause(what)
            return do()
        self.before_write(what)
        answers: list[T] = []
        request = UnderWay(what, lambda: answers.append(do()), self.delay(), self.clock() + LIFETIME)
        self.under_way.append(request)
        self.pause(what)
        if request in self.under_way:
            self._land(lambda one: one is request)
        if not answers:
            raise UnknownOutcome(f"no answer to {what}")
        return answers[0]

    def _carry_out(self, what: str, do: Callable[[], T], kind: Kind) -> T:
        if kind is not Kind.WRITE:
            return do()
        self.before_write(what)
        result = do()
        self.log.append(what)
        self.after_write()
        return result

    def event(self) -> None:
        """Let what is under way come nearer."""
        if not self.under_way:
            return
        for request in self.under_way:
            request.events -= 1
        self._land(lambda request: request.events <= 0)

    def time_passes(self, now: datetime) -> None:
        """Let land what cannot be under way any more by then."""
        if self.under_way:
            self._land(lambda request: request.until <= now)

    def _land(self, due: Callable[[UnderWay], bool]) -> None:
        landing = [request for request in self.under_way if due(request)]
        self.under_way = [request for request in self.under_way if not due(request)]
        for request in landing:
            try:
                request.do()
            except ReconcilerError as error:
                self.log.append(f"-- landed, and was not accepted: {request.what}: {error.message}")
                continue
            self.log.append(f"-- landed: {request.what}")
            self.after_write()
