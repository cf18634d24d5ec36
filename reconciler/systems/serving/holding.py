"""What we hold of a live object: its values at the fields that managedFields name as ours. Pure.

A field that somebody else changed is no longer ours, one that we no longer ask for still is: where what we hold is
what we ask for, an apply would change nothing, and there is nothing to ask the API about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.desired.digest import digest
from reconciler.manifest import names_item
from reconciler.systems.serving.api import Json
from reconciler.systems.serving.ownership import own_fields

_IDENTITY = ("name", "namespace")


def held(obj: Json) -> str:
    """Return a digest of the fields of a live object that are ours."""
    return digest(_at(obj, own_fields(obj)))


def asked(manifest: Mapping[str, Any]) -> str:
    """Return the digest that `held` has where everything is as this manifest asks."""
    meta = {name: value for name, value in manifest["metadata"].items() if name not in _IDENTITY}
    rest = {name: value for name, value in manifest.items() if name not in ("apiVersion", "kind", "metadata")}
    return digest({**rest, "metadata": meta})


def _at(value: Any, fields: Any) -> Any:
    """Return the part of a value that a set of fields names; no fields below means all of it."""
    if not isinstance(fields, dict) or not fields:
        return value
    if isinstance(value, dict):
        named = ((key[2:], below) for key, below in fields.items() if key.startswith("f:"))
        return {name: _at(value[name], below) for name, below in named if name in value}
    if isinstance(value, list):
        return [_at(item, below) for index, item in enumerate(value) for below in _meant(item, index, fields)]
    return value


def _meant(item: Any, index: int, fields: Json) -> list[Any]:
    """Return the fields that are meant of one item of a list: one set, or none where it is not meant at all."""
    return [below for key, below in fields.items() if names_item(key, item, index)][:1]
