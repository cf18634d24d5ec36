"""What a watch feeds: translate Kubernetes JSON and put it where the adapter reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from reconciler.systems.serving.api import Json, Key
from reconciler.systems.serving.cache import Cache, Entry
from reconciler.systems.serving.holding import held
from reconciler.systems.serving.ownership import fingerprint, needs_adoption
from reconciler.systems.serving.parts import P, Parts
from reconciler.systems.serving.reading import mapping, text
from reconciler.systems.serving.translate import inference_service, key_of

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
        self._cache.drop(key_of(obj), text(mapping(obj, "metadata"), "uid"))

    def not_served(self) -> None:
        """Hold nothing."""
        self._cache.replace(self._namespace, ())


class PartSink(Generic[P]):
    """Feeds what belongs to InferenceServices, of a namespace ("" for all), into the cache.

    `translate` returns None for objects of the kind that belong to none.
    """

    def __init__(self, cache: Cache, parts: Parts[P], translate: Callable[[Json], P | None], namespace: str) -> None:
        self._cache = cache
        self._parts = parts
        self.translate = translate
        self._namespace = namespace

    def keys(self) -> frozenset[Key]:
        """Return what is held now."""
        return self._cache.part_keys(self._parts, self._namespace)

    def replace(self, listed: Iterable[P | None]) -> None:
        """Take over a complete list."""
        self._cache.replace_parts(self._parts, self._namespace, [one for one in listed if one])

    def put(self, obj: Json) -> None:
        """Take over one object; one that belongs to nobody any more is forgotten."""
        if found := self.translate(obj):
            self._cache.put_part(self._parts, found)
        else:
            self.drop(obj)

    def drop(self, obj: Json) -> None:
        """Forget one object."""
        self._cache.drop_part(self._parts, key_of(obj))

    def not_served(self) -> None:
        """Hold nothing."""
        self._cache.no_parts(self._parts)
