"""How the watches stand, and whether what they have shown can be trusted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.observed import Unknown
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True)
class Live:
    """A watch that runs: `at` is when it last proved so, by a list, an event or a bookmark."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Broken:
    """A watch that does not run since then; `proven` is when it last did, None when it never has."""

    why: str
    since: datetime
    proven: datetime | None = None


@dataclass(frozen=True, slots=True)
class NotServed:
    """The cluster does not have this kind of object, and need not."""


Health = Live | Broken | NotServed


class Feeds:
    """The health of every watch, by its name; `changed` is told of each change."""

    def __init__(self, now: Clock, stale_after: timedelta, changed: threading.Condition) -> None:
        self._now = now
        self._stale_after = stale_after
        self._changed = changed
        self._health: dict[str, Health] = {}

    def expect(self, feed: str) -> None:
        """Trust nothing before this feed has listed."""
        self._set(feed, Broken("has not been listed yet", self._now()))

    def live(self, feed: str) -> None:
        """Record that the feed has just proved to run."""
        self._set(feed, Live(self._now()))

    def not_served(self, feed: str) -> None:
        """Record that there is nothing to watch."""
        self._set(feed, NotServed())

    def broken(self, feed: str, why: str) -> None:
        """Record that the feed does not run; since when is kept while it stays so."""
        with self._changed:
            match self._health.get(feed):
                case Live(at):
                    self._set(feed, Broken(why, self._now(), at))
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
            health = self._health[feed]
            if not isinstance(health, Broken):
                return False
            return health.proven is None or self._now() - health.proven > self._stale_after

    def verdict(self) -> datetime | Unknown:
        """Return since when everything is known to be true, or why it is not."""
        with self._changed:
            for feed, health in sorted(self._health.items()):
                if isinstance(health, Broken) and self.is_stale(feed):
                    return Unknown(f"{feed}: {health.why}", health.since)
            return min((at for at in map(_proof, self._health.values()) if at), default=self._now())


def _proof(health: Health) -> datetime | None:
    match health:
        case Live(at):
            return at
        case Broken(_, _, proven):
            return proven
        case NotServed():
            return None
