"""The list of mutants that may survive, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.sites import Key

LIST = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True)
class Audit:
    """What the list and a run disagree on."""

    unlisted: tuple[Key, ...]
    killed: tuple[Key, ...]
    gone: tuple[Key, ...]

    @property
    def agrees(self) -> bool:
        """Return whether the list says what is."""
        return not (self.unlisted or self.killed or self.gone)


def listed(file: Path) -> Mapping[Key, str]:
    """Read the list: for each survivor why it may live."""
    found: dict[Key, str] = {}
    for place, entries in tomllib.loads(file.read_text(encoding="utf-8")).items():
        for entry in entries:
            key = Key(place, entry["line"], entry["change"], entry.get("nth", 1))
            if not entry["why"].strip() or key in found:
                raise ValueError(f"{file.name}: {key}: each survivor stands there once, with its reason")
            found[key] = entry["why"]
    return found


def audit(reasons: Mapping[Key, str], tried: Mapping[Key, bool], existing: Iterable[Key]) -> Audit:
    """Hold the list against a run: `tried` tells of each mutant whether it survived, `existing` are all there are."""
    there = set(existing)
    return Audit(
        unlisted=tuple(key for key, survived in tried.items() if survived and key not in reasons),
        killed=tuple(key for key in reasons if key in tried and not tried[key]),
        gone=tuple(key for key in reasons if key not in there),
    )
