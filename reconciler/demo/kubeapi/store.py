"""Keep objects in memory under one rising revision, with a bounded history for watches.

Stored values are shared and never changed in place. The store does not lock: its owner does.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from reconciler.demo.kubeapi.objects import JsonObject, metadata, owner_uids, with_metadata


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Where an object lives: resource as `plural.group`, namespace ('' when cluster-wide), name."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """One state of one object, with its JSON as it is sent."""

    key: Key
    revision: int
    value: JsonObject
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a resource's history; `before` is the state that it replaced."""

    revision: int
    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    record: Record
    before: Record | None


class HistoryGone(Exception):  # noqa: N818  a state of the history, not a fault of the caller
    """Changes after the revision asked for are no longer kept, from `oldest` on they are."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history starts after revision {oldest}")
        self.oldest = oldest


class Journal(Protocol):
    """Where each write goes before it is visible."""

    def put(self, record: Record) -> None: ...  # noqa: D102  said by the class
    def remove(self, key: Key, revision: int) -> None: ...  # noqa: D102  said by the class


def encode(value: JsonObject) -> bytes:
    """Write an object as it is sent and saved."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Store:
    """Objects by resource, their owners, and what happened to them."""

    def __init__(self, journal: Journal, history_limit: int) -> None:
        self.revision = 0
        self._journal = journal
        self._limit = history_limit
        self._records: dict[str, dict[Key, Record]] = {}
        self._history: dict[str, deque[Change]] = {}
        self._floors: dict[str, int] = {}
        self._oldest = 0
        self._dependents: dict[str, set[Key]] = {}
        self._uids: dict[str, Key] = {}
        self._listeners: tuple[Callable[[], None], ...] = ()

    def restore(self, records: Iterable[Record], revision: int) -> None:
        """Take over saved objects; history starts at the saved revision."""
        for record in records:
            self._records.setdefault(record.key.resource, {})[record.key] = record
            self._index(record)
        self.revision = self._oldest = revision

    def get(self, key: Key) -> Record | None:
        """Return an object's present state."""
        return self._records.get(key.resource, {}).get(key)

    def records(self, resource: str, namespace: str = "") -> list[Record]:
        """Return a resource's objects ordered by namespace and name; '' means all namespaces."""
        records = self._records.get(resource, {})
        keys = sorted(key for key in records if not namespace or key.namespace == namespace)
        return [records[key] for key in keys]

    def in_namespace(self, namespace: str) -> list[Record]:
        """Return every object of a namespace."""
        return [
            record
            for records in self._records.values()
            for record in records.values()
            if record.key.namespace == namespace
        ]

    def dependents(self, uid: str) -> list[Record]:
        """Return the objects that name this uid as an owner."""
        found = (self.get(key) for key in sorted(self._dependents.get(uid, ())))
        return [record for record in found if record is not None]

    def put(self, key: Key, value: JsonObject) -> Record:
        """Save an object's next state under the next revision."""
        revision = self.revision + 1
        stamped = with_metadata(value, resourceVersion=str(revision))
        record = Record(key, revision, stamped, encode(stamped))
        self._journal.put(record)
        before = self.get(key)
        self._records.setdefault(key.resource, {})[key] = record
        self._reindex(before, record)
        self._publish(Change(revision, "MODIFIED" if before else "ADDED", record, before))
        return record

    def remove(self, key: Key) -> Record:
        """Delete an object; its last state carries the revision of the deletion."""
        before = self._records[key.resource][key]
        revision = self.revision + 1
        value = with_metadata(before.value, resourceVersion=str(revision))
        record = Record(key, revision, value, encode(value))
        self._journal.remove(key, revision)
        del self._records[key.resource][key]
        self._reindex(before, None)
        self._publish(Change(revision, "DELETED", record, before))
        return record

    def changes_since(self, resource: str, revision: int) -> list[Change]:
        """Return a resource's later changes in order; raise HistoryGone when some were dropped."""
        oldest = self._floors.get(resource, self._oldest)
        if revision < oldest:
            raise HistoryGone(oldest)
        newer: list[Change] = []
        for change in reversed(self._history.get(resource, ())):
            if change.revision <= revision:
                break
            newer.append(change)
        return newer[::-1]

    def forget_history(self) -> None:
        """Drop all history, as etcd's compaction does: older watches must list again."""
        self._history, self._floors, self._oldest = {}, {}, self.revision

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener after each change, from the writing thread; return how to stop that."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return unsubscribe

    def exists(self, uid: str) -> bool:
        """Tell whether an object with this uid is stored."""
        return uid in self._uids

    def wake(self) -> None:
        """Call the listeners although nothing changed."""
        for listener in self._listeners:
            listener()

    def _publish(self, change: Change) -> None:
        self.revision = change.revision
        resource = change.record.key.resource
        history = self._history.setdefault(resource, deque())
        history.append(change)
        if len(history) > self._limit:
            self._floors[resource] = history.popleft().revision
        self.wake()

    def _reindex(self, before: Record | None, after: Record | None) -> None:
        if before:
            self._uids.pop(metadata(before.value).get("uid", ""), None)
            for uid in owner_uids(before.value):
                self._dependents[uid].discard(before.key)
        if after:
            self._index(after)

    def _index(self, record: Record) -> None:
        self._uids[metadata(record.value).get("uid", "")] = record.key
        for uid in owner_uids(record.value):
            self._dependents.setdefault(uid, set()).add(record.key)
