"""What people are told about a model and about the systems. Pure.

`as_json()` is a public schema: names are camelCase, times RFC 3339 in UTC, nothing is left out when it is empty.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

SUSPENDED_IN_GIT = "spec.suspend is true"
"""How everybody who tells of it begins."""


class Sync(StrEnum):
    """Whether the systems are as Git says."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


class Health(StrEnum):
    """How what is live does."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"
    MISSING = "Missing"
    UNKNOWN = "Unknown"


class Phase(StrEnum):
    """What the reconciler is doing with the model."""

    IDLE = "Idle"
    TRAINING = "Training"
    GATING = "Gating"
    DEPLOYING = "Deploying"
    CANARY = "Canary"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    ARCHIVING = "Archiving"


class Truth(StrEnum):
    """Status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


class _Camel:
    """Gives a dataclass its JSON names, for `as_json` and for pydantic's schema of it alike."""

    __slots__ = ()

    # Read by pydantic, which this module does not import.
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "alias_generator": _camel,
        "extra": "ignore",
        "populate_by_name": True,
    }


@dataclass(frozen=True, slots=True)
class Condition(_Camel):
    """One condition: `reason` is a CamelCase word, `message` a sentence with its numbers."""

    status: Truth
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Conditions(_Camel):
    """The three conditions every model has."""

    ready: Condition
    reconciling: Condition
    stalled: Condition


@dataclass(frozen=True, slots=True)
class RegistryVersion(_Camel):
    """A version worth showing: `role` is Production, Staging, Archived or None; `note` such as "rejected"."""

    version: int
    role: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrafficShare(_Camel):
    """What one revision gets: `set_percent` is asked for (None: nothing is), `percent` is effective."""

    version: int | None
    revision: str
    set_percent: int | None
    percent: int


@dataclass(frozen=True, slots=True)
class RejectedVersion(_Camel):
    """A version that will not be used, and why, with the numbers."""

    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class SpecProblem(_Camel):
    """What is wrong with the spec in Git: `line` 0 where there is no place, `help` says how to mend it."""

    code: str
    message: str
    path: str
    line: int
    help: str


@dataclass(frozen=True, slots=True)
class ChangedBy(_Camel):
    """Author and first line of the commit that last changed what is wanted."""

    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class RunningStep(_Camel):
    """Where a rollout is: steps count from 1, `held_until` None where it waits for a person or its hold is over."""

    number: int
    of: int
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class OrderStatus(_Camel):
    """What a person ordered by hand: `order` is the command's word, `about` what it is for."""

    order: str
    actor: str
    reason: str
    at: datetime
    about: str


@dataclass(frozen=True, slots=True)
class Orderable(_Camel):
    """What an order would be about now: `version` 0 for none, `step` 0 for no step."""

    order: str
    version: int
    step: int
    about: str


@dataclass(frozen=True, slots=True)
class OrderAnswer(_Camel):
    """An order that stands on the ledger: `repeated` when it stood there before, `follows` says what happens next."""

    model: str
    order: OrderStatus
    repeated: bool
    follows: str

    def as_json(self) -> dict[str, Any]:
        """Return the answer as a JSON object."""
        value: dict[str, Any] = plain(self)
        return value


@dataclass(frozen=True, slots=True)
class ModelStatus(_Camel):
    """Everything `status` and `explain` show of one model.

    `git` is "auto" or the wanted version; `verdicts` are JSON objects, one a gate or a check; `look_again_at` None
    means that only an event leads to another look; `orders` are those in force, `orderable` those that somebody could
    give; `step` is that of a canary, None before its first; `problems` are those of a spec that is not in force.
    """

    name: str
    sync: Sync
    health: Health
    phase: Phase
    conditions: Conditions
    updated_at: datetime
    git: str = "auto"
    registry: tuple[RegistryVersion, ...] = ()
    live: tuple[TrafficShare, ...] = ()
    waits_for: str = ""
    blocked_by: str = ""
    look_again_at: datetime | None = None
    last_applied_commit: str = ""
    last_attempted_commit: str = ""
    next_action: str | None = None
    rejected: tuple[RejectedVersion, ...] = ()
    verdicts: tuple[Mapping[str, Any], ...] = ()
    commit: ChangedBy | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    orders: tuple[OrderStatus, ...] = ()
    orderable: tuple[Orderable, ...] = ()
    step: RunningStep | None = None
    problems: tuple[SpecProblem, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the status as a JSON object."""
        value: dict[str, Any] = plain(self)
        return value


@dataclass(frozen=True, slots=True)
class SystemStatus(_Camel):
    """How a system answers: `since` is when it began to answer or to fail; `age_seconds` is the picture's age.

    `age_seconds` is None before the first picture.
    """

    name: str
    ok: bool
    since: datetime | None = None
    error: str = ""
    age_seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the status as a JSON object."""
        value: dict[str, Any] = plain(self)
        return value


def timestamp(at: datetime) -> str:
    """Write a time as RFC 3339 in UTC, with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: object) -> Any:
    """Turn dataclasses, mappings, sequences and times into JSON values; keys of mappings stay as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_camel(f.name): plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | frozenset) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # MLflow's metrics may be nan or inf, for which JSON has no number
    return value
