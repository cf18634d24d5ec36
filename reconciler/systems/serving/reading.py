"""Read foreign JSON: whatever is missing or of another type reads as empty, never as an error."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reconciler.systems.serving.api import Json

# Nothing can be added to a time at the end of all calendars.
_YEARS = range(2000, 2200)


def mapping(value: object, *path: str) -> Json:
    """Return the object at this path, {} when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: object, *path: str) -> list[Json]:
    """Return the objects of the list at this path."""
    found = mapping(value, *path[:-1]).get(path[-1])
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(value: Json, name: str) -> str:
    """Return a string field, "" when there is none."""
    found: Any = value.get(name)
    return found if isinstance(found, str) else ""


def number(value: Json, name: str) -> int | None:
    """Return an integer field."""
    found: Any = value.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def moment(value: Json, name: str) -> datetime | None:
    """Return a time that can be counted from, None for any other."""
    try:
        at = datetime.fromisoformat(text(value, name))
    except ValueError:
        return None
    return at if at.tzinfo is not None and at.year in _YEARS else None
