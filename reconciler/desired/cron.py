"""Cron expressions, five fields, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import croniter


def check_cron(expression: str | None) -> str | None:
    """Accept a five-field cron expression; raises ValueError with what is expected."""
    if expression is None:
        return None
    if len(expression.split()) != 5 or not croniter.is_valid(expression):
        raise ValueError(
            f'not a cron expression: {expression!r}. Write five fields, such as "0 3 * * 1" (Mondays at 03:00 UTC)'
        )
    return expression


def last_fire(expression: str, now: datetime) -> datetime:
    """Return the latest time at or before `now` at which the expression fires."""
    if croniter.match(expression, now):
        return now.astimezone(UTC).replace(second=0, microsecond=0)
    fired: datetime = croniter(expression, now.astimezone(UTC)).get_prev(datetime)
    return fired


def next_fire(expression: str, now: datetime) -> datetime:
    """Return the first time after `now` at which the expression fires."""
    fire: datetime = croniter(expression, now.astimezone(UTC)).get_next(datetime)
    return fire
