"""Whether all has been seen once: the systems as a whole, then every model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from threading import Lock

from reconciler.passes import GIT, REGISTRY, SERVING
from reconciler.status import SystemStatus

_NEEDED = (GIT, REGISTRY, SERVING)


class FirstLook:
    """Counts looks at models from when every needed system is known; once complete it stays so."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counting = False
        self._complete = False
        self._looked: set[str] = set()

    @property
    def counting(self) -> bool:
        """Tell whether a look that begins now sees every system."""
        return self._counting

    @property
    def complete(self) -> bool:
        """Tell whether all has been seen."""
        return self._complete

    def begin(self, systems: Mapping[str, SystemStatus]) -> bool:
        """Begin to count once every needed system is known; True the one time that it begins."""
        with self._lock:
            if self._counting or unknown_systems(systems):
                return False
            self._counting = True
            return True

    def looked(self, name: str) -> None:
        """Count a model."""
        with self._lock:
            if not self._complete:
                self._looked.add(name)

    def missing(self, names: Collection[str]) -> int:
        """Return how many of these models were not looked at yet; 0 completes the first look."""
        with self._lock:
            missing = 0 if self._complete else sum(1 for name in names if name not in self._looked)
            if self._counting and not missing:
                self._complete = True
                self._looked.clear()
            return missing


def unknown_systems(systems: Mapping[str, SystemStatus]) -> tuple[str, ...]:
    """Return one sentence for each needed system of which there is no picture yet."""
    return tuple(
        f"{name} has not been read yet"
        + (f": {system.error}" if (system := systems.get(name)) and system.error else "")
        for name in _NEEDED
        if not _is_known(systems.get(name))
    )


def _is_known(system: SystemStatus | None) -> bool:
    return system is not None and (system.ok or system.age_seconds is not None)
