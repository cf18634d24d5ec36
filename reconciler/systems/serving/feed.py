"""What a watch feeds: translate Kubernetes JSON and put it where the adapter reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from reconciler.systems.serving.api import Json, Key
from reconciler.systems.serving.cache import Cache, Entry
from reconciler.systems.serving.holding import held
from reconciler.systems.serving.ownership import fingerprint, needs_adoption
from reconciler.systems.serving.translate import inference_service, key_of, revision


class Sink(Protocol):
    """Takes over what a list and the watch after it show."""

    def keys(self) -> frozenset[Key]:
        """Return namespace and name of what is held now."""

    def replace(self, objects: Iterable[Json]) -> None:
        """Take over a complete list."""

    def put(self, obj: Json) -> None:
        """Take over one object."""

    def drop(self, obj: Json) -> None:
        """Forget one object."""

    def not_served(self) -> None:
        """Hold nothing: the cluster does not have this kind of object."""


class ServiceSink:
    """Feeds InferenceServices of a namespace ("" for all) into the cache."""

    def __init__(self, cache: Cache, namespace: str) -> None:
        self._cache = cache
        self._namespace = namespace

    def keys(self) -> frozenset[Key]:
        """Return what is held now."""
        return self._cache.keys(self._namespace)

    def replace(self, objects: Iterable[Json]) -> None:
        """Take over a complete list."""
        self._cache.replace(self._namespace, [_entry(obj) for obj in objects])

    def put(self, obj: Json) -> None:
        """Take over one InferenceService."""
        self._cache.put(_entry(obj))

    def drop(self, obj: Json) -> None:
        """Forget one InferenceService."""
        self._cache.drop(key_of(obj))

    def not_served(self) -> None:
        """Hold nothing."""
        self._cache.replace(self._namespace, ())


class RevisionSink:
    """Feeds revisions of a namespace ("" for all) into the cache."""

    def __init__(self, cache: Cache, namespace: str) -> None:
        self._cache = cache
        self._namespace = namespace

    def keys(self) -> frozenset[Key]:
        """Return what is held now."""
        return self._cache.revision_keys(self._namespace)

    def replace(self, objects: Iterable[Json]) -> None:
        """Take over a complete list."""
        found = (revision(obj) for obj in objects)
        self._cache.replace_revisions(self._namespace, [one for one in found if one])

    def put(self, obj: Json) -> None:
        """Take over one revision."""
        if found := revision(obj):
            self._cache.put_revision(found)

    def drop(self, obj: Json) -> None:
        """Forget one revision."""
        if found := revision(obj):
            self._cache.drop_revision(found)

    def not_served(self) -> None:
        """Hold nothing."""
        self._cache.no_revisions()


def _entry(obj: Json) -> Entry:
    return Entry(inference_service(obj), fingerprint(obj), held(obj), needs_adoption(obj))
