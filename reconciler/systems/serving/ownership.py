"""Whose object is it? Read from labels, annotations and managed fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.desired.digest import digest
from reconciler.manifest import ABSENT, value_at
from reconciler.observed import LABEL_MODEL, MANAGER, HeldField
from reconciler.systems.serving.api import Json
from reconciler.systems.serving.reading import items, mapping, text
from reconciler.systems.serving.tools import tracker_of, writer_of

_MANAGED_BY = "app.kubernetes.io/managed-by"
_INSTANCE = "app.kubernetes.io/instance"
_SHARED = (("f:metadata", "f:labels"), ("f:metadata", "f:annotations"))
# KServe's controller and webhook write finalizers and defaults; that makes them nobody's owner.
_CONTROLLERS = frozenset({"manager", "kserve-controller-manager", "Go-http-client", "kube-controller-manager"})


def is_ours(obj: Json) -> bool:
    """Tell whether we made it and nobody else claims it: our manager, our labels, tracked by no other tool.

    Whoever merely wrote a field of it claims nothing: that field is told by `held_by_others`.
    """
    labels = mapping(obj, "metadata", "labels")
    made = any(text(entry, "manager") == MANAGER for entry in _writers(obj))
    labelled = labels.get(_MANAGED_BY) == MANAGER and LABEL_MODEL in labels
    return made and labelled and not tracker_of(obj)


def owner_of(obj: Json) -> str:
    """Name who manages it, for people."""
    return MANAGER if is_ours(obj) else tracked_by(obj) or _managers(obj)


def tracked_by(obj: Json) -> str:
    """Name the tool that keeps an object of somebody else as it is and would undo what we change; "" for none."""
    writers = [text(entry, "manager") for entry in _writers(obj)]
    return tracker_of(obj) or _controller(obj) or _release(obj) or writer_of(obj, writers)


def _controller(obj: Json) -> str:
    owner = next((ref for ref in items(obj, "metadata", "ownerReferences") if ref.get("controller")), None)
    return f'{text(owner, "kind")} "{text(owner, "name")}"' if owner else ""


def _release(obj: Json) -> str:
    """Name what the labels say that every tool may write."""
    labels = mapping(obj, "metadata", "labels")
    tool, instance = text(labels, _MANAGED_BY), text(labels, _INSTANCE)
    if tool and tool != MANAGER:
        return f'{tool} release "{instance}"' if instance else tool
    return f'the application "{instance}" (label {_INSTANCE})' if instance else ""


def held_by_others(obj: Json) -> tuple[HeldField, ...]:
    """Return the fields of the spec, the labels and the annotations that other managers hold, with their values."""
    found = (
        HeldField(path, text(entry, "manager"), value)
        for entry in _writers(obj)
        if text(entry, "manager") != MANAGER
        for path in _leaves(mapping(entry, "fieldsV1"), ())
        if (path[:2] in _SHARED and len(path) > 2) or path[:1] == ("f:spec",)
        # Who holds an empty object holds nothing below it.
        if (value := value_at(obj, path)) is not ABSENT and value != {}
    )
    return tuple(found)


def _leaves(fields: Json, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    below = {step: deeper for step, deeper in fields.items() if step != "."}
    if not below and path:
        yield path
    for step, deeper in below.items():
        yield from _leaves(deeper if isinstance(deeper, dict) else {}, (*path, step))


def _managers(obj: Json) -> str:
    names = [text(entry, "manager") for entry in _writers(obj)]
    others = dict.fromkeys(f'"{name}"' for name in names if name != MANAGER and name not in _CONTROLLERS)
    if others:
        return "field manager " + ", ".join(others)
    return "nobody named: our labels are missing" if MANAGER in names else "nobody named"


def _writers(obj: Json) -> list[Json]:
    """Return the managed fields of the object itself, without those of its status."""
    return [entry for entry in items(obj, "metadata", "managedFields") if not entry.get("subresource")]


def fingerprint(obj: Json) -> str:
    """Return a digest that changes when the spec changed, or who owns which field of it."""
    owned = [[text(entry, "manager"), text(entry, "operation"), entry.get("fieldsV1")] for entry in _writers(obj)]
    return digest([mapping(obj, "metadata").get("generation"), owned])


def needs_adoption(obj: Json) -> bool:
    """Tell whether our fields stand under the create (an update), where an apply of ours would conflict with them."""
    return any(text(e, "manager") == MANAGER and text(e, "operation") == "Update" for e in _writers(obj))


def adopted(obj: Json) -> list[Json]:
    """Return the managed fields with what our create wrote moved to our apply."""
    ours = _our_writes(obj)
    rest = [entry for entry in items(obj, "metadata", "managedFields") if entry not in ours]
    return [{**ours[0], "operation": "Apply", "fieldsV1": own_fields(obj)}, *rest]


def given_up(obj: Json, manifest: Mapping[str, Any]) -> list[Json]:
    """Return the managed fields without what others hold of the spec and of our labels and annotations."""
    meta = manifest["metadata"]
    ours = {f"f:{part}": {f"f:{name}" for name in meta.get(part, {})} for part in ("labels", "annotations")}
    return [
        entry if entry.get("subresource") or text(entry, "manager") == MANAGER else _without(entry, ours)
        for entry in items(obj, "metadata", "managedFields")
    ]


def _without(entry: Json, ours: Mapping[str, set[str]]) -> Json:
    fields = {step: below for step, below in mapping(entry, "fieldsV1").items() if step != "f:spec"}
    meta = dict(mapping(fields, "f:metadata"))
    for part, names in ours.items():
        if part in meta:
            meta[part] = {step: below for step, below in mapping(meta, part).items() if step not in names}
    if meta:
        fields["f:metadata"] = {part: below for part, below in meta.items() if below != {} or part not in ours}
    return {**entry, "fieldsV1": fields}


def own_fields(obj: Json) -> Json:
    """Return the set of fields that are ours, by create or by apply, as fieldsV1."""
    fields: Json = {}
    for entry in _our_writes(obj):
        fields = _union(fields, mapping(entry, "fieldsV1"))
    return fields


def _our_writes(obj: Json) -> list[Json]:
    return [entry for entry in _writers(obj) if text(entry, "manager") == MANAGER]


def _union(one: Json, other: Json) -> Json:
    both: dict[str, Any] = {**other, **one}
    shared = one.keys() & other.keys()
    return {**both, **{name: _union(mapping(one, name), mapping(other, name)) for name in shared}}
