"""Durations as Kubernetes and Prometheus users write them: 90s, 10m, 2h, 30d, 1h30m."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN = r"^([0-9]+(ms|[smhdw]))+$"
_PART = re.compile(r"([0-9]+)(ms|[smhdw])")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)
_LONGEST_MS = 3650 * _UNIT_MS["d"]


class NotADuration(ValueError):  # noqa: N818  it says what the text is
    """A text that is no duration; where it is a number, `meant` says how to write that."""

    def __init__(self, text: object) -> None:
        units = 'such as "250ms", "90s", "10m", "2h" or "30d"'
        super().__init__(f"not a duration: {_short(text)}. Write a number with a unit, {units}")
        self.text = text

    def meant(self, field: str) -> str:
        """Say how to write a number without a unit: of a latency as milliseconds, else as seconds; "" for others."""
        if isinstance(self.text, bool) or not _NUMBER.fullmatch(str(self.text)):
            return ""
        whole = str(self.text).isdecimal()
        unit = "ms" if whole and "latency" in field.lower() else "s"
        length = float(str(self.text)) * _UNIT_MS[unit]
        if length > _LONGEST_MS:
            return ""
        exact = format_duration(timedelta(milliseconds=round(length)))
        options = dict.fromkeys([f"{int(str(self.text))}{unit}", exact] if whole else [exact])
        return "write " + " or ".join(f'"{option}"' for option in options)


def parse_duration(text: object) -> timedelta:
    """Read a duration; raises ValueError, mostly NotADuration, with what is expected."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or len(text) > 32 or not re.fullmatch(PATTERN, text):
        raise NotADuration(text)
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
