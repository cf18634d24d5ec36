"""Cron expressions, five fields, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, lru_cache
from types import ModuleType

_LONGEST = 200
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


@cache
def _library() -> ModuleType:
    """Import croniter when the first expression is met: most specs have none, and commands must start quickly."""
    import croniter  # noqa: PLC0415  only where a spec has a schedule

    return croniter


def check_cron(expression: str | None) -> str | None:
    """Accept a five-field cron expression; raises ValueError with what is expected."""
    if expression is None:
        return None
    if len(expression) > _LONGEST:
        raise ValueError(f"not a cron expression: it has {len(expression):,} characters, {_LONGEST} are plenty")
    if not _is_cron(expression):
        raise ValueError(
            f'not a cron expression: {expression!r}. Write five fields, such as "0 3 * * 1" (Mondays at 03:00 UTC)'
        )
    if not _fires(expression):
        raise ValueError(f"the cron expression {expression!r} never fires: no such day is in any calendar")
    return expression


@lru_cache(maxsize=1024)
def _is_cron(expression: str) -> bool:
    # croniter's R draws lots each time that it is asked.
    return len(expression.split()) == 5 and "r" not in _without_names(expression) and _valid(expression)


def _valid(expression: str) -> bool:
    return bool(_library().croniter.is_valid(expression))


def _without_names(expression: str) -> str:
    return expression.lower().replace("mar", "").replace("apr", "").replace("fri", "").replace("thu", "")


@lru_cache(maxsize=1024)
def _fires(expression: str) -> bool:
    try:
        _neighbour(expression, _SOME_DAY, "get_prev")
        _neighbour(expression, _SOME_DAY, "get_next")
    except _library().CroniterError:
        return False
    return True


def last_fire(expression: str, now: datetime) -> datetime:
    """Return the latest time at or before `now` at which the expression fires."""
    return _last(expression, _minute(now))


def next_fire(expression: str, now: datetime) -> datetime:
    """Return the first time after `now` at which the expression fires."""
    return _next(expression, _minute(now))


def _minute(now: datetime) -> datetime:
    """Return the minute that it is: nothing fires within one, and many models ask about the same."""
    return now.astimezone(UTC).replace(second=0, microsecond=0)


@lru_cache(maxsize=4096)
def _last(expression: str, minute: datetime) -> datetime:
    return minute if _library().croniter.match(expression, minute) else _neighbour(expression, minute, "get_prev")


@lru_cache(maxsize=4096)
def _next(expression: str, minute: datetime) -> datetime:
    return _neighbour(expression, minute, "get_next")


def _neighbour(expression: str, minute: datetime, which: str) -> datetime:
    fire: datetime = getattr(_library().croniter(expression, minute), which)(datetime)
    return fire
