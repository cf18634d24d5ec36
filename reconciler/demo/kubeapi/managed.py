"""Decide who owns which field: server-side apply and the tracking of other writes.

Follows Kubernetes' structured-merge-diff: ownership by leaf; an apply conflicts where it would
change a field of another manager; a field dropped from an apply goes when nobody else owns it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reconciler.demo.kubeapi.errors import ApiError, Cause, apply_conflict
from reconciler.demo.kubeapi.fieldsets import (
    Fields,
    closure,
    containers,
    dotted,
    flatten,
    from_fields_v1,
    to_fields_v1,
)
from reconciler.demo.kubeapi.fieldtypes import FieldTypes
from reconciler.demo.kubeapi.merging import merge_applied, remove_paths
from reconciler.demo.kubeapi.objects import JsonObject


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, by which operation, through which API version and subresource."""

    name: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The fields a manager owns, and when that last changed (RFC 3339, seconds)."""

    fields: Fields
    time: str


Managers = dict[Manager, Ownership]


def decode(entries: Iterable[JsonObject]) -> Managers:
    """Read metadata.managedFields."""
    return {
        Manager(e["manager"], e["operation"], e["apiVersion"], e.get("subresource", "")): Ownership(
            from_fields_v1(e["fieldsV1"]), e["time"]
        )
        for e in entries
    }


def encode(managers: Managers) -> list[JsonObject]:
    """Write metadata.managedFields: applies first, then by time and name."""
    ordered = sorted(managers.items(), key=lambda m: (m[0].operation, m[1].time, m[0].name, m[0].subresource))
    return [_entry(manager, owned) for manager, owned in ordered]


def _entry(manager: Manager, owned: Ownership) -> JsonObject:
    entry = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(owned.fields),
    }
    return {**entry, "subresource": manager.subresource} if manager.subresource else entry


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths whose value is new or other, and paths that are gone."""

    changed: Fields
    removed: Fields


def difference(old: JsonObject, new: JsonObject, types: FieldTypes) -> Difference:
    """Compare two states of an object leaf by leaf."""
    before, after = flatten(old, types), flatten(new, types)
    changed = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    return Difference(changed, frozenset(before.keys() - after.keys()))


@dataclass(frozen=True, slots=True)
class Write:
    """A write as ownership sees it: by whom, on fields of which types, when (RFC 3339, seconds)."""

    manager: Manager
    types: FieldTypes
    now: str


def track_update(old: JsonObject, new: JsonObject, managers: Managers, write: Write) -> Managers:
    """Give every field that a write changed to its writer, and take it from all others."""
    delta = difference(old, new, write.types)
    held, holds = containers(old, write.types), containers(new, write.types)
    changed = delta.changed | (holds - held - flatten(old, write.types).keys())
    removed = (delta.removed | held) - holds - flatten(new, write.types).keys()
    own = managers.get(write.manager, Ownership(frozenset(), write.now)).fields
    others = _without(managers, changed | removed, write)
    return _with(others, managers, (own - removed) | changed, write)


def apply(
    live: JsonObject,
    config: JsonObject,
    managers: Managers,
    write: Write,
    on_conflict: Literal["refuse", "take"],
) -> tuple[JsonObject, Managers]:
    """Return the object and its managers after a server-side apply.

    Raises ApiError 409 with one cause per field when `on_conflict` is "refuse".
    """
    wanted = frozenset(flatten(config, write.types))
    last = managers.get(write.manager, Ownership(frozenset(), write.now)).fields
    others = {manager: owned for manager, owned in managers.items() if manager != write.manager}
    doomed = closure(last) - closure(wanted.union(*(owned.fields for owned in others.values())))
    merged = remove_paths(merge_applied(live, config, write.types), doomed, write.types)
    delta = difference(live, merged, write.types)
    clashes = {m: owned.fields & delta.changed for m, owned in others.items()}
    if on_conflict == "refuse" and any(clashes.values()):
        raise _conflicts(clashes)
    kept = _without(managers, delta.changed | delta.removed, write)
    return merged, _with(kept, managers, wanted, write)


def _without(managers: Managers, lost: Fields, write: Write) -> Managers:
    kept: Managers = {}
    for manager, owned in managers.items():
        fields = owned.fields - lost if manager != write.manager else owned.fields
        if fields:
            kept[manager] = owned if len(fields) == len(owned.fields) else Ownership(fields, write.now)
    return kept


def _with(others: Managers, before: Managers, fields: Fields, write: Write) -> Managers:
    """Set the writer's fields; the time stays when they are the same, so that a no-op changes nothing."""
    rest = {manager: owned for manager, owned in others.items() if manager != write.manager}
    if not fields and write.manager.operation == "Update":
        return rest
    had = before.get(write.manager)
    return {**rest, write.manager: had if had and had.fields == fields else Ownership(fields, write.now)}


def _conflicts(clashes: dict[Manager, Fields]) -> ApiError:
    found = [(m, path) for m, paths in clashes.items() for path in sorted(paths)]
    causes = [Cause("FieldManagerConflict", f"conflict with {_described(m)}", dotted(path)) for m, path in found]
    if len(causes) == 1:
        return apply_conflict(f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}", causes)
    lines: list[str] = []
    for manager, paths in clashes.items():
        if paths:
            lines.append(f"conflicts with {_described(manager)}:")
            lines.extend(f"- {dotted(path)}" for path in sorted(paths))
    return apply_conflict(f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines), causes)


def _described(manager: Manager) -> str:
    said = f'"{manager.name}"'
    if manager.subresource:
        said += f' with subresource "{manager.subresource}"'
    if manager.operation == "Update":
        said += f" using {manager.api_version}"
    return said
