"""InferenceServices and what belongs to them, as the watches last showed them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from reconciler.observed import InferenceService
from reconciler.systems.serving.api import Key
from reconciler.systems.serving.parts import P, Parts
from reconciler.systems.serving.standard import Link, Route, Workload, joined
from reconciler.systems.serving.translate import Revision

OnChange = Callable[[str, str], None]
Services = Mapping[Key, InferenceService]


@dataclass(frozen=True, slots=True)
class Entry:
    """One InferenceService; `fingerprint` changes with its spec and with who owns which field of it.

    `held` stands for the fields that are ours, with their values. `adopt` is true until the fields that our create
    wrote belong to our apply.
    """

    service: InferenceService
    fingerprint: str
    held: str
    adopt: bool


class Cache:
    """Fed by the watches from their threads, read from any; `changed` is told of each change."""

    def __init__(self, changed: threading.Condition, link: Link) -> None:
        self._changed = changed
        self._link = link
        self._entries: dict[Key, Entry] = {}
        self.revisions: Parts[Revision] = Parts()
        self.workloads: Parts[Workload] = Parts()
        self.routes: Parts[Route] = Parts()
        self._joined: dict[Key, InferenceService] = {}
        self._snapshot: Services | None = None
        self._listeners: list[OnChange] = []
        self._canaries = True

    def listen(self, on_change: OnChange) -> None:
        """Call `on_change(namespace, name)` after each change that could matter, from the watch's thread."""
        self._listeners.append(on_change)

    def services(self) -> Services:
        """Return all InferenceServices; what is returned does not change any more."""
        with self._changed:
            if self._snapshot is None:
                self._snapshot = MappingProxyType(dict(self._joined))
            return self._snapshot

    def entry(self, key: Key) -> Entry | None:
        """Return one entry."""
        with self._changed:
            return self._entries.get(key)

    def keys(self, namespace: str) -> frozenset[Key]:
        """Return the InferenceServices of a namespace, "" for all."""
        with self._changed:
            return frozenset(key for key in self._entries if namespace in ("", key[0]))

    def put(self, entry: Entry) -> None:
        """Take over one InferenceService."""
        self._update([entry], ())

    def drop(self, key: Key, uid: str) -> None:
        """Forget the InferenceService with this uid; one that was made anew under its name stays."""
        held = self.entry(key)
        if held is not None and held.service.uid == uid:
            self._update((), [key])

    def replace(self, namespace: str, entries: Iterable[Entry]) -> None:
        """Take over a complete list of a namespace, "" for all."""
        listed = list(entries)
        # KServe may have been updated: it is tried anew once in a while.
        self._canaries = True
        self._update(listed, self.keys(namespace) - {_key(entry) for entry in listed})

    def knows_no_canaries(self) -> None:
        """Record, until all is listed again, that KServe keeps no canary in Standard mode."""
        with self._changed:
            self._canaries = False
            standard = [key for key, entry in self._entries.items() if entry.service.standard]
            self._join(standard)
        self._tell(standard)

    def _update(self, entries: Iterable[Entry], gone: Iterable[Key]) -> None:
        with self._changed:
            matters = [_key(entry) for entry in entries if not _same(self._entries.get(_key(entry)), entry)]
            self._entries.update((_key(entry), entry) for entry in entries)
            removed = [key for key in gone if self._entries.pop(key, None)]
            self._join([*(_key(entry) for entry in entries), *removed])
        self._tell([*matters, *removed])

    def _join(self, keys: Iterable[Key]) -> None:
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                self._joined.pop(key, None)
            else:
                self._joined[key] = self._complete(key, entry.service)
        self._snapshot = None
        self._changed.notify_all()

    def _complete(self, key: Key, service: InferenceService) -> InferenceService:
        if service.standard:
            routes = None if self.routes.held is None else self.routes.of(key)
            found = joined(service, self.workloads.of(key), routes, self._link)
            return found if self._canaries else replace(found, canaries=False)
        if self.revisions.held is None:
            return service
        made = self.revisions.of(key)
        releases = {name: revision.release for name, revision in made.items()}
        unready = frozenset(name for name, revision in made.items() if revision.failed)
        since = {name: revision.since for name, revision in made.items() if revision.since is not None}
        return replace(service, revisions=releases, unready=unready, unready_since=since)

    def misses_route(self, key: Key) -> bool:
        """Tell whether a service counts as one without an HTTPRoute although the cluster serves them."""
        with self._changed:
            found = self._joined.get(key)
            return found is not None and not found.splits and self.routes.held is not None

    def canary(self, key: Key) -> str:
        """Return the Deployment of a service's canary where routes send callers to it, "" for none."""
        with self._changed:
            found = self._joined.get(key)
            if found is None or self.routes.held is None or not found.standard or found.canary_percent is None:
                return ""
            return found.latest_created or ""

    def part_keys(self, parts: Parts[P], namespace: str) -> frozenset[Key]:
        """Return namespace and name of the parts of a namespace, "" for all."""
        with self._changed:
            return parts.keys(namespace)

    def put_part(self, parts: Parts[P], part: P) -> None:
        """Take over one part."""
        with self._changed:
            changed = parts.put(part)
            self._join(changed)
        self._tell(changed)

    def drop_part(self, parts: Parts[P], key: Key) -> None:
        """Forget the part of this namespace and name."""
        with self._changed:
            changed = parts.drop(key)
            self._join(changed)
        self._tell(changed)

    def replace_parts(self, parts: Parts[P], namespace: str, listed: Iterable[P]) -> None:
        """Take over a complete list of a namespace's parts, "" for all."""
        with self._changed:
            first = parts.held is None
            changed = parts.replace(namespace, listed)
            self._join(self._entries if first else changed)
        self._tell(changed)

    def no_parts(self, parts: Parts[P]) -> None:
        """Record that the cluster does not serve this kind."""
        with self._changed:
            parts.clear()
            self._join(self._entries)

    def _tell(self, keys: Iterable[Key]) -> None:
        for namespace, name in keys:
            for listener in self._listeners:
                listener(namespace, name)


def _key(entry: Entry) -> Key:
    return entry.service.namespace, entry.service.name


def _same(before: Entry | None, after: Entry) -> bool:
    """Tell whether nothing changed that anybody acts on."""
    if before is None or before.fingerprint != after.fingerprint:
        return False
    return replace(before.service, resource_version=after.service.resource_version) == after.service
