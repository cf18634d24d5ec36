"""MLflow's JSON as frozen values, and whether two answers fit together. Pure.

Raises Malformed for anything that has not the shape of MLflow 3.17's REST API.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from reconciler.observed import ModelVersion, RegisteredModel, Stage
from reconciler.redaction import first_words

_STAGES = {stage.value: stage for stage in Stage}
_NONE: frozenset[str] = frozenset()
_NO_TAGS: Mapping[str, str] = {}


class Malformed(ValueError):  # noqa: N818  a state of an answer
    """The answer is not what MLflow answers."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A registered model without its versions; `mentioned` are versions that its answer names."""

    name: str
    tags: Mapping[str, str]
    aliases: Mapping[int, frozenset[str]]
    mentioned: frozenset[int]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version as MLflow lists it: without aliases."""

    name: str
    value: ModelVersion


def models_of(answer: Mapping[str, Any]) -> list[ModelRow]:
    """Read registered models; `{}` is an empty list."""
    return [_model(raw) for raw in _list(answer, "registered_models")]


def versions_of(answer: Mapping[str, Any]) -> list[VersionRow]:
    """Read model versions; `{}` is an empty list."""
    return [_version(raw) for raw in _list(answer, "model_versions")]


def metrics_of(answer: Mapping[str, Any]) -> dict[str, float]:
    """Read a run's newest metrics. MLflow's SQL store keeps infinity as the largest double: it is infinity again."""
    try:
        found = answer["run"]["data"].get("metrics", [])
        return {_text(m["key"]): _number(m["value"]) for m in found}
    except _ODD as error:
        raise Malformed(f"a run's metrics are not as expected: {_short(error)}") from error


def next_page(answer: Mapping[str, Any]) -> str | None:
    """Return the token of the next page."""
    token = answer.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise Malformed("next_page_token is no text")
    return token or None


def merge(models: Iterable[ModelRow], versions: Iterable[VersionRow]) -> tuple[dict[str, RegisteredModel], set[str]]:
    """Join both answers by name; the set names the models of which the two answers disagree."""
    by_name: dict[str, list[ModelVersion]] = defaultdict(list)
    for row in versions:
        by_name[row.name].append(row.value)
    joined: dict[str, RegisteredModel] = {}
    torn: set[str] = set()
    for model in models:
        found = by_name.pop(model.name, [])
        if model.name in joined or not _complete(model, found):
            torn.add(model.name)
        joined[model.name] = _join(model, found)
    return joined, torn | by_name.keys()


def _complete(model: ModelRow, versions: list[ModelVersion]) -> bool:
    numbers = {v.version for v in versions}
    return len(numbers) == len(versions) and model.mentioned <= numbers


def _join(model: ModelRow, versions: list[ModelVersion]) -> RegisteredModel:
    versions.sort(key=lambda v: v.version)
    if model.aliases:
        versions = [_with_aliases(v, model.aliases.get(v.version, _NONE)) for v in versions]
    return RegisteredModel(model.name, tuple(versions), model.tags)


def _with_aliases(v: ModelVersion, aliases: frozenset[str]) -> ModelVersion:
    if not aliases:
        return v
    return ModelVersion(v.version, v.stage, aliases, v.tags, v.run_id, v.source, v.created_at, v.ready)


def _list(answer: Mapping[str, Any], key: str) -> list[Any]:
    if answer and not answer.keys() & {key, "next_page_token"}:
        raise Malformed(f"the answer has no {key}")
    value = answer.get(key, [])
    if not isinstance(value, list):
        raise Malformed(f"{key} is no list")
    return value


def _model(raw: Any) -> ModelRow:
    try:
        aliases: dict[int, frozenset[str]] = {}
        for alias in raw.get("aliases", ()):
            number = _version_number(alias["version"])
            aliases[number] = aliases.get(number, _NONE) | {_text(alias["alias"])}
        latest = {_version_number(v["version"]) for v in raw.get("latest_versions", ())}
        return ModelRow(_text(raw["name"]), _tags(raw), aliases, frozenset(latest | aliases.keys()))
    except _ODD as error:
        raise Malformed(f"a registered model is not as expected: {_short(error)}") from error


def _version(raw: Any) -> VersionRow:
    try:
        value = ModelVersion(
            version=_version_number(raw["version"]),
            stage=_STAGES[raw.get("current_stage") or "None"],
            aliases=_NONE,
            tags=_tags(raw),
            run_id=_text(raw.get("run_id", "")),
            source=_text(raw.get("source", "")),
            created_at=datetime.fromtimestamp(int(raw["creation_timestamp"]) / 1000, UTC),
            ready=raw.get("status", "READY") == "READY",
        )
        return VersionRow(_text(raw["name"]), value)
    except _ODD as error:
        raise Malformed(f"a model version is not as expected: {_short(error)}") from error


# What comes out of reading a value of any other shape, or a time or number beyond all bounds.
_ODD = (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError)
_LARGEST_VERSION = 2**31 - 1


def _short(error: Exception) -> str:
    return first_words(repr(error), 300)


def _version_number(value: Any) -> int:
    """Read a version's number, which MLflow writes as a number or as its text."""
    number = int(value) if isinstance(value, str) and len(value) <= 10 else value
    if type(number) is not int or not 0 < number <= _LARGEST_VERSION:
        raise ValueError(f"expected a version's number, found {str(value)[:40]!r}")
    return number


def _tags(raw: Any) -> Mapping[str, str]:
    found = raw.get("tags")
    return {sys.intern(_text(tag["key"])): _text(tag.get("value", "")) for tag in found} if found else _NO_TAGS


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    """Read a metric; MLflow writes NaN and infinity as text too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"expected a number, found {type(value).__name__}")
    number = float(value)
    if abs(number) == sys.float_info.max:
        return float("inf") if number > 0 else float("-inf")
    return number
