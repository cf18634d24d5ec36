"""Look for the tapes that find a bug; only a tape on which the sound code keeps every promise can find one."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.museum.planting import Bug, Place
from tests.simulation.museum.visit import Breach, tape, visit, with_bug

# Tapes that found each bug, as `python -m tests.simulation.museum --write` puts them down.
KNOWN = Path(__file__).with_name("known_tapes.json")


@dataclass(frozen=True, slots=True)
class Find:
    """How a bug was found: on which tape, by what, in how many runs with the bug and seconds of the processor."""

    number: int
    breach: Breach
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Missed:
    """A bug that was not found, and what it broke instead of what it should have."""

    runs: int
    seconds: float
    instead: Counter[str]


@dataclass(slots=True)
class Hunt:
    """Remembers what sound code does on each tape; `seconds` were spent on that."""

    sound: dict[tuple[Place, int], Breach] = field(default_factory=dict)
    seconds: float = 0.0

    def clean(self, place: Place, number: int) -> bool:
        """Return whether the sound code keeps every promise on a tape."""
        if (place, number) not in self.sound:
            began = time.process_time()
            self.sound[place, number] = visit(place, tape(number))
            self.seconds += time.process_time() - began
        return not self.sound[place, number].promise

    def look(self, bug: Bug, numbers: Iterable[int], seconds: float) -> Find | Missed:
        """Look for a bug on these tapes, for at most these seconds of the processor."""
        began, runs, instead = time.process_time(), 0, Counter[str]()
        for number in numbers:
            spent = time.process_time() - began
            if spent > seconds:
                break
            if not self.clean(bug.place, number):
                continue
            runs += 1
            breach = with_bug(bug, tape(number))
            if breach.promise in bug.trips.split():
                return Find(number, breach, runs, time.process_time() - began)
            if breach.promise:
                instead[breach.promise] += 1
        return Missed(runs, time.process_time() - began, instead)


def known() -> dict[str, int]:
    """Return the tape that is known to find each bug."""
    found: dict[str, int] = json.loads(KNOWN.read_text(encoding="utf-8")) if KNOWN.exists() else {}
    return found


def write_known(found: dict[str, int]) -> None:
    """Put down the tapes that find the bugs."""
    KNOWN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
