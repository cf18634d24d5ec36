"""What stands beside InferenceServices and belongs to them: revisions, Deployments, routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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

    `held` is None where the cluster does not serve the kind, and until it has been listed; `owners` names the
    InferenceService of each part.
    """

    held: dict[Key, Mapping[str, P]] | None = None
    owners: dict[Key, Key] = field(default_factory=dict)

    def of(self, service: Key) -> Mapping[str, P]:
        """Return the parts of one InferenceService by name."""
        return (self.held or {}).get(service, {})

    def keys(self, namespace: str) -> frozenset[Key]:
        """Return namespace and name of the parts of a namespace, "" for all."""
        return frozenset(key for key in self.owners if namespace in ("", key[0]))

    def put(self, part: P) -> frozenset[Key]:
        """Take over one part; return the InferenceServices whose parts changed, here and below."""
        moved = self.owners.get((part.service[0], part.name), part.service) != part.service
        left = self.drop((part.service[0], part.name)) if moved else frozenset[Key]()
        return left | self._update({part.service: {**self.of(part.service), part.name: part}})

    def drop(self, key: Key) -> frozenset[Key]:
        """Forget the part of this namespace and name, whichever InferenceService it belonged to."""
        service = self.owners.get(key)
        if service is None:
            return frozenset()
        return self._update({service: {name: part for name, part in self.of(service).items() if name != key[1]}})

    def replace(self, namespace: str, parts: Iterable[P]) -> frozenset[Key]:
        """Take over a complete list of a namespace, "" for all."""
        listed: dict[Key, dict[str, P]] = {}
        for part in parts:
            listed.setdefault(part.service, {})[part.name] = part
        known = [service for service in self.held or () if namespace in ("", service[0])]
        return self._update({service: listed.get(service, {}) for service in (*known, *listed)})

    def clear(self) -> None:
        """Hold nothing: the kind is not served."""
        self.held = None
        self.owners.clear()

    def _update(self, parts: Mapping[Key, Mapping[str, P]]) -> frozenset[Key]:
        changed = {service: names for service, names in parts.items() if self.of(service) != names}
        held = self.held = self.held or {}
        for service, names in changed.items():
            for name in self.of(service):
                del self.owners[service[0], name]
            held.pop(service, None)
            if names:
                held[service] = names
        self.owners |= {(service[0], name): service for service, names in changed.items() for name in names}
        return frozenset(changed)
