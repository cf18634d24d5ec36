"""Desired state: every model's spec at one commit, with what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler.desired.documents import ModelSpec, PolicySpec


@dataclass(frozen=True, slots=True)
class Commit:
    """A Git commit: `author` is "Name <mail>", `at` the committer's time, `subject` the first line."""

    id: str
    author: str
    at: datetime
    subject: str

    @property
    def short(self) -> str:
        """Return the first seven digits of the id."""
        return self.id[:7]


class Severity(StrEnum):
    """How bad a diagnostic is."""

    ERROR = "error"
    WARNING = "warning"


# A megabyte of a hostile file must not become a megabyte in every place that shows what is wrong with it.
LONGEST_SAID = 1_000


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a file: `line` and `column` count from 1, 0 where there is no place.

    `source` is the line's text, `length` how many of its columns are meant, `label` a few words beside the marker.
    Texts longer than LONGEST_SAID are cut.
    """

    code: str
    message: str
    path: str
    line: int = 0
    column: int = 0
    field: str = ""
    help: str = ""
    source: str = ""
    length: int = 1
    severity: Severity = Severity.ERROR
    label: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "field", "help", "label"):
            text: str = getattr(self, name)
            if len(text) > LONGEST_SAID:
                object.__setattr__(self, name, text[: LONGEST_SAID - 3] + "...")


@dataclass(frozen=True, slots=True)
class DesiredModel:
    """One model as Git wants it: policy defaults are laid under `spec`.

    `files` maps repository paths that the spec names (a pipeline package, probe inputs) to their bytes. `stale` holds
    what is wrong with the current commit when this is the last good spec instead of the current one, `refused` then is
    the first commit in which that is wrong, "" where that is not told. `removed` is true
    when the spec left Git. `memo` keeps what was worked out of the rest, which never changes.
    """

    name: str
    spec: ModelSpec
    commit: Commit
    path: str
    line: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    stale: tuple[Diagnostic, ...] = ()
    removed: bool = False
    refused: str = ""
    memo: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def registered_model(self) -> str:
        """Return the model's name in the registry."""
        return self.spec.registered_model or self.name


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What Git says at one commit.

    `unreadable` are paths whose documents cannot be told: while there are any, nothing may be taken for removed.
    """

    commit: Commit
    models: Mapping[str, DesiredModel]
    policy: PolicySpec = field(default_factory=PolicySpec)
    diagnostics: tuple[Diagnostic, ...] = ()
    unreadable: frozenset[str] = frozenset()
