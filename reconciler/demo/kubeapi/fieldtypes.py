"""Know how each list and map merges: whole (atomic), as a set, or item by item under a key.

The rules are the ones that an API server reads from a resource's schema
(`x-kubernetes-list-type`, `x-kubernetes-list-map-keys`, `x-kubernetes-map-type`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Names = tuple[str, ...]  # field names from the root; list indices are skipped


@dataclass(frozen=True, slots=True)
class Keyed:
    """A list whose items are told apart by these fields, with the defaults of absent ones."""

    keys: tuple[str, ...]
    defaults: tuple[tuple[str, Any], ...] = ()

    def key_of(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the key fields of one item, sorted by name."""
        defaults = dict(self.defaults)
        return {name: item.get(name, defaults.get(name)) for name in sorted(self.keys)}


Rule = Keyed | Literal["atomic", "set"]

METADATA: dict[Names, Rule] = {
    ("metadata", "ownerReferences"): Keyed(("uid",)),
    ("metadata", "finalizers"): "set",
}


@dataclass(frozen=True, slots=True)
class FieldTypes:
    """Merge rules of one resource, by full path or by field name wherever it occurs."""

    by_path: Mapping[Names, Rule] = field(default_factory=dict)
    by_name: Mapping[str, Rule] = field(default_factory=dict)

    def rule(self, names: Names) -> Rule | None:
        """Return how the field merges; None means the default: maps by field, lists whole."""
        if not names:
            return None
        return METADATA.get(names) or self.by_path.get(names) or self.by_name.get(names[-1])


_PORTS = Keyed(("containerPort", "protocol"), (("protocol", "TCP"),))
_CONTAINER: dict[str, Rule] = {
    "env": Keyed(("name",)),
    "ports": _PORTS,
    "volumeMounts": Keyed(("mountPath",)),
    "volumeDevices": Keyed(("devicePath",)),
    "claims": Keyed(("name",)),
    "resourceClaims": Keyed(("name",)),
    "configMapKeyRef": "atomic",
    "secretKeyRef": "atomic",
    "fieldRef": "atomic",
    "resourceFieldRef": "atomic",
    "nodeSelector": "atomic",
}

# KServe's CRDs give no list type to containers, volumes and conditions: those merge as a whole.
KSERVE = FieldTypes(by_name=_CONTAINER)

CORE = FieldTypes(
    by_name={
        **_CONTAINER,
        "containers": Keyed(("name",)),
        "initContainers": Keyed(("name",)),
        "volumes": Keyed(("name",)),
        "imagePullSecrets": Keyed(("name",)),
        "conditions": Keyed(("type",)),
        "podIPs": Keyed(("ip",)),
        "selector": "atomic",
    }
)


def from_schema(schema: Mapping[str, Any]) -> FieldTypes:
    """Read the merge rules out of an openAPIV3Schema."""
    return FieldTypes(by_path=dict(_rules(schema, ())))


def _rules(schema: Mapping[str, Any], names: Names) -> Iterator[tuple[Names, Rule]]:
    found = _rule_of(schema)
    if found is not None:
        yield names, found
    for name, child in (schema.get("properties") or {}).items():
        yield from _rules(child, (*names, name))
    items = schema.get("items")
    if isinstance(items, dict) and found != "atomic":
        yield from _rules(items, names)


def _rule_of(schema: Mapping[str, Any]) -> Rule | None:
    kind = schema.get("x-kubernetes-list-type") or schema.get("x-kubernetes-map-type")
    if kind == "atomic":
        return "atomic"
    if kind == "set":
        return "set"
    if kind != "map":
        return None
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    fields = (schema.get("items") or {}).get("properties") or {}
    defaults = tuple((key, fields[key]["default"]) for key in keys if "default" in fields.get(key, {}))
    return Keyed(keys, defaults)
