"""What two specs differ in, field by field, under the names that people write. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import DesiredModel

ROOTS = ("metric", "tag", "signature", "name")


class Kind(StrEnum):
    """What happens to a field."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field by its dotted path below `spec`; `before` and `after` are JSON values, None where there is none."""

    path: str
    kind: Kind
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """Return the last part of the path, of an item of a list from the list on: gates[accuracy].min."""
        above, bracket, item = self.path.partition("[")
        # The path of a file has dots of its own, and so may what an item is named by.
        return self.path if self.path.startswith("file ") else above.rpartition(".")[2] + bracket + item


def model_changes(before: DesiredModel, after: DesiredModel) -> tuple[FieldChange, ...]:
    """Return what differs between two specs of a model, with the files that they name."""
    spec = _compare(_spec(before), _spec(after), "")
    files = _compare(_digests(before), _digests(after), "file ")
    return (*spec, *(change for change in files if change.kind is Kind.CHANGED))


def policy_changes(before: PolicySpec, after: PolicySpec) -> tuple[FieldChange, ...]:
    """Return what differs between two policies; defaults are left out, for they show in the models."""
    old, new = (policy.model_dump(mode="json", by_alias=True, exclude={"defaults"}) for policy in (before, after))
    return tuple(_compare(old, new, ""))


def _spec(model: DesiredModel) -> Mapping[str, Any]:
    return model.spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def _digests(model: DesiredModel) -> Mapping[str, str]:
    # Paths have dots of their own, so they are no parts of a dotted path.
    return {path: hashlib.sha256(data).hexdigest()[:7] for path, data in sorted(model.files.items())}


def _compare(before: Any, after: Any, path: str) -> Iterator[FieldChange]:
    if repr(before) == repr(after):  # 1, 1.0 and true are equal, also within a list or an object, but not the same
        return
    parts = _parts(before), _parts(after)
    if parts[0] is None or parts[1] is None:
        yield FieldChange(path, Kind.CHANGED, before, after)
        return
    for key in (*parts[0], *(key for key in parts[1] if key not in parts[0])):
        yield from _compare_part(parts[0], parts[1], key, _join(path, key))


def _compare_part(before: Mapping[str, Any], after: Mapping[str, Any], key: str, path: str) -> Iterator[FieldChange]:
    if key not in before:
        yield FieldChange(path, Kind.ADDED, None, after[key])
    elif key not in after:
        yield FieldChange(path, Kind.REMOVED, before[key], None)
    else:
        yield from _compare(before[key], after[key], path)


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Return the parts of a value that are compared one by one, None for a value that is compared as a whole."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        names = _names(value)
        return dict(zip(names, value, strict=True))
    return None


def _names(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the items of a list by what they are about, or where that is not unique by their place."""
    names = [f"[{_about(item)}]" for item in items]
    return names if len(set(names)) == len(names) and "[]" not in names else [f"[{i}]" for i in range(len(items))]


def _about(item: Mapping[str, Any]) -> str:
    about = next((str(item[root]) for root in ROOTS if root in item), "")
    return f"{about} against {item['against']}" if about and item.get("against") else about


def _join(path: str, key: str) -> str:
    if key.startswith("[") or not path or path.endswith(" "):
        return path + key
    return f"{path}.{key}"
