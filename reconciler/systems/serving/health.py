"""How the watches stand, and whether what they have shown can be trusted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from reconciler.observed import Unknown
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True)
class Live:
    """A watch that runs: `at` is when it last proved so, by a list, an event or a bookmark.

    `tick` is that moment by a clock that nobody sets.
    """

    at: datetime
    tick: float


@dataclass(frozen=True, slots=True)
class Broken:
    """A watch that does not run since then; `proven` is when it last was seen to, None when it never was."""

    why: str
    since: datetime
    proven: Live | None = None


@dataclass(frozen=True, slots=True)
class NotServed:
    """The cluster does not have this kind of object, and need not."""


Health = Live | Broken | NotServed


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a watch's last word is trusted: once it is `broken`, and while it is only `silent`.

    A watch that is silent for longer than any that runs hangs somewhere, and nobody is there to say that it is broken.
    """

    broken: float
    silent: float


class Feeds:
    """The health of every watch, by its name; `changed` is told of each change. `monotonic` returns seconds."""

    def __init__(
        self, now: Clock, monotonic: Callable[[], float], patience: Patience, changed: threading.Condition
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self.patience = patience
        self._changed = changed
        self._health: dict[str, Health] = {}

    def expect(self, feed: str) -> None:
        """Trust nothing before this feed has listed."""
        self._set(feed, Broken("has not been listed yet", self._now()))

    def live(self, feed: str) -> None:
        """Record that the feed has just proved to run."""
        self._set(feed, Live(self._now(), self._monotonic()))

    def not_served(self, feed: str) -> None:
        """Record that there is nothing to watch."""
        self._set(feed, NotServed())

    def broken(self, feed: str, why: str) -> None:
        """Record that the feed does not run; since when is kept while it stays so."""
        with self._changed:
            match self._health.get(feed):
                case Live() as proven:
                    self._set(feed, Broken(why, self._now(), proven))
                case Broken(_, since, proven):
                    self._set(feed, Broken(why, since, proven))
                case _:
                    self._set(feed, Broken(why, self._now()))

    def _set(self, feed: str, health: Health) -> None:
        with self._changed:
            self._health[feed] = health
            self._changed.notify_all()

    def is_stale(self, feed: str) -> bool:
        """Tell whether what this feed has shown is too old to be trusted."""
        with self._changed:
            match self._health[feed]:
                case Live(_, tick):
                    return self._monotonic() - tick > self.patience.silent
                case Broken(_, _, proven):
                    return proven is None or self._monotonic() - proven.tick > self.patience.broken
                case NotServed():
                    return False

    def verdict(self) -> datetime | Unknown:
        """Return since when everything is known to be true, or why it is not."""
        with self._changed:
            for feed, health in sorted(self._health.items()):
                if self.is_stale(feed):
                    return _doubt(feed, health)
            return min((at for at in map(_proven, self._health.values()) if at), default=self._now())


def _doubt(feed: str, health: Health) -> Unknown:
    match health:
        case Broken(why, since):
            return Unknown(f"{feed}: {why}", since)
        case _:
            return Unknown(f"{feed}: the watch neither shows anything nor fails", _proven(health))


def _proven(health: Health) -> datetime | None:
    match health:
        case Live(at):
            return at
        case Broken(_, _, proven):
            return proven.at if proven else None
        case NotServed():
            return None
