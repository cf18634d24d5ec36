"""JSON Schemas of the documents, for editors and for checks on pull requests."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from reconciler.desired.base import UNION_PREFIX, Document
from reconciler.desired.documents import API_VERSION, Model, RepositoryPolicy
from reconciler.desired.duration import format_duration

_KINDS: dict[str, type[Document]] = {"Model": Model, "RepositoryPolicy": RepositoryPolicy}


class _Generator(GenerateJsonSchema):
    """Writes defaults as people write them in YAML."""

    def encode_default(self, dft: Any) -> Any:
        match dft:
            case timedelta():
                return format_duration(dft)
            case BaseModel():
                return dft.model_dump(mode="json", by_alias=True, exclude_none=True)
        return super().encode_default(dft)


def schemas() -> dict[str, str]:
    """Return the text of each schema by its file name; the same documents always give the same text."""
    return {f"{kind}.json": json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n" for kind in _KINDS}


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind."""
    generated = _KINDS[kind].model_json_schema(by_alias=True, schema_generator=_Generator)
    _tidy(generated)
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{API_VERSION.replace('/', ':')}:{kind}",
        "title": f"{kind} ({API_VERSION})",
    }
    return {**described, **{key: value for key, value in generated.items() if key not in described}}


def _tidy(node: Any) -> None:
    """Remove what only repeats a field's name, and what pydantic knows of our unions but editors do not."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    discriminator = node.get("discriminator")
    if isinstance(discriminator, dict) and UNION_PREFIX in json.dumps(discriminator):
        del node["discriminator"]
    for name, part in node.items():
        if name == "properties":
            for field in part.values():
                # A field of a class takes the class's title; a plain one would only say its own name again.
                field.pop("title", None)
        _tidy(part)
