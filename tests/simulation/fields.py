"""Server-side apply as far as one owner and everybody else: whose a field is, and who may change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
Leaves = Mapping[Path, Any]
# What an apply names besides the fields that it owns.
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")


def leaves(manifest: Mapping[str, Any]) -> dict[Path, Any]:
    """Return the fields of an object that can be owned, by their paths; a list is one of them."""
    meta = {name: value for name, value in manifest["metadata"].items() if name not in _IDENTITY}
    return _leaves({"metadata": meta, "spec": manifest["spec"]}, ())


def _leaves(value: Any, path: Path) -> dict[Path, Any]:
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {below: leaf for name, item in value.items() for below, leaf in _leaves(item, (*path, name)).items()}


def tree(fields: Leaves) -> dict[str, Any]:
    """Return the object that has these fields."""
    found: dict[str, Any] = {"metadata": {}, "spec": {"predictor": {}}}
    for path, value in fields.items():
        place = found
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return found


@dataclass(frozen=True, slots=True)
class Fields:
    """All fields of an object; `ours` are owned by us, `theirs` by others, and a field may be both."""

    values: Leaves
    ours: frozenset[Path]
    theirs: frozenset[Path] = frozenset()

    def conflicts(self, wanted: Leaves) -> tuple[Path, ...]:
        """Return the fields that an apply would take from others."""
        return tuple(p for p, v in wanted.items() if p in self.theirs and self.values.get(p, v) != v)

    def drift(self, wanted: Leaves) -> tuple[Path, ...]:
        """Return the fields that a forced apply would change or remove."""
        gone = self.ours - wanted.keys() - self.theirs
        return (*(p for p, v in wanted.items() if p not in self.values or self.values[p] != v), *gone)

    def applied(self, wanted: Leaves) -> Fields:
        """Apply, as us; there must be no conflicts."""
        kept = {p: v for p, v in self.values.items() if p in wanted or p in self.theirs or p not in self.ours}
        return Fields({**kept, **wanted}, frozenset(wanted), self.theirs)

    def patched(self, path: Path, value: Any, ours: bool) -> Fields:  # a fact, not a switch
        """Set one field, or remove it (None); whoever changes a field is its only owner then."""
        if self.values.get(path) == value:
            return self
        rest = {p: v for p, v in self.values.items() if p != path}
        mine, theirs = self.ours - {path}, self.theirs - {path}
        if value is None:
            return Fields(rest, mine, theirs)
        values, owner = {**rest, path: value}, frozenset({path})
        return Fields(values, mine | owner, theirs) if ours else Fields(values, mine, theirs | owner)
