"""Take objects apart into field paths, and write sets of paths as Kubernetes' FieldsV1.

A path is a tuple of FieldsV1 elements: `f:<field>`, `k:<item key as JSON>`, `v:<set value as JSON>`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.demo.kubeapi.fieldtypes import FieldTypes, Keyed, Names
from reconciler.demo.kubeapi.objects import JsonObject

Path = tuple[str, ...]
Fields = frozenset[Path]

ITEM = "."  # stands for a list item itself, beside the fields inside it

_SERVER_FIELDS = frozenset(
    {
        "name",
        "namespace",
        "generateName",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    }
)


def compact(value: Any) -> str:
    """Write JSON without spaces and with sorted keys, as FieldsV1 does."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def flatten(obj: JsonObject, types: FieldTypes) -> dict[Path, Any]:
    """Map the path of each leaf to its value, leaving out what only the server writes."""
    owned = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    meta = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _SERVER_FIELDS}
    leaves = dict(_leaves(owned, (), (), types))
    if meta:
        leaves.update(_leaves(meta, ("f:metadata",), ("metadata",), types))
    return leaves


def containers(obj: JsonObject, types: FieldTypes) -> Fields:
    """Return the paths of the maps and lists that hold leaves: an update owns those that it makes, an apply none."""
    leaves = flatten(obj, types)
    return frozenset(closure(leaves) - leaves.keys() - {("f:metadata",)})


def _leaves(value: Any, path: Path, names: Names, types: FieldTypes) -> Iterator[tuple[Path, Any]]:
    rule = types.rule(names)
    if not value or not isinstance(value, dict | list) or rule == "atomic":
        if path:
            yield path, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(child, (*path, f"f:{key}"), (*names, key), types)
    elif rule == "set":
        for item in value:
            yield (*path, f"v:{compact(item)}"), item
    elif isinstance(rule, Keyed):
        for item in value:
            yield from _item_leaves(item, (*path, item_element(item, rule)), names, types)
    else:
        yield path, value


def _item_leaves(item: Any, path: Path, names: Names, types: FieldTypes) -> Iterator[tuple[Path, Any]]:
    yield path, ITEM
    if isinstance(item, dict):
        for key, child in item.items():
            yield from _leaves(child, (*path, f"f:{key}"), (*names, key), types)


def item_element(item: Any, rule: Keyed) -> str:
    """Return the path element of an item of a keyed list."""
    return f"k:{compact(rule.key_of(item))}" if isinstance(item, dict) else f"v:{compact(item)}"


def closure(paths: Iterable[Path]) -> set[Path]:
    """Return the paths with all their parents."""
    found: set[Path] = set()
    for path in paths:
        length = len(path)
        while length and path[:length] not in found:
            found.add(path[:length])
            length -= 1
    return found


def to_fields_v1(fields: Fields) -> JsonObject:
    """Write a set of paths as FieldsV1."""
    root: JsonObject = {}
    for path in sorted(fields):
        node = root
        for element in path[:-1]:
            node = node.setdefault(element, {})
        # Sorted, a path comes before the paths inside it, which then find its node empty.
        node.setdefault(path[-1], {})
    _mark_members(root, (), fields)
    return root


def _mark_members(node: JsonObject, path: Path, fields: Fields) -> None:
    for element, child in list(node.items()):
        if child:
            _mark_members(child, (*path, element), fields)
    if node and path in fields:
        node["."] = {}


def from_fields_v1(tree: JsonObject) -> Fields:
    """Read FieldsV1 back into a set of paths."""
    return frozenset(_paths(tree, ()))


def _paths(node: JsonObject, path: Path) -> Iterator[Path]:
    if path and (not node or "." in node):
        yield path
    for element, child in node.items():
        if element != ".":
            yield from _paths(child, (*path, element))


def dotted(path: Path) -> str:
    """Write a path as conflict messages do: `.spec.env[name="A"].value`."""
    return "".join(_dotted_element(element) for element in path)


def _dotted_element(element: str) -> str:
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "v:":
        return f"[={rest}]"
    pairs = json.loads(rest).items()
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in pairs) + "]"
