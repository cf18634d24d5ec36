"""Which fields the documents have, and which one a misspelt name means."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag

from reconciler.desired.base import UNION_PREFIX, Document


def is_union_step(step: str | int) -> bool:
    """Tell whether a step of an error's location names a member of a union instead of a field."""
    return isinstance(step, str) and step.startswith(UNION_PREFIX)


def fields_at(root: type[Document], location: Sequence[str | int]) -> dict[str, Any]:
    """Return the fields, by the name people write, of the document part at a location; empty where there is none."""
    choices: list[Any] = [root]
    for step in location:
        choices = [inner for choice in choices for inner in _step(choice, step)]
    return {name: kind for choice in choices for name, kind in _fields(choice).items()}


def suggest(wrong: str, root: type[Document], location: Sequence[str | int]) -> str:
    """Say which field was meant by a name that is not known at a location."""
    here = fields_at(root, location)
    lower = {name.lower(): name for name in here}
    close = difflib.get_close_matches(wrong.lower().replace("_", "").replace("-", ""), lower, 1, 0.7)
    if close:
        return f'did you mean "{lower[close[0]]}"?'
    homes = [f"{home}.{wrong}" for home in _homes(root) if wrong in _homes(root)[home]]
    if len(homes) == 1:
        return f"it belongs at {homes[0]}"
    return f"the fields here are {', '.join(sorted(here))}" if here else "leave it out"


def _step(annotation: Any, step: str | int) -> Iterator[Any]:
    if is_union_step(step):
        yield from (inner for inner in _choices(annotation) if _tag(inner) == step)
    elif isinstance(step, int):
        yield from (
            inner
            for choice in _choices(annotation)
            if get_origin(choice) is tuple
            for inner in _choices(get_args(choice)[0])
        )
    else:
        yield from (fields[step] for choice in _choices(annotation) if step in (fields := _fields(choice)))


def _choices(annotation: Any) -> list[Any]:
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(bare) in (Union, UnionType):
        return [inner for member in get_args(bare) for inner in _choices_of_member(member)]
    return [annotation]


def _choices_of_member(member: Any) -> list[Any]:
    return [member] if _tag(member) else _choices(member)


def _tag(annotation: Any) -> str | None:
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((extra.tag for extra in extras if isinstance(extra, Tag)), None)


def _fields(annotation: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for choice in _choices(annotation):
        bare = get_args(choice)[0] if get_origin(choice) is Annotated else choice
        if isinstance(bare, type) and issubclass(bare, Document):
            fields |= {field.alias or name: field.annotation for name, field in bare.model_fields.items()}
    return fields


@cache
def _homes(root: type[Document], prefix: str = "") -> dict[str, frozenset[str]]:
    homes: dict[str, frozenset[str]] = {}
    for name, annotation in _fields(root).items():
        inner = _fields(annotation)
        if inner:
            home = f"{prefix}.{name}".removeprefix(".")
            homes[home] = frozenset(inner)
            for choice in _choices(annotation):
                if isinstance(choice, type) and issubclass(choice, Document):
                    homes |= _homes(choice, home)
    return homes
