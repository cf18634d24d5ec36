"""Durations as Kubernetes and Prometheus users write them: 90s, 10m, 2h, 30d, 1h30m."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN = r"^([0-9]+(ms|[smhdw]))+$"
_PART = re.compile(r"([0-9]+)(ms|[smhdw])")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_LONGEST_MS = 3650 * _UNIT_MS["d"]


def parse_duration(text: object) -> timedelta:
    """Read a duration; raises ValueError with what is expected."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or len(text) > 32 or not re.fullmatch(PATTERN, text):
        raise ValueError(
            f'not a duration: {_short(text)}. Write a number with a unit, such as "90s", "10m", "2h" or "30d"'
        )
    milliseconds = sum(int(n) * _UNIT_MS[unit] for n, unit in _PART.findall(text))
    # Compared as numbers: more than a billion days fit into no timedelta.
    if milliseconds > _LONGEST_MS:
        raise ValueError(f"too long: {text!r}; the longest duration is 3650d")
    return timedelta(milliseconds=milliseconds)


def _short(text: object) -> str:
    return repr(text[:60] if isinstance(text, str) else text)[:80]


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest units that are exact, such as 1h30m."""
    rest = round(value.total_seconds() * 1000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["90s", "10m", "2h", "30d"]}),
]
