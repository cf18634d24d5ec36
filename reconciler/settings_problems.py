"""Say in plain words what is wrong with settings, where each stands, and what was meant. Pure.

No value is ever quoted but of durations: an address may hold a password, and a secret may stand where none belongs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.desired.duration import NotADuration

MOST_TOLD = 20
Steps = tuple[str | int, ...]

_WANTED = {
    **dict.fromkeys(("string_type", "string_sub_type"), "text"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("path_type", "path_parsing"), "a path"),
    **dict.fromkeys(("model_type", "model_attributes_type"), "a mapping of further settings"),
    "dict_type": "a mapping",
    "tuple_type": "a list",
}
_GIVEN = {"str": "text", "bool": "true or false", "NoneType": "nothing", "dict": "a mapping", "list": "a list"}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


@dataclass(frozen=True, slots=True)
class Origins:
    """Where settings stand: in a file, but for those whose path a variable names."""

    file: str
    variables: Mapping[tuple[str, ...], str]

    def of(self, steps: Steps) -> str:
        """Return where the setting at a path stands."""
        names = tuple(map(str, steps))
        near = [path for path in self.variables if path == names[: len(path)] or names == path[: len(names)]]
        return self.variables[max(near, key=len)] if near else self.file


@dataclass(frozen=True, slots=True)
class Schema:
    """What settings there are: `secret` is the section that every secret has, `variable` names a path's variable."""

    root: type[BaseModel]
    secret: type[BaseModel]
    variable: Callable[[Sequence[str]], str]


def explain(error: ValidationError, schema: Schema, origins: Origins) -> str:
    """Tell every problem, each on a line of its own where there are several."""
    said = list(dict.fromkeys(_one(detail, schema, origins) for detail in error.errors(include_url=False)))
    if len(said) == 1:
        return said[0]
    more = [f"and {len(said) - MOST_TOLD} more"] if len(said) > MOST_TOLD else []
    return "\n  ".join((f"{len(said)} settings cannot be used:", *said[:MOST_TOLD], *more))


def _one(detail: ErrorDetails, schema: Schema, origins: Origins) -> str:
    steps, kind = detail["loc"], detail["type"]
    where = f" ({origins.of(steps)})"
    depth = next((n for n in range(len(steps) + 1) if _section(schema.root, steps[:n]) is schema.secret), None)
    if depth is not None and (depth == len(steps) or kind == "extra_forbidden"):
        advice = "write {file: ...} or {env: ...}, which say where it stands, never the secret itself"
        return f"setting {dotted(steps[:depth])}{where} is a secret: {advice}"
    if kind == "extra_forbidden":
        named = f"there is no setting {dotted(steps)}{where}"
        return f"{named}; {meant}" if (meant := _meant(steps, schema, origins)) else named
    return f"setting {dotted(steps)}{where} {_wrong(detail)}"


def _wrong(detail: ErrorDetails) -> str:
    """Say what a value has to be."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _WANTED:
        given = _GIVEN.get(type(detail["input"]).__name__, "a number")
        return f"must be {_WANTED[kind]}, not {given}"
    if kind in ("enum", "literal_error"):
        return f"must be {str(context['expected']).replace(chr(39), '')}"
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        return f"must be {words} {context[key]}"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    error = context.get("error")
    if isinstance(error, NotADuration):
        meant = error.meant(str(detail["loc"][-1]))
        return f"is {error}" + (f": {meant}" if meant else "")
    said = str(error) if error is not None else detail["msg"]
    return f"cannot be used: {said[:1].lower()}{said[1:]}"


def dotted(steps: Sequence[str | int]) -> str:
    """Write a path as people write it: mlflow.trackingUri, kubernetes.namespaces[0]."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def _meant(steps: Steps, schema: Schema, origins: Origins) -> str:
    """Say which setting was meant by a name that is none: one like it beside it, or of that name elsewhere."""
    wrong, above = _bare(steps[-1]), tuple(map(str, steps[:-1]))
    here = {_bare(name): (*above, name) for name in _names(_section(schema.root, above))}
    close = difflib.get_close_matches(wrong, here, 1, 0.7)
    homes = [path for path in _paths(schema.root, ()) if _bare(path[-1]) == wrong]
    found = here[close[0]] if close else homes[0] if len(homes) == 1 else None
    if found is None:
        return ""
    by_variable = origins.of(steps) != origins.file
    return f"did you mean {dotted(found)}" + (f", by {schema.variable(found)}?" if by_variable else "?")


def _bare(name: str | int) -> str:
    return str(name).lower().replace("_", "").replace("-", "")


def _names(section: type[BaseModel] | None) -> Iterator[str]:
    if section is not None:
        yield from (field.alias or name for name, field in section.model_fields.items())


def _paths(section: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the path of every setting and section."""
    for name in _names(section):
        yield (*above, name)
        inner = _section(section, (name,))
        if inner is not None:
            yield from _paths(inner, (*above, name))


def _section(root: type[BaseModel], steps: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the section at a path, None where there is none."""
    section = root
    for step in steps:
        named = (field.annotation for name, field in section.model_fields.items() if str(step) in (name, field.alias))
        found = next(named, None)
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            return None
        section = found
    return section
