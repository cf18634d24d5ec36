"""For how long what a watch showed is trusted, by clocks that a test sets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.observed import Unknown
from reconciler.systems.serving.health import Feeds, Patience
from reconciler.systems.serving.kserve import Options
from reconciler.systems.serving.reflector import Pace

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(slots=True)
class Clocks:
    """The clock on the wall, which people set, and one that only goes on."""

    wall: datetime = START
    ticks: float = 1000.0
    feeds: Feeds = field(init=False)

    def __post_init__(self) -> None:
        patience = Patience(broken=15.0, silent=130.0)
        self.feeds = Feeds(lambda: self.wall, lambda: self.ticks, patience, threading.Condition())
        self.feeds.expect("watch")

    def go_on(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_a_broken_watch_is_trusted_for_a_while(clocks: Clocks) -> None:
    clocks.feeds.live("watch")
    clocks.go_on(1)
    clocks.feeds.broken("watch", "cut")
    clocks.go_on(14)
    assert clocks.feeds.verdict() == START
    clocks.go_on(1)
    assert clocks.feeds.verdict() == Unknown("watch: cut", START + timedelta(seconds=1))


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forward"])
def test_a_clock_that_is_set_makes_what_was_seen_neither_younger_nor_older(clocks: Clocks, hours: int) -> None:
    clocks.feeds.live("watch")
    clocks.wall += timedelta(hours=hours)
    clocks.feeds.broken("watch", "cut")
    clocks.go_on(15)
    assert not isinstance(clocks.feeds.verdict(), Unknown)
    clocks.go_on(1)
    assert isinstance(clocks.feeds.verdict(), Unknown)


def test_a_watch_that_neither_shows_anything_nor_fails_is_not_trusted_for_ever(clocks: Clocks) -> None:
    clocks.feeds.live("watch")
    clocks.go_on(130)
    assert clocks.feeds.verdict() == START
    clocks.go_on(1)
    assert clocks.feeds.verdict() == Unknown("watch: the watch neither shows anything nor fails", START)
    clocks.feeds.live("watch")
    assert clocks.feeds.verdict() == START + timedelta(seconds=131)


def test_what_is_not_served_stays_so_however_long_it_takes(clocks: Clocks) -> None:
    clocks.feeds.not_served("watch")
    clocks.go_on(10_000)
    assert not isinstance(clocks.feeds.verdict(), Unknown)


def test_a_watch_is_silent_for_as_long_as_it_may_be_idle_and_opening_it_may_take() -> None:
    options = Options(stale_after=timedelta(seconds=20), timeout=timedelta(seconds=15), pace=Pace(idle_seconds=100.0))
    assert options.patience == Patience(broken=20.0, silent=135.0)
