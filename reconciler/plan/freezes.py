"""Freeze windows of the policy: which hold a model up, and for how long they did. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from reconciler.desired.cron import last_fire, next_fire
from reconciler.desired.documents import FreezeWindow, PolicySpec

Span = tuple[datetime, datetime]


def freezes_of(policy: PolicySpec, model: str) -> tuple[FreezeWindow, ...]:
    """Return the freezes that hold a model up."""
    return tuple(w for w in policy.freezes if any(fnmatchcase(model, pattern) for pattern in w.models))


def frozen(freezes: Iterable[FreezeWindow], now: datetime) -> tuple[str, datetime | None]:
    """Return the freeze in force (empty: none), and when the next one begins or this one ends."""
    changes: list[datetime] = []
    for window in freezes:
        ends = last_fire(window.start, now) + window.duration
        if now < ends:
            return f"the freeze {window.name} until {ends:%F %H:%M}Z", ends
        changes.append(next_fire(window.start, now))
    return "", min(changes, default=None)


def frozen_spans(freezes: Iterable[FreezeWindow], since: datetime, now: datetime) -> Iterator[Span]:
    """Yield from when until when each freeze was in force, from `since` until now."""
    for window in freezes:
        begins = last_fire(window.start, now)
        while begins + window.duration > since:
            yield max(begins, since), min(begins + window.duration, now)
            begins = last_fire(window.start, begins - timedelta(minutes=1))


def covered(spans: Iterable[Span], since: datetime) -> timedelta:
    """Return how much of the time after `since` lies in any of the spans."""
    total, reached = timedelta(), since
    for begin, end in sorted(spans):
        if end > reached:
            total, reached = total + end - max(begin, reached), end
    return total
