"""Delete objects: finalizers first, then what they own, then namespaces that ran empty."""

from reconciler.demo.kubeapi.objects import JsonObject, metadata, owner_uids, with_metadata
from reconciler.demo.kubeapi.resources import NAMESPACES
from reconciler.demo.kubeapi.store import Key, Record, Store


def finalized(obj: JsonObject) -> bool:
    """Tell whether the object is being deleted and nothing holds it any more."""
    meta = metadata(obj)
    return bool(meta.get("deletionTimestamp")) and not meta.get("finalizers")


def delete(store: Store, record: Record, now: str) -> Record:
    """Delete the object, or mark it when finalizers or a namespace's content hold it."""
    if record.key.resource == NAMESPACES.qualified:
        return _delete_namespace(store, record, now)
    if not metadata(record.value).get("finalizers"):
        return remove(store, record.key, now)
    if metadata(record.value).get("deletionTimestamp"):
        return record
    return store.put(record.key, _marked(record.value, now))


def _marked(obj: JsonObject, now: str) -> JsonObject:
    generation = metadata(obj).get("generation")
    return with_metadata(
        obj,
        deletionTimestamp=now,
        deletionGracePeriodSeconds=0,
        generation=generation + 1 if generation else None,
    )


def remove(store: Store, key: Key, now: str) -> Record:
    """Remove the object for good, and delete what only it owned."""
    removed = store.remove(key)
    for dependent in store.dependents(metadata(removed.value)["uid"]):
        if not any(store.exists(uid) for uid in owner_uids(dependent.value)):
            delete(store, dependent, now)
    _finish_namespace(store, key.namespace)
    return removed


def namespace_key(name: str) -> Key:
    """Return where a namespace object lives."""
    return Key(NAMESPACES.qualified, "", name)


def _delete_namespace(store: Store, record: Record, now: str) -> Record:
    if not metadata(record.value).get("deletionTimestamp"):
        marked = _marked(record.value, now)
        record = store.put(record.key, {**marked, "status": {"phase": "Terminating"}})
    for content in store.in_namespace(record.key.name):
        present = store.get(content.key)
        if present:
            delete(store, present, now)
    return _finish_namespace(store, record.key.name) or record


def _finish_namespace(store: Store, name: str) -> Record | None:
    key = namespace_key(name)
    namespace = store.get(key) if name else None
    if not namespace or not metadata(namespace.value).get("deletionTimestamp"):
        return None
    return None if store.in_namespace(name) else store.remove(key)
