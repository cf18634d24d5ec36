"""How far the resourceVersions of one watch have come: a list that is older than what was seen is not taken over."""

from __future__ import annotations

import re

from reconciler.errors import Transient

_NUMBER = re.compile(r"[0-9]{1,30}")


class Versions:
    """Refuses what goes back, for so many seconds: a cluster that was restored from a backup counts anew."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._newest = 0
        self._behind_since: float | None = None

    def saw(self, version: str) -> None:
        """Take note of what a list or a watch has come to."""
        self._newest = max(self._newest, _number(version) or 0)

    def check(self, version: str, now: float) -> None:
        """Take note of a list's version; raises Transient where it is older than what was seen, for the time being."""
        listed = _number(version)
        if listed is None or listed >= self._newest:
            self._behind_since = None
            self.saw(version)
            return
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since <= self._patience:
            raise Transient(f"the list is older ({listed}) than what was seen ({self._newest})")
        self._newest, self._behind_since = listed, None


def _number(version: str) -> int | None:
    return int(version) if _NUMBER.fullmatch(version) else None
