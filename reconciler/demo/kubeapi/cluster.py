"""Do what the API's verbs say, on a store: create, replace, patch, apply, delete, list.

Safe to use from any thread. Raises ApiError for every refusal.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, assert_never

from reconciler.demo.kubeapi import deletion, managed, pruning, validation, writes
from reconciler.demo.kubeapi.admission import Admission, AdmissionRequest
from reconciler.demo.kubeapi.errors import already_exists, conflict, forbidden, modified, not_found
from reconciler.demo.kubeapi.jsonpatch import json_patch
from reconciler.demo.kubeapi.merging import merge_patch, strategic_merge
from reconciler.demo.kubeapi.objects import JsonObject, metadata, name_of, with_metadata
from reconciler.demo.kubeapi.requests import (
    JsonPatch,
    MergePatch,
    Patch,
    Preconditions,
    StrategicPatch,
    Target,
    WriteOptions,
)
from reconciler.demo.kubeapi.resources import (
    CRDS,
    NAMESPACES,
    ResourceCatalog,
    ResourceType,
    preregistered_definitions,
)
from reconciler.demo.kubeapi.store import Journal, Key, Record, Store, encode


class DurableJournal(Journal, Protocol):
    """A journal that groups writes and gives them back after a restart."""

    def transaction(self) -> AbstractContextManager[None]: ...  # noqa: D102  said by the class
    def load(self) -> tuple[list[Record], int]: ...  # noqa: D102  said by the class
    def close(self) -> None: ...  # noqa: D102  said by the class


class Cluster:
    """The state behind the API: a store, the known resources and the admission hooks."""

    def __init__(
        self,
        journal: DurableJournal,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        history_limit: int,
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self.catalog = ResourceCatalog()
        self.admission = Admission()
        self.store = Store(journal, history_limit)
        self._journal = journal
        self._now = now
        self._new_id = new_id
        self._lock = threading.RLock()
        self._depth = 0
        self.store.restore(*journal.load())
        self._prepare(left_out)

    def _prepare(self, left_out: frozenset[str]) -> None:
        for record in self.store.records(CRDS.qualified):
            self.catalog.define(record.value)
        options = WriteOptions("kube-apiserver")
        for definition in preregistered_definitions():
            name = name_of(definition)
            if name not in left_out and not self.store.get(Key(CRDS.qualified, "", name)):
                self.create(Target(CRDS, "", ""), definition, options)
        if not self.store.get(deletion.namespace_key("default")):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
            self.create(Target(NAMESPACES, "", ""), namespace, options)
        services = "inferenceservices.serving.kserve.io"
        self.admission.validating(services, validation.check_inference_service_name)

    @contextmanager
    def locked(self) -> Iterator[Store]:
        """Hold the state still, and save all writes made meanwhile together."""
        with self._lock:
            if self._depth:
                yield self.store
                return
            self._depth += 1
            try:
                with self._journal.transaction():
                    yield self.store
            finally:
                self._depth -= 1

    @contextmanager
    def reading(self) -> Iterator[Store]:
        """Hold the state still."""
        with self._lock:
            yield self.store

    def close(self) -> None:
        """Release the state file."""
        with self._lock:
            self._journal.close()

    def timestamp(self) -> str:
        """Return the time as Kubernetes writes it."""
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def get(self, target: Target) -> Record:
        """Return an object; raise 404 when it is not there."""
        with self.reading() as store:
            record = store.get(target.key)
        if record is None:
            raise not_found(target.resource.subject(target.name))
        return record

    def create(self, target: Target, body: Any, options: WriteOptions) -> Record:
        """Store a new object under its name, or under one made from generateName."""
        resource = target.resource
        body = _known(_identified(body, target), resource, options)
        with self.locked():
            self._check_namespace(target, name_of(body))
            named = self._named(body)
            new = writes.created(named, resource, target.namespace, self.timestamp(), self._new_id())
            write = self._writing(target, "Update", options)
            managers = managed.track_update({}, new, {}, write)
            return self._store_new(target, new, managers, options)

    def replace(self, target: Target, body: Any, options: WriteOptions) -> Record:
        """Replace an object (PUT), through the main or the status endpoint."""
        body = _identified(body, target)
        with self.locked():
            old = self.get(target)
            writes.check_replace(old.value, body, target.resource)
            return self._update(target, old, _known(body, target.resource, options), options)

    def patch(self, target: Target, patch: Patch, options: WriteOptions) -> Record:
        """Change an object by a patch."""
        with self.locked():
            old = self.get(target)
            sent = _identified(_patched(old.value, patch, target.resource), target)
            return self._update(target, old, _known(sent, target.resource, options), options)

    def apply(self, target: Target, config: Any, options: WriteOptions) -> Record:
        """Apply a configuration on the server (create or change), as `options.manager`."""
        config = _identified(config, target)
        pruning.check_applied(config, target.resource, target.namespace)
        with self.locked() as store:
            old = store.get(target.key)
            if old is None:
                return self._apply_new(target, config, options)
            writes.check_preconditions(old.value, config, target.resource)
            return self._apply_onto(target, old, config, options)

    def delete(self, target: Target, preconditions: Preconditions, options: WriteOptions) -> Record:
        """Delete an object, or mark it for deletion while finalizers hold it."""
        with self.locked() as store:
            record = self.get(target)
            self._check_deletion(target, record, preconditions)
            value = record.value
            self.admission.validate(AdmissionRequest("DELETE", target.resource, value, value, options.dry_run))
            if options.dry_run:
                return record
            gone = deletion.delete(store, record, self.timestamp())
            if target.resource is CRDS:
                self._drop_custom_objects(target.name)
            return gone

    def _writing(self, target: Target, operation: Literal["Apply", "Update"], options: WriteOptions) -> managed.Write:
        resource = target.resource
        manager = managed.Manager(options.manager, operation, resource.api_version, target.endpoint)
        return managed.Write(manager, resource.types, self.timestamp())

    def _update(self, target: Target, old: Record, sent: JsonObject, options: WriteOptions) -> Record:
        resource = target.resource
        writes.check_preconditions(old.value, sent, resource)
        new = writes.updated(old.value, sent, resource, target.endpoint)
        # A writer may hand over fields to another manager by writing the managed fields themselves.
        sent_managers = metadata(sent).get("managedFields")
        before = managed.decode(sent_managers or metadata(old.value).get("managedFields") or ())
        managers = managed.track_update(old.value, new, before, self._writing(target, "Update", options))
        return self._store_next(target, old, new, managers, options)

    def _apply_new(self, target: Target, config: JsonObject, options: WriteOptions) -> Record:
        resource = target.resource
        if target.endpoint == "status":
            raise not_found(resource.subject(target.name))
        if metadata(config).get("uid"):
            why = "uid mismatch: the configuration names a uid, and no such object exists"
            raise conflict(resource.subject(target.name), why)
        self._check_namespace(target, target.name)
        clean = writes.apply_configuration(config, resource, "")
        named = with_metadata(clean, name=target.name)
        new = writes.created(named, resource, target.namespace, self.timestamp(), self._new_id())
        _, managers = managed.apply({}, clean, {}, self._writing(target, "Apply", options), "refuse")
        return self._store_new(target, new, managers, options)

    def _apply_onto(self, target: Target, old: Record, config: JsonObject, options: WriteOptions) -> Record:
        resource = target.resource
        clean = writes.apply_configuration(config, resource, target.endpoint)
        merged, managers = managed.apply(
            old.value,
            clean,
            managed.decode(metadata(old.value).get("managedFields") or ()),
            self._writing(target, "Apply", options),
            options.on_conflict,
        )
        new = writes.updated(old.value, merged, resource, target.endpoint)
        return self._store_next(target, old, new, managers, options)

    def _store_new(self, target: Target, obj: JsonObject, managers: managed.Managers, options: WriteOptions) -> Record:
        key = Key(target.resource.qualified, target.namespace, name_of(obj))
        if self.store.get(key):
            raise already_exists(target.resource.subject(key.name))
        new = with_metadata(obj, managedFields=managed.encode(managers))
        new = self._admitted(target, new, None, options)
        return self._put(key, new, target.resource, options)

    def _store_next(
        self, target: Target, old: Record, obj: JsonObject, managers: managed.Managers, options: WriteOptions
    ) -> Record:
        new = with_metadata(obj, managedFields=managed.encode(managers))
        if target.endpoint != "status":
            new = self._admitted(target, new, old.value, options)
            writes.check_finalizers(old.value, new, target.resource)
        new = writes.with_generation(old.value, new, target.resource)
        if new == old.value:
            return old
        if deletion.finalized(new) and target.resource is not NAMESPACES and not options.dry_run:
            gone = deletion.remove(self.store, old.key, self.timestamp())
            return Record(old.key, gone.revision, new, encode(new))
        return self._put(old.key, new, target.resource, options)

    def _put(self, key: Key, obj: JsonObject, resource: ResourceType, options: WriteOptions) -> Record:
        if options.dry_run:
            return Record(key, self.store.revision, obj, encode(obj))
        if resource is CRDS:
            self.catalog.define(obj)
        return self.store.put(key, obj)

    def _admitted(self, target: Target, obj: JsonObject, old: JsonObject | None, options: WriteOptions) -> JsonObject:
        """Let hooks change the object, check the result, and let hooks refuse it, in this order."""
        operation: Literal["CREATE", "UPDATE"] = "UPDATE" if old else "CREATE"
        request = AdmissionRequest(operation, target.resource, obj, old, options.dry_run)
        new = pruning.pruned(self.admission.mutate(request), target.resource)
        validation.check_object(new, target.resource)
        self.admission.validate(replace(request, obj=new))
        return new

    def _named(self, body: JsonObject) -> JsonObject:
        prefix = metadata(body).get("generateName")
        if name_of(body) or not prefix:
            return body
        return with_metadata(body, name=f"{prefix}{self._new_id().replace('-', '')[:8]}")

    def _check_namespace(self, target: Target, name: str) -> None:
        if not target.resource.namespaced:
            return
        namespace = self.store.get(deletion.namespace_key(target.namespace))
        if namespace is None:
            raise not_found(NAMESPACES.subject(target.namespace))
        if metadata(namespace.value).get("deletionTimestamp"):
            raise forbidden(
                f'{target.resource.qualified} "{name}" is forbidden: unable to create new content'
                f" in namespace {target.namespace} because it is being terminated"
            )

    def _check_deletion(self, target: Target, record: Record, wanted: Preconditions) -> None:
        meta = metadata(record.value)
        subject = target.resource.subject(target.name)
        if wanted.uid and wanted.uid != meta["uid"]:
            raise conflict(subject, f"Precondition failed: the object has the UID {meta['uid']}")
        if wanted.resource_version and wanted.resource_version != meta["resourceVersion"]:
            raise modified(subject)

    def _drop_custom_objects(self, qualified: str) -> None:
        for record in self.store.records(qualified):
            deletion.remove(self.store, record.key, self.timestamp())
        self.catalog.forget(qualified)


def _identified(body: Any, target: Target) -> JsonObject:
    return validation.identified(body, target.resource, target.namespace, target.name)


def _known(body: JsonObject, resource: ResourceType, options: WriteOptions) -> JsonObject:
    """Drop the fields that no schema names, or refuse them."""
    if options.unknown_fields == "refuse":
        pruning.check_strict(body, resource)
    return pruning.pruned(body, resource)


def _patched(old: JsonObject, patch: Patch, resource: ResourceType) -> Any:
    match patch:
        case MergePatch(changes):
            return merge_patch(old, changes)
        case StrategicPatch(changes):
            return strategic_merge(old, changes, resource.types)
        case JsonPatch(operations):
            return json_patch(old, operations)
        case _:
            assert_never(patch)
