"""InferenceServices and their revisions, as the watches last showed them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from reconciler.observed import InferenceService
from reconciler.systems.serving.api import Key
from reconciler.systems.serving.translate import Revision

OnChange = Callable[[str, str], None]
Services = Mapping[Key, InferenceService]
_Revisions = Mapping[str, Revision]


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

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._entries: dict[Key, Entry] = {}
        # None where the cluster serves no Knative revisions.
        self._revisions: dict[Key, _Revisions] | None = None
        self._joined: dict[Key, InferenceService] = {}
        self._snapshot: Services | None = None
        self._listeners: list[OnChange] = []

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

    def drop(self, key: Key) -> None:
        """Forget one InferenceService."""
        self._update((), [key])

    def replace(self, namespace: str, entries: Iterable[Entry]) -> None:
        """Take over a complete list of a namespace, "" for all."""
        listed = list(entries)
        self._update(listed, self.keys(namespace) - {_key(entry) for entry in listed})

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
            elif self._revisions is None:
                self._joined[key] = entry.service
            else:
                found = self._revisions.get(key, _NONE)
                releases = {name: revision.release for name, revision in found.items()}
                unready = frozenset(name for name, revision in found.items() if revision.failed)
                self._joined[key] = replace(entry.service, revisions=releases, unready=unready)
        self._snapshot = None
        self._changed.notify_all()

    def put_revision(self, revision: Revision) -> None:
        """Take over one revision."""
        names = {**self._revisions_of(revision.service), revision.name: revision}
        self._tell(self._update_revisions({revision.service: names}))

    def drop_revision(self, revision: Revision) -> None:
        """Forget one revision."""
        rest = {n: r for n, r in self._revisions_of(revision.service).items() if n != revision.name}
        self._tell(self._update_revisions({revision.service: rest}))

    def replace_revisions(self, namespace: str, revisions: Iterable[Revision]) -> None:
        """Take over a complete list of a namespace's revisions, "" for all."""
        listed: dict[Key, dict[str, Revision]] = {}
        for revision in revisions:
            listed.setdefault(revision.service, {})[revision.name] = revision
        with self._changed:
            known = [key for key in self._revisions or () if namespace in ("", key[0])]
            first = self._revisions is None
            self._revisions = self._revisions or {}
            changed = self._update_revisions({**dict.fromkeys(known, _NONE), **listed})
            if first:
                self._join(self._entries)
        self._tell(changed)

    def no_revisions(self) -> None:
        """Record that the cluster serves no revisions."""
        with self._changed:
            self._revisions = None
            self._join(self._entries)

    def revision_keys(self, namespace: str) -> frozenset[Key]:
        """Return namespace and name of the revisions of a namespace, "" for all."""
        with self._changed:
            known = [(key[0], names) for key, names in (self._revisions or {}).items()]
            return frozenset((place, name) for place, names in known if namespace in ("", place) for name in names)

    def _revisions_of(self, key: Key) -> _Revisions:
        with self._changed:
            return (self._revisions or {}).get(key, _NONE)

    def _update_revisions(self, revisions: Mapping[Key, _Revisions]) -> frozenset[Key]:
        """Take over whole sets of revisions and return the InferenceServices whose sets changed."""
        with self._changed:
            changed = {key: names for key, names in revisions.items() if self._revisions_of(key) != names}
            held = self._revisions = self._revisions or {}
            held.update(changed)
            for key in [key for key, names in changed.items() if not names]:
                del held[key]
            self._join(changed)
        return frozenset(changed)

    def _tell(self, keys: Iterable[Key]) -> None:
        for namespace, name in keys:
            for listener in self._listeners:
                listener(namespace, name)


_NONE: _Revisions = MappingProxyType({})


def _key(entry: Entry) -> Key:
    return entry.service.namespace, entry.service.name


def _same(before: Entry | None, after: Entry) -> bool:
    """Tell whether nothing changed that anybody acts on."""
    if before is None or before.fingerprint != after.fingerprint:
        return False
    return replace(before.service, resource_version=after.service.resource_version) == after.service
