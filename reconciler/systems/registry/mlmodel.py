"""The MLmodel file and the input example beside it, read as data: nothing is ever loaded. Pure.

Forms: MLflow 3.17, `mlflow.models.Model` and `mlflow.models.utils` (input examples).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconciler.desired.yaml_nodes import Unparsable, read_documents
from reconciler.observed import Column, Signature

MLMODEL = "MLmodel"
# MLflow writes a few kilobytes, and more only for signatures of thousands of columns.
LARGEST = 1024 * 1024


def parse(content: bytes) -> Mapping[str, Any]:
    """Read an MLmodel file; empty when it is none."""
    if len(content) > LARGEST:
        return {}
    try:
        document = next(iter(read_documents(content)), None)
    except Unparsable:
        return {}
    # What our reader finds odd in a value, such as a date without quotes, says nothing about the fields we look at.
    return document.value if document is not None and isinstance(document.value, dict) else {}


def signature_of(mlmodel: Mapping[str, Any]) -> Signature | None:
    """Return the signature, None when none was logged or it cannot be understood."""
    raw = mlmodel.get("signature")
    if not isinstance(raw, dict):
        return None
    try:
        return Signature(_columns(raw.get("inputs")), _columns(raw.get("outputs")))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def example_paths(mlmodel: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where the input example lies, in the order of preference; empty when none was logged."""
    info = mlmodel.get("saved_input_example_info")
    if not isinstance(info, dict):
        return ()
    paths = (info.get("artifact_path"), info.get("serving_input_path"))
    return tuple(path for path in paths if isinstance(path, str) and path.endswith(".json"))


def rows_of(content: bytes) -> list[Any] | None:
    """Return the rows of an input example, as objects where columns are named; None when there are none to read."""
    try:
        return _rows(json.loads(content)) or None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _columns(text: Any) -> tuple[Column, ...]:
    return tuple(_column(raw) for raw in json.loads(text)) if text else ()


def _column(raw: Mapping[str, Any]) -> Column:
    name = raw.get("name")
    return Column(None if name is None else str(name), _type(raw), bool(raw.get("required", True)))


def _type(raw: Mapping[str, Any]) -> str:
    """Write a tensor as float64[-1,4], array and object with their parts, the rest as MLflow names it."""
    if raw["type"] == "tensor":
        spec = raw["tensor-spec"]
        return f"{spec['dtype']}[{','.join(str(n) for n in spec['shape'])}]"
    parts = {key: value for key, value in raw.items() if key not in {"name", "required", "type"}}
    return str(raw["type"]) + (json.dumps(parts, sort_keys=True, separators=(",", ":")) if parts else "")


_ENVELOPES = ("dataframe_split", "dataframe_records", "inputs", "instances")


def _rows(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise TypeError("neither a list nor an object")
    envelope = next((key for key in _ENVELOPES if key in value and len(value) <= 2), None)
    if envelope is not None:
        return _rows(value[envelope])
    if "data" in value and value.keys() <= {"columns", "index", "data"}:
        return _split(value["data"], value.get("columns"))
    return _named(value)


def _split(data: list[Any], columns: list[Any] | None) -> list[Any]:
    if columns and all(isinstance(c, str) for c in columns):
        return [dict(zip(columns, row, strict=True)) for row in data]
    return list(data)


def _named(value: Mapping[str, Any]) -> list[Any]:
    """Turn named tensors, {"a": [1, 2], "b": [3, 4]}, into rows; a plain object is one row, an empty one none."""
    if not value:
        return []
    sizes = {len(v) if isinstance(v, list) else None for v in value.values()}
    if len(sizes) == 1 and None not in sizes:
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return [dict(value)]
