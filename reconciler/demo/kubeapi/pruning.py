"""Tell which fields a resource's schema does not name: an apply of one fails, other writes lose it."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.demo.kubeapi.errors import ApiError, bad_request
from reconciler.demo.kubeapi.objects import JsonObject, name_of
from reconciler.demo.kubeapi.resources import ResourceType

_KEEPS = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "additionalProperties")
# The server knows these by itself.
_KNOWN = ("apiVersion", "kind", "metadata")


def undeclared(obj: JsonObject, resource: ResourceType) -> tuple[str, ...]:
    """Return the paths of the fields that the schema does not name, as `spec.canary`."""
    if not resource.schema:
        return ()
    return tuple(_undeclared(_checked(obj), resource.schema, ""))


def pruned(obj: JsonObject, resource: ResourceType) -> JsonObject:
    """Return an object without the fields that the schema does not name."""
    if not resource.schema:
        return obj
    kept: JsonObject = _pruned(_checked(obj), resource.schema)
    return {name: obj[name] if name in _KNOWN else kept[name] for name in obj if name in _KNOWN or name in kept}


def check_applied(obj: JsonObject, resource: ResourceType, namespace: str) -> None:
    """Fail as an API server does when it is to apply a field that the schema does not name."""
    for path in undeclared(obj, resource):
        about = f"{namespace}/{name_of(obj)}; {resource.api_version}, Kind={resource.kind}"
        raise ApiError(
            500,
            "InternalError",
            f"failed to create typed patch object ({about}): .{path}: field not declared in schema",
        )


def check_strict(obj: JsonObject, resource: ResourceType) -> None:
    """Refuse a field that the schema does not name, where the client asked for that."""
    if unknown := undeclared(obj, resource):
        said = ", ".join(f'unknown field "{path}"' for path in unknown)
        kind = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(f"{kind}: strict decoding error: {said}")


def _checked(obj: JsonObject) -> JsonObject:
    return {name: value for name, value in obj.items() if name not in _KNOWN}


def _keeps(schema: Mapping[str, Any]) -> bool:
    return any(schema.get(name) for name in _KEEPS)


def _undeclared(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _undeclared(item, schema.get("items") or {}, path)
    if not isinstance(value, dict):
        return
    fields = schema.get("properties") or {}
    for name, below in value.items():
        at = f"{path}.{name}".removeprefix(".")
        if name in fields:
            yield from _undeclared(below, fields[name], at)
        elif not _keeps(schema):
            yield at


def _pruned(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_pruned(item, schema.get("items") or {}) for item in value]
    if not isinstance(value, dict):
        return value
    fields = schema.get("properties") or {}
    known = {name: below for name, below in value.items() if name in fields or _keeps(schema)}
    return {name: _pruned(below, fields[name]) if name in fields else below for name, below in known.items()}
