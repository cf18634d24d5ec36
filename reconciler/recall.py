"""Read back from the ledger what a decision has to remember: rollbacks, measurements, put-backs, orders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.ensure.analysis import from_json
from reconciler.observed import Measurement, Order, Rejection, Release
from reconciler.plan.action import Adopt, Analyse, CutTraffic, Deploy, PutBack, TakeDown
from reconciler.plan.marks import RolloutRecord, moment
from reconciler.plan.orders import ACTIONS as ORDERS
from reconciler.plan.orders import from_after
from reconciler.ports import Entry, Ledger, Moment, Recorded, Result

# Longer than a fight needs until its pauses grow no more.
PUT_BACK_MEMORY = timedelta(hours=5)
MOST_CUTS = 20
MOST_MOVES = 50
_COMES_OR_GOES = (Deploy.__name__, Adopt.__name__, TakeDown.__name__)
MOST_MEASUREMENTS = 500
"""Of each check: twice as many are kept before the older half goes."""
_PAGE = 5_000
# Two processes may write one after the other, and their clocks differ.
_SKEW = timedelta(minutes=1)
# People give few orders; an older one is of a rollout, or an approval, that is long over.
MOST_ORDERS_READ = 10_000


def rejections(ledger: Ledger, name: str) -> tuple[Rejection, ...]:
    """Return the newest decisions to roll back; that of the rollout in progress is among them."""
    entries = ledger.entries(model=name, actions=[CutTraffic.__name__], limit=MOST_CUTS)
    found = (_rejection(e.entry) for e in entries if e.entry.moment is Moment.INTENT)
    return tuple(r for r in found if r is not None)


@dataclass(frozen=True, slots=True)
class _Noted:
    """A measurement, and how many of its check had failed in the step by then."""

    measurement: Measurement
    failures: int

    @property
    def of(self) -> tuple[str, str]:
        """Return which check it is of, as that asked then."""
        return self.measurement.check, self.measurement.question


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured in a step of a rollout; `seq` is the last entry that was looked at."""

    step: tuple[Release, int, datetime, datetime]
    seq: int = 0
    noted: tuple[_Noted, ...] = ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Return the measurements, oldest first."""
        return tuple(one.measurement for one in self.noted)


def measured(ledger: Ledger, name: str, rollout: RolloutRecord, before: Measured | None) -> Measured:
    """Return what was measured since the step of the rollout began; what was read `before` is not read again.

    Of each check the newest are kept, and how many failed before them: neither a job that passed nor a failure is
    forgotten for what was measured since.
    """
    step = (rollout.release, rollout.step, rollout.started, rollout.since)
    known = before if before is not None and before.step == step else Measured(step)
    found = list(_newest_first(ledger, name, rollout.since, known.seq))
    if not found:
        return known
    noted = (*known.noted, *(one for one in map(_noted, reversed(found)) if one is not None))
    most = max(Counter(one.of for one in noted).values(), default=0)
    kept = noted if most <= 2 * MOST_MEASUREMENTS else _newest_of_each(noted)
    return Measured(step, found[0].seq, kept)


def _newest_first(ledger: Ledger, name: str, since: datetime, after_seq: int) -> Iterator[Recorded]:
    """Yield the entries of measurements by pages, backwards: only where a process begins there is more than one."""
    until, oldest = None, math.inf
    while True:
        page = ledger.entries(
            model=name, actions=[Analyse.__name__], since=since, until=until, after_seq=after_seq, limit=_PAGE
        )
        older = [recorded for recorded in page if recorded.seq < oldest]
        yield from reversed(older)
        if len(page) < _PAGE or not older:
            return
        oldest, until = older[0].seq, older[0].entry.at + _SKEW


def _noted(recorded: Recorded) -> _Noted | None:
    after = recorded.entry.after
    found = from_json(after) if recorded.entry.result is Result.DONE else None
    return None if found is None else _Noted(found, _failures(after.get("verdict")))


def _failures(verdict: object) -> int:
    failures = verdict.get("failures") if isinstance(verdict, Mapping) else None
    return failures if type(failures) is int and failures > 0 else 0


def _newest_of_each(noted: Sequence[_Noted]) -> tuple[_Noted, ...]:
    """Keep the newest of each check; the oldest that is kept says how many failed before it."""
    kept: list[_Noted] = []
    counts, oldest = Counter[tuple[str, str]](), dict[tuple[str, str], int]()
    for one in reversed(noted):
        counts[one.of] += 1
        if counts[one.of] <= MOST_MEASUREMENTS:
            oldest[one.of] = len(kept)
            kept.append(one)
        elif counts[one.of] == MOST_MEASUREMENTS + 1:
            last = kept[oldest[one.of]]
            kept[oldest[one.of]] = replace(last, measurement=replace(last.measurement, forgotten=one.failures))
    return tuple(reversed(kept))


def put_backs(ledger: Ledger, name: str, now: datetime) -> tuple[datetime, ...]:
    """Return when drift was put back lately."""
    since = now - PUT_BACK_MEMORY
    entries = ledger.entries(model=name, actions=[PutBack.__name__], since=since, limit=50)
    return tuple(e.entry.at for e in entries if e.entry.moment is Moment.INTENT)


def taken_down(ledger: Ledger, name: str) -> frozenset[str]:
    """Return the namespaces in which a model was taken down and nothing of it was applied anywhere since."""
    found: set[str] = set()
    for entry in (recorded.entry for recorded in ledger.entries(model=name, actions=_COMES_OR_GOES, limit=MOST_MOVES)):
        if entry.action != TakeDown.__name__:
            found.clear()
        elif entry.result is Result.DONE:
            found.add(str(entry.after.get("deleted", "")).partition("/")[0])
    return frozenset(found)


def orders_by_model(ledger: Ledger) -> dict[str, tuple[Order, ...]]:
    """Return what was ordered by hand, in the order it was given."""
    found: dict[str, list[Order]] = {}
    for entry in (recorded.entry for recorded in ledger.entries(actions=ORDERS, limit=MOST_ORDERS_READ)):
        order = from_after(entry.action, (entry.author, entry.reason, entry.at), entry.after)
        if order is not None:
            found.setdefault(entry.model, []).append(order)
    return {model: tuple(orders) for model, orders in found.items()}


def _rejection(intent: Entry) -> Rejection | None:
    """Read the rejection that the intent to cut traffic is."""
    release = Release.parse(str(intent.after.get("release", "")))
    started = str(intent.after.get("started", ""))
    if release is None or not started:
        return None
    try:
        rollout = moment(started)
    except ValueError:
        return None  # not as we write it
    reason = intent.reason.removeprefix("because ")
    return Rejection(release, str(intent.after.get("wanted", "")), reason, intent.at, rollout)
