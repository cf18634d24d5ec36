"""What a watch feeds: translate Kubernetes JSON and put it where the adapter reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from reconciler.systems.serving.api import Json, Key
from reconciler.systems.serving.cache import Cache, Entry
from reconciler.systems.serving.holding import held
from reconciler.systems.serving.ownership import fingerprint, needs_adoption
from reconciler.systems.serving.translate import Revision, inference_service, key_of, revision

T = TypeVar("T")


class Sink(Protocol[T]):
    """Takes over what a list and the watch after it show."""

    def keys(self) -> frozenset[Key]:
        """Return namespace and name of what is held now."""

    def translate(self, obj: Json) -> T:
        """Return what is kept of one object."""

    def replace(self, listed: Iterable[T]) -> None:
        """Take over a complete list of what was translated."""

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

    def translate(self, obj: Json) -> Entry:
        """Return what is kept of one InferenceService."""
        return Entry(inference_service(obj), fingerprint(obj), held(obj), needs_adoption(obj))

    def replace(self, listed: Iterable[Entry]) -> None:
        """Take over a complete list."""
        self._cache.replace(self._namespace, listed)

    def put(self, obj: Json) -> None:
        """Take over one InferenceService."""
        self._cache.put(self.translate(obj))

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

    def translate(self, obj: Json) -> Revision | None:
        """Return what is kept of one revision, None when it is not one of a predictor."""
        return revision(obj)

    def replace(self, listed: Iterable[Revision | None]) -> None:
        """Take over a complete list."""
        self._cache.replace_revisions(self._namespace, [one for one in listed if one])

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
