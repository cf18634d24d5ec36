"""A policy's defaults, laid under a model's spec before it is validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a model leaves out of these, it does not have: a default must not begin to train or to serve it.
_ONLY_WHERE_WRITTEN = ("training", "serving")


def lay_under(defaults: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return `spec` with what it leaves out filled from `defaults`: mappings are merged, lists are replaced.

    Defaults for `training` and `serving` count only for models that have that section, be it an empty mapping.
    """
    wanted = {key: value for key, value in defaults.items() if key not in _ONLY_WHERE_WRITTEN or key in spec}
    return _merge(wanted, spec)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
