"""Lay one document over another: apply configurations, JSON merge patches, strategic merge patches."""

from typing import Any

from reconciler.demo.kubeapi.errors import bad_request
from reconciler.demo.kubeapi.fieldsets import Path, compact, item_element
from reconciler.demo.kubeapi.fieldtypes import FieldTypes, Keyed, Names
from reconciler.demo.kubeapi.objects import JsonObject


def merge_patch(live: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    base = live if isinstance(live, dict) else {}
    merged = {key: value for key, value in base.items() if key not in patch or patch[key] is not None}
    for key, value in patch.items():
        if value is not None:
            merged[key] = merge_patch(base.get(key), value)
    return merged


def strategic_merge(live: Any, patch: Any, types: FieldTypes, names: Names = ()) -> Any:
    """Apply a strategic merge patch; of its directives, `$patch: delete` on list items is understood."""
    if isinstance(patch, list):
        rule = types.rule(names)
        return _strategic_list(live or [], patch, rule, types, names)
    if not isinstance(patch, dict):
        return patch
    base = live if isinstance(live, dict) else {}
    merged = {key: value for key, value in base.items() if patch.get(key, value) is not None}
    for key, value in patch.items():
        if value is not None:
            merged[key] = strategic_merge(base.get(key), value, types, (*names, key))
    return merged


def _strategic_list(live: list[Any], patch: list[Any], rule: Any, types: FieldTypes, names: Names) -> list[Any]:
    if rule == "set":
        return _union(live, patch)
    if not isinstance(rule, Keyed):
        return patch
    merged = _index(live, rule)
    for item in patch:
        key = item_element(item, rule)
        if isinstance(item, dict) and item.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge(merged.get(key), item, types, names)
    return list(merged.values())


def merge_applied(live: Any, config: Any, types: FieldTypes, names: Names = ()) -> Any:
    """Lay an apply configuration over the live object, keeping what it does not mention."""
    rule = types.rule(names)
    if isinstance(config, dict) and rule != "atomic":
        merged = dict(live) if isinstance(live, dict) else {}
        for key, value in config.items():
            merged[key] = merge_applied(merged.get(key), value, types, (*names, key))
        return merged
    if isinstance(config, list) and rule == "set":
        return _union(live or [], config)
    if isinstance(config, list) and isinstance(rule, Keyed):
        return _merge_items(live or [], config, rule, types, names)
    return config


def _union(left: list[Any], right: list[Any]) -> list[Any]:
    known = {compact(item) for item in left}
    return [*left, *(item for item in right if compact(item) not in known)]


def _merge_items(live: list[Any], config: list[Any], rule: Keyed, types: FieldTypes, names: Names) -> list[Any]:
    """Merge item by item: in the order of the configuration, items of others before what they preceded."""
    ours, theirs = _index(config, rule), _index(live, rule)
    merged: dict[str, Any] = {}
    waiting = list(theirs)
    for key, item in ours.items():
        until = waiting.index(key) if key in waiting else _leading(waiting, ours)
        merged.update({other: theirs[other] for other in waiting[:until] if other not in ours})
        waiting = waiting[until:]
        merged[key] = merge_applied(theirs.get(key), item, types, names)
    merged.update({other: theirs[other] for other in waiting if other not in ours})
    return list(merged.values())


def _leading(waiting: list[str], ours: dict[str, Any]) -> int:
    """Count the items in front that only others have."""
    return next((index for index, key in enumerate(waiting) if key in ours), len(waiting))


def _index(items: list[Any], rule: Keyed) -> dict[str, Any]:
    indexed = {item_element(item, rule): item for item in items}
    if len(indexed) != len(items):
        raise bad_request(f"duplicate entries for key {list(rule.keys)} in a list: each item needs its own")
    return indexed


def remove_paths(obj: JsonObject, doomed: set[Path], types: FieldTypes) -> JsonObject:
    """Return the object without the nodes at these paths."""
    if not doomed:
        return obj
    tree: JsonObject = {}
    for path in sorted(doomed):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node[""] = {}
    pruned: JsonObject = _prune(obj, tree, (), types)
    return pruned


def _prune(value: Any, tree: JsonObject, names: Names, types: FieldTypes) -> Any:
    if isinstance(value, dict):
        kept = {k: (v, tree.get(f"f:{k}")) for k, v in value.items() if not _doomed(tree.get(f"f:{k}"))}
        return {k: _prune(v, sub, (*names, k), types) if sub else v for k, (v, sub) in kept.items()}
    if not isinstance(value, list):
        return value
    rule = types.rule(names)
    items = [(item, tree.get(_element(item, rule))) for item in value]
    return [_prune(item, sub, names, types) if sub else item for item, sub in items if not _doomed(sub)]


def _doomed(tree: JsonObject | None) -> bool:
    return tree is not None and "" in tree


def _element(item: Any, rule: Any) -> str:
    return item_element(item, rule) if isinstance(rule, Keyed) else f"v:{compact(item)}"
