"""What stands beside InferenceServices and belongs to them: revisions, Deployments, routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from reconciler.systems.serving.api import Key


class Part(Protocol):
    """One object that belongs to an InferenceService."""

    @property
    def service(self) -> Key:
        """Return namespace and name of the InferenceService."""

    @property
    def name(self) -> str:
        """Return its own name, in the same namespace."""


P = TypeVar("P", bound=Part)


@dataclass(slots=True)
class Parts(Generic[P]):
    """All parts of one kind, by the InferenceService they belong to; not for several threads at once.

    `held` is None where the cluster does not serve the kind, and until it has been listed.
    """

    held: dict[Key, Mapping[str, P]] | None = None

    def of(self, service: Key) -> Mapping[str, P]:
        """Return the parts of one InferenceService by name."""
        return (self.held or {}).get(service, {})

    def keys(self, namespace: str) -> frozenset[Key]:
        """Return namespace and name of the parts of a namespace, "" for all."""
        known = [(service[0], names) for service, names in (self.held or {}).items()]
        return frozenset((place, name) for place, names in known if namespace in ("", place) for name in names)

    def put(self, part: P) -> frozenset[Key]:
        """Take over one part; return the InferenceServices whose parts changed, here and below."""
        return self._update({part.service: {**self.of(part.service), part.name: part}})

    def drop(self, part: P) -> frozenset[Key]:
        """Forget one part."""
        return self._update({part.service: {n: p for n, p in self.of(part.service).items() if n != part.name}})

    def replace(self, namespace: str, parts: Iterable[P]) -> frozenset[Key]:
        """Take over a complete list of a namespace, "" for all."""
        listed: dict[Key, dict[str, P]] = {}
        for part in parts:
            listed.setdefault(part.service, {})[part.name] = part
        known = [service for service in self.held or () if namespace in ("", service[0])]
        return self._update({service: listed.get(service, {}) for service in (*known, *listed)})

    def _update(self, parts: Mapping[Key, Mapping[str, P]]) -> frozenset[Key]:
        changed = {service: names for service, names in parts.items() if self.of(service) != names}
        held = self.held = self.held or {}
        held.update(changed)
        for service in [service for service, names in changed.items() if not names]:
            del held[service]
        return frozenset(changed)
