"""Entries as JSON and back. Pure.

The canonical text is ASCII, keys sorted, no white space; it can be stored in any database encoding and is what the
hash covers. Numbers that JSON lacks (nan, inf) become the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.ports import Entry, Moment, Result


def canonical(value: object) -> str:
    """Return the one text that stands for a JSON value. Raises TypeError or ValueError for anything else."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    # The one control character that json leaves as it is; it can only stand inside a string.
    return text.replace("\x7f", "\\u007f")


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as a JSON object. Raises ValueError for a time without a zone."""
    return {
        "at": format_time(entry.at),
        "moment": entry.moment.value,
        "model": entry.model,
        "action": entry.action,
        "reason": entry.reason,
        "commit": entry.commit,
        "author": entry.author,
        "result": entry.result.value,
        "evidence": _finite(entry.evidence),
        "before": _finite(entry.before),
        "after": _finite(entry.after),
        "attemptOf": entry.attempt_of,
        "durationMs": entry.duration_ms,
    }


def entry_from_json(value: Mapping[str, Any]) -> Entry:
    """Read an entry that `entry_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    return Entry(
        at=parse_time(value["at"]),
        moment=Moment(value["moment"]),
        model=_text(value["model"]),
        action=_text(value["action"]),
        reason=_text(value["reason"]),
        commit=_text(value["commit"]),
        author=_text(value["author"]),
        result=Result(value["result"]),
        evidence=_object(value["evidence"]),
        before=_object(value["before"]),
        after=_object(value["after"]),
        attempt_of=_number(value["attemptOf"]),
        duration_ms=_number(value["durationMs"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected an object, found {type(value).__name__}")
    return value


def _number(value: object) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value


def format_time(at: datetime) -> str:
    """Write a time in UTC to the microsecond, so that texts sort as times do."""
    if at.tzinfo is None:
        raise ValueError(f"a time on the ledger needs a zone, {at.isoformat()} has none")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Read a time that `format_time` wrote. Raises ValueError or TypeError for anything else."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"a time on the ledger needs a zone, {text} has none")
    return at


def _finite(value: Any) -> Any:
    match value:
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case _:
            return value
