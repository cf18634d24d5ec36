"""A model's past as people ask for it: what was tried, how it ended, what was serving at a time. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from reconciler.observed import Release
from reconciler.plan.action import (
    Analyse,
    BeginStep,
    CutTraffic,
    Deploy,
    FinishRollback,
    Promote,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
    StartCanary,
    TakeDown,
)
from reconciler.ports import Moment, Recorded, Result

ROUTINE = frozenset({Analyse.__name__, BeginStep.__name__})
"""Actions that measure and wait: many, and no change by themselves."""

_SERVING_ACTIONS = (Deploy, Promote, StartCanary, ShiftTraffic, RouteAll, CutTraffic, FinishRollback, TakeDown)
_VERSION = re.compile(r"[0-9]{1,10}")
SERVING = tuple(action.__name__ for action in _SERVING_ACTIONS)
"""Actions after which callers may get something else."""

_SHARE = {StartCanary.__name__: 0, CutTraffic.__name__: 0, RouteAll.__name__: 100}
_FROM_LIVE = frozenset({Deploy.__name__, StartCanary.__name__, RestoreStable.__name__})


@dataclass(frozen=True, slots=True)
class Attempt:
    """An action with how it ended: `seq` and `at` are the intent's; Pending means that no outcome is on record."""

    seq: int
    at: datetime
    model: str
    action: str
    reason: str
    commit: str
    author: str
    result: Result
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    ended_at: datetime | None = None
    duration_ms: int | None = None

    @property
    def versions(self) -> str:
        """Write which version it was about, such as `43 -> 44`."""
        old, new = self._replaced(), version_of(self.after)
        if old is not None and new is not None and old != new:
            return f"{old} -> {new}"
        return "" if new is None else str(new)

    def _replaced(self) -> int | None:
        if self.action in _FROM_LIVE:
            return version_of(self.before)
        if self.action == Promote.__name__:
            stages = self.before.get("versions", {})
            held = (version for version, stage in stages.items() if stage == "Production")
            return next((found for version in held if (found := version_of({"version": version})) is not None), None)
        return None


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and its share: `since` its trial began, by that commit; `seq` is the last entry about the share."""

    version: int
    percent: int | None
    since: datetime
    seq: int
    commit: str
    author: str


@dataclass(frozen=True, slots=True)
class ServingAt:
    """What callers got: `version` is stable, None when nothing was served; `trial` is what was on its way meanwhile.

    `seq` is the entry that says so, `since` the time of the first that did.
    """

    version: int | None = None
    since: datetime | None = None
    seq: int | None = None
    commit: str = ""
    author: str = ""
    trial: Trial | None = None


def attempts(records: Iterable[Recorded]) -> list[Attempt]:
    """Join intents with their outcomes, in the order of the intents; notes and lone outcomes stand for themselves."""
    joined: dict[int, Attempt] = {}
    for record in records:
        intent = joined.get(record.entry.attempt_of or 0)
        if intent is not None and record.entry.moment is Moment.OUTCOME:
            joined[intent.seq] = _ended(intent, record)
        else:
            joined[record.seq] = _begun(record)
    return list(joined.values())


def serving_at(tried: Sequence[Attempt], at: datetime) -> ServingAt:
    """Tell what was serving at a time, from the attempts before it."""
    serving = ServingAt()
    done = [a for a in tried if a.result is Result.DONE and (a.ended_at or a.at) <= at]
    for attempt in sorted(done, key=lambda a: a.ended_at or a.at):
        serving = _after(serving, attempt)
    return serving


def version_of(state: Mapping[str, Any]) -> int | None:
    """Return the version that `before` or `after` names, as `version` or in `release`."""
    version = state.get("version")
    if isinstance(version, int | str) and _VERSION.fullmatch(str(version)[:11]):
        return int(version)
    release = Release.parse(str(state.get("release", "")))
    return release.version if release else None


def _begun(record: Recorded) -> Attempt:
    entry = record.entry
    ended = None if entry.moment is Moment.INTENT else entry.at
    result = entry.result if entry.moment is not Moment.NOTE else Result.DONE
    return Attempt(
        record.seq, entry.at, entry.model, entry.action, entry.reason, entry.commit, entry.author, result,
        entry.before, entry.after, ended, entry.duration_ms,
    )  # fmt: skip


def _ended(intent: Attempt, outcome: Recorded) -> Attempt:
    entry = outcome.entry
    return replace(
        intent,
        result=entry.result,
        reason=intent.reason if entry.result is Result.DONE else entry.reason or intent.reason,
        before={**intent.before, **entry.before},
        after={**intent.after, **entry.after},
        ended_at=entry.at,
        duration_ms=entry.duration_ms,
    )


def _after(serving: ServingAt, attempt: Attempt) -> ServingAt:
    version = version_of(attempt.after)
    match attempt.action:
        case "Deploy" | "Promote":
            since = serving.since if version == serving.version else attempt.ended_at
            return ServingAt(version, since or attempt.at, attempt.seq, attempt.commit, attempt.author)
        case "StartCanary" | "ShiftTraffic" | "RouteAll" | "CutTraffic":
            return replace(serving, trial=_tried(serving.trial, version, attempt))
        case "FinishRollback":
            return replace(serving, trial=None)
        case "TakeDown":
            return ServingAt(None, attempt.ended_at or attempt.at, attempt.seq, attempt.commit, attempt.author)
        case _:
            return serving


def _tried(before: Trial | None, version: int | None, attempt: Attempt) -> Trial | None:
    """Return the trial after an attempt that gave or took traffic."""
    percent = _SHARE.get(attempt.action, attempt.after.get("percent"))
    if before is not None and version in (None, before.version):
        return replace(before, percent=percent, seq=attempt.seq)
    if version is None:
        return None
    return Trial(version, percent, attempt.ended_at or attempt.at, attempt.seq, attempt.commit, attempt.author)
