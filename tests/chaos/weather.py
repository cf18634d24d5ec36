"""Systems that vanish, hang, answer half or not at all when the reconciler comes to a gap, and come back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from tests.chaos.conftest import LONG, Rig
from tests.chaos.judge import Reached
from tests.chaos.proxy import Mood, Pass

# Longer than every time-out that the reconciler was given.
AWAY_SECONDS = 60.0 if LONG else 2.5


@dataclass(frozen=True, slots=True)
class Outage:
    """What happens to a system when a gap is reached for the n-th time."""

    gap: str
    system: str
    mood: Mood
    time: int = 1


@dataclass
class Weather:
    """Brings the outages about when their gaps are reached, each for a while."""

    rig: Rig
    coming: list[Outage]
    counts: dict[str, int] = field(default_factory=dict)
    timers: dict[str, threading.Timer] = field(default_factory=dict)

    def __call__(self, reached: Reached) -> None:
        self.counts[reached.gap] = self.counts.get(reached.gap, 0) + 1
        for outage in [o for o in self.coming if (o.gap, o.time) == (reached.gap, self.counts[reached.gap])]:
            self.coming.remove(outage)
            self.strike(outage.system, outage.mood)

    def strike(self, system: str, mood: Mood) -> None:
        """Change a system's mood now, and change it back later; one that is away already stays away for longer."""
        if system in self.timers:
            self.timers[system].cancel()
        proxy = self.rig.world.proxies[system]
        proxy.become(mood)
        self.timers[system] = threading.Timer(AWAY_SECONDS, proxy.become, (Pass(),))
        self.timers[system].start()

    def clear(self) -> None:
        """Wait until every system is back."""
        for timer in self.timers.values():
            timer.join()
