"""A DesiredModel as one JSON text, so that the last good spec survives a restart."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from reconciler.desired.documents import ModelSpec
from reconciler.desired.state import Commit, DesiredModel

FORMAT = 1


class NotStored(ValueError):  # noqa: N818  it says what the text is not
    """The text is no DesiredModel that this release can read."""


def to_json(model: DesiredModel) -> str:
    """Write a model as JSON; what is stale about it is left out, for a last good spec is not."""
    return json.dumps(
        {
            "format": FORMAT,
            "name": model.name,
            "spec": model.spec.model_dump(mode="json", by_alias=True),
            "commit": {
                "id": model.commit.id,
                "author": model.commit.author,
                "at": model.commit.at.isoformat(),
                "subject": model.commit.subject,
            },
            "path": model.path,
            "line": model.line,
            "labels": dict(model.labels),
            "files": {path: base64.b64encode(data).decode("ascii") for path, data in model.files.items()},
            "removed": model.removed,
        },
        separators=(",", ":"),
        sort_keys=True,
        ensure_ascii=False,
    )


def from_json(text: str) -> DesiredModel:
    """Read a model back. Raises NotStored."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw["format"] != FORMAT:
            raise NotStored(f"format {raw['format']} is not known to this release, which knows {FORMAT}")
        return _model(raw)
    except ValidationError as error:
        raise NotStored(
            f"the stored spec is not valid any more: {error.errors(include_url=False)[0]['msg']}"
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise NotStored(f"the stored spec is incomplete: {error}") from error
    except (ValueError, RecursionError) as error:
        raise NotStored(f"the stored spec cannot be read: {error}") from error


def _model(raw: dict[str, Any]) -> DesiredModel:
    commit, line, labels = raw["commit"], raw["line"], raw["labels"]
    at = datetime.fromisoformat(commit["at"])
    if type(line) is not int or type(raw["removed"]) is not bool or at.tzinfo is None:
        raise NotStored("the stored spec's line, time or removal is none")
    return DesiredModel(
        name=_text(raw["name"]),
        spec=ModelSpec.model_validate(raw["spec"], by_alias=True, by_name=False),
        commit=Commit(_text(commit["id"]), _text(commit["author"]), at, _text(commit["subject"])),
        path=_text(raw["path"]),
        line=line,
        labels={key: _text(value) for key, value in labels.items()},
        files={path: base64.b64decode(data, validate=True) for path, data in raw["files"].items()},
        removed=raw["removed"],
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotStored(f"the stored spec holds {type(value).__name__} where text belongs")
    return value
