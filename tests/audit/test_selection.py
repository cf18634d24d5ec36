"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.audit.selection import parse_when
from reconciler.errors import Refused

NOW = datetime(2026, 8, 20, 9, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param("7d", NOW - timedelta(days=7), id="days ago"),
        pytest.param("1h30m", NOW - timedelta(minutes=90), id="hours and minutes ago"),
        pytest.param("2026-06-01T00:00:00Z", datetime(2026, 6, 1, tzinfo=UTC), id="RFC 3339"),
        pytest.param("2026-06-01T00:00Z", datetime(2026, 6, 1, tzinfo=UTC), id="without seconds"),
        pytest.param("2026-06-01T02:00+02:00", datetime(2026, 6, 1, tzinfo=UTC), id="another zone"),
        pytest.param("2026-06-01", datetime(2026, 6, 1, tzinfo=UTC), id="a day"),
        pytest.param("2026-06-01T00:00", datetime(2026, 6, 1, tzinfo=UTC), id="no zone is UTC"),
    ],
)
def test_a_time_is_understood(text: str, at: datetime) -> None:
    assert parse_when(text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "7 d", "-7d", "2026-13-01", "0001-01-01T00:00+14:00", "99999d"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(Refused, match="not a time") as caught:
        parse_when(text, NOW)
    assert "2h" in caught.value.help
