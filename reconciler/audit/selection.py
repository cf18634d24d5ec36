"""Which entries somebody asks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.desired.duration import parse_duration
from reconciler.errors import Refused


@dataclass(frozen=True, slots=True)
class Selection:
    """Entries of one model, of some actions, in a time: `since` counts itself, `until` does not."""

    model: str | None = None
    actions: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    after_seq: int = 0


def parse_when(text: str, now: datetime) -> datetime:
    """Read a point in time: RFC 3339 (UTC where it names no zone), or how long ago, such as 7d. Raises Refused."""
    try:
        return now - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        help_text = "write 2026-08-20T09:31Z, 2026-08-20, or how long ago: 90s, 10m, 2h, 7d"
        raise Refused(f"not a time: {text!r}", help=help_text) from None
