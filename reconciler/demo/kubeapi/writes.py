"""Prepare what is stored next: what a writer may set, what the server sets, what stays as it was."""

import base64
from typing import Literal

from reconciler.demo.kubeapi.errors import Cause, conflict, invalid, modified
from reconciler.demo.kubeapi.objects import (
    JsonObject,
    body_of,
    metadata,
    name_of,
    with_field,
    with_metadata,
    without_nulls,
)
from reconciler.demo.kubeapi.resources import CRDS, DEPLOYMENTS, NAMESPACES, REPLICA_SETS, ResourceType

Endpoint = Literal["", "status"]

_WRITABLE = ("name", "namespace", "generateName", "labels", "annotations", "finalizers", "ownerReferences")


def created(obj: JsonObject, resource: ResourceType, namespace: str, now: str, uid: str) -> JsonObject:
    """Return a new object as its creator sent it, with what the server stamps on it."""
    meta = {name: value for name, value in metadata(obj).items() if name in _WRITABLE}
    clean = {**without_nulls(obj), "metadata": without_nulls(meta)}
    if resource.has_status:
        clean = with_field(clean, "status", {})
    generation = 1 if resource.counts_generations else None
    stamped = with_metadata(clean, namespace=namespace or None, uid=uid, creationTimestamp=now, generation=generation)
    return _defaulted(stamped, resource, now)


def _defaulted(obj: JsonObject, resource: ResourceType, now: str) -> JsonObject:
    """Fill in what the built-in resources get on creation."""
    if resource is NAMESPACES:
        labels = {**(metadata(obj).get("labels") or {}), "kubernetes.io/metadata.name": name_of(obj)}
        named = with_metadata(obj, labels=labels)
        return {**named, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    if resource is CRDS:
        return {**obj, "status": _established(obj, now)}
    if resource.qualified == "pods":
        return {**obj, "status": {"phase": "Pending"}}
    if resource.qualified == "secrets":
        return _secret(obj)
    if resource in (DEPLOYMENTS, REPLICA_SETS):
        return {**obj, "spec": {"replicas": 1, **(obj.get("spec") or {})}}
    return obj


def _established(definition: JsonObject, now: str) -> JsonObject:
    spec = definition["spec"]
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [version["name"] for version in spec["versions"] if version.get("storage")]
    return {"conditions": conditions, "acceptedNames": spec["names"], "storedVersions": stored}


def _secret(obj: JsonObject) -> JsonObject:
    plain = {k: base64.b64encode(v.encode()).decode() for k, v in (obj.get("stringData") or {}).items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    data = {**(obj.get("data") or {}), **plain}
    return {"type": "Opaque", **rest, **({"data": data} if data else {})}


def updated(old: JsonObject, sent: JsonObject, resource: ResourceType, endpoint: Endpoint) -> JsonObject:
    """Return the object that a write through this endpoint asks for; the rest stays as it was."""
    if endpoint == "status":
        return with_field(old, "status", without_nulls(sent))
    meta = {name: value for name, value in metadata(sent).items() if name in _WRITABLE}
    kept = {name: value for name, value in metadata(old).items() if name not in _WRITABLE}
    identity = {name: metadata(old).get(name) for name in ("name", "namespace", "generateName")}
    new = {**without_nulls(sent), "metadata": without_nulls({**meta, **kept, **identity})}
    new = {**new, "apiVersion": old["apiVersion"], "kind": old["kind"]}
    if resource.qualified == "secrets":
        new = _secret(new)
    return with_field(new, "status", old) if resource.has_status else new


def apply_configuration(sent: JsonObject, resource: ResourceType, endpoint: Endpoint) -> JsonObject:
    """Return the part of an apply configuration that this endpoint takes."""
    if endpoint == "status":
        return with_field({}, "status", without_nulls(sent))
    meta = {name: value for name, value in metadata(sent).items() if name in _WRITABLE}
    config = {**without_nulls(sent), "metadata": without_nulls(meta)}
    return with_field(config, "status", {}) if resource.has_status else config


def with_generation(old: JsonObject, new: JsonObject, resource: ResourceType) -> JsonObject:
    """Raise metadata.generation by one when more than metadata and status changed."""
    if not resource.counts_generations:
        return new
    before, after = (body_of(old), body_of(new)) if resource.has_status else (_all_but(old), _all_but(new))
    generation = int(metadata(old).get("generation") or 0)
    return with_metadata(new, generation=generation + (before != after))


def _all_but(obj: JsonObject) -> JsonObject:
    return with_field(obj, "metadata", {})


def check_preconditions(old: JsonObject, sent: JsonObject, resource: ResourceType) -> None:
    """Raise 409 when the write names another resourceVersion than the object has, 422 for another uid."""
    wanted, present = metadata(sent), metadata(old)
    subject = resource.subject(name_of(old))
    if wanted.get("resourceVersion") and str(wanted["resourceVersion"]) != present["resourceVersion"]:
        raise modified(subject)
    if wanted.get("uid") and wanted["uid"] != present["uid"]:
        message = f'Invalid value: "{wanted["uid"]}": field is immutable'
        raise invalid(subject, [Cause("FieldValueInvalid", message, "metadata.uid")])


def check_replace(old: JsonObject, sent: JsonObject, resource: ResourceType) -> None:
    """Raise 409 for a PUT of another object; 422 of a custom resource that does not say which version it replaces."""
    wanted, present = metadata(sent).get("uid"), metadata(old)["uid"]
    if wanted and wanted != present:
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {present}"
        raise conflict(resource.subject(name_of(old)), why)
    if resource.custom and not metadata(sent).get("resourceVersion"):
        message = "Invalid value: 0: must be specified for an update"
        cause = Cause("FieldValueInvalid", message, "metadata.resourceVersion")
        raise invalid(resource.subject(name_of(old)), [cause])


def check_finalizers(old: JsonObject, new: JsonObject, resource: ResourceType) -> None:
    """Raise 422 when an object that is being deleted gets a new finalizer."""
    added = set(metadata(new).get("finalizers") or ()) - set(metadata(old).get("finalizers") or ())
    if metadata(old).get("deletionTimestamp") and added:
        message = f"Forbidden: no new finalizers can be added if the object is being deleted: {sorted(added)}"
        cause = Cause("FieldValueForbidden", message, "metadata.finalizers")
        raise invalid(resource.subject(name_of(old)), [cause])
