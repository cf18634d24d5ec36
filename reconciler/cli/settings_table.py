"""Every setting as a row, read from the settings' own declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.desired.duration import format_duration
from reconciler.redaction import Redactor, secrets_of
from reconciler.settings import PREFIX, Secret, Settings, load_settings

# Said once here for every secret, instead of in each declaration.
_SECRET_PARTS = {
    "file": "The file that holds the secret.",
    "env": "The environment variable that holds the secret.",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its dotted path, its type in words, its default, its variable and what it means."""

    path: str
    type: str
    default: str
    variable: str
    description: str

    def as_json(self) -> dict[str, str]:
        """Return the setting as a JSON object."""
        return asdict(self)


def every_setting() -> list[Setting]:
    """Return every setting, in the order of their declaration."""
    return [_setting(steps) for steps in _leaves(Settings, ())]


Steps = tuple[tuple[str, FieldInfo], ...]


def _leaves(section: type[BaseModel], above: Steps) -> Iterator[Steps]:
    for name, field in section.model_fields.items():
        steps = (*above, (name, field))
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, steps)
        else:
            yield steps


def _setting(steps: Steps) -> Setting:
    names = [name for name, _ in steps]
    field = steps[-1][1]
    of_secret = len(steps) > 1 and steps[-2][1].annotation is Secret
    said = _SECRET_PARTS[names[-1]] if of_secret else field.description or ""
    return Setting(
        path=".".join(field.alias or name for name, field in steps),
        type=_type(field.annotation),
        default=shown(_value(Settings(), names)),
        variable=PREFIX + "__".join(name.upper() for name in names),
        description=said,
    )


def _value(settings: BaseModel, names: list[str]) -> Any:
    value: Any = settings
    for name in names:
        value = getattr(value, name)
    return value


_TYPES = {str: "text", int: "number", Path: "path", timedelta: "duration", bool: "true or false", NoneType: ""}

_CONTAINERS = {dict: "mapping", tuple: "list"}


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    if isinstance(annotation, UnionType):
        return " or ".join(word for word in map(_type, get_args(annotation)) if word)
    if word := _CONTAINERS.get(get_origin(annotation)):
        return word
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " or ".join(member.value for member in annotation)
    return _TYPES.get(annotation, str(annotation))


def shown(value: object) -> str:
    """Write a value as it may be written in the settings file; nothing for none."""
    match value:
        case None:
            return ""
        case timedelta():
            return format_duration(value)
        case StrEnum():
            return value.value
        case dict():
            return ", ".join(f"{key}: {item}" for key, item in value.items())
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def effective(config: Path | None, environ: Mapping[str, str]) -> list[tuple[Setting, str, str]]:
    """Return each setting with its value in force, without secrets, and its origin: environment, file or default."""
    settings, redactor = load_settings(config, environ), Redactor()
    found = []
    for steps in _leaves(Settings, ()):
        names, setting = [name for name, _ in steps], _setting(steps)
        value = redactor.redact_text(shown(_value(settings, names)))
        by_default = "default" if value == setting.default else "file"
        found.append((setting, value, "environment" if _in_environment(names, environ) else by_default))
    return found


def _in_environment(names: list[str], environ: Mapping[str, str]) -> bool:
    """Return whether a variable sets the setting, or a section that it lies in."""
    return any(PREFIX + "__".join(names[:depth]).upper() in environ for depth in range(1, len(names) + 1))


def read_secrets(settings: Settings) -> int:
    """Read every secret that the settings name, and return how many there are. Raises SettingsError."""
    return len(list(secrets_of(settings)))
