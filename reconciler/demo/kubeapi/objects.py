"""Read and rebuild Kubernetes objects as plain JSON; nothing here changes its arguments."""

import copy
from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]


def metadata(obj: Mapping[str, Any]) -> JsonObject:
    """Return the object's metadata, empty when there is none."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    """Return metadata.name, or the empty string."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """Return metadata.namespace, or the empty string."""
    return str(metadata(obj).get("namespace") or "")


def with_metadata(obj: JsonObject, **fields: Any) -> JsonObject:
    """Return the object with these metadata fields set; a field given as None is removed."""
    merged = {**metadata(obj), **fields}
    return {**obj, "metadata": {name: value for name, value in merged.items() if value is not None}}


def with_field(obj: JsonObject, name: str, source: Mapping[str, Any]) -> JsonObject:
    """Return the object with one top-level field as it is in `source`, also when it is absent there."""
    rest = {key: value for key, value in obj.items() if key != name}
    return {**rest, name: source[name]} if name in source else rest


def without_nulls(value: Any) -> Any:
    """Drop null fields of objects at any depth; the API reads null as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def body_of(obj: Mapping[str, Any]) -> JsonObject:
    """Return what `metadata.generation` counts: everything but metadata and status."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def owner_uids(obj: Mapping[str, Any]) -> frozenset[str]:
    """Return the uids in metadata.ownerReferences."""
    return frozenset(str(owner.get("uid")) for owner in metadata(obj).get("ownerReferences") or ())


def deep_copy(obj: JsonObject) -> JsonObject:
    """Return a copy that shares nothing, for code that may change it."""
    return copy.deepcopy(obj)
