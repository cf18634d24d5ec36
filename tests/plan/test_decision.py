"""When to look again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from reconciler.plan.decision import stall, wait
from reconciler.status import Phase
from tests.plan.scenes import NOW

LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("planned", "other", "expected"),
    [(NOW, LATER, NOW), (LATER, NOW, NOW), (None, NOW, NOW), (NOW, None, NOW), (None, None, None)],
)
def test_the_sooner_of_two_times_counts(
    planned: datetime | None, other: datetime | None, expected: datetime | None
) -> None:
    assert wait("it", Phase.IDLE, until=planned).sooner(other).look_again_at == expected


def test_what_stalls_needs_a_change_unless_it_says_another_cause() -> None:
    assert stall("nothing passes", Phase.GATING, "a better version").cause == "NeedsChange"
