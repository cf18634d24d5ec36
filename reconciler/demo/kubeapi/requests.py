"""Name what a request is about and what it asks for."""

from dataclasses import dataclass
from typing import Literal

from reconciler.demo.kubeapi.objects import JsonObject
from reconciler.demo.kubeapi.resources import ResourceType
from reconciler.demo.kubeapi.store import Key
from reconciler.demo.kubeapi.writes import Endpoint


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about; `name` is empty for a collection."""

    resource: ResourceType
    namespace: str
    name: str
    endpoint: Endpoint = ""

    @property
    def key(self) -> Key:
        """Return where the object lives."""
        return Key(self.resource.qualified, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Who writes, whether it is only tried, and what becomes of conflicts and of fields that no schema names."""

    manager: str
    dry_run: bool = False
    on_conflict: Literal["refuse", "take"] = "refuse"
    unknown_fields: Literal["drop", "refuse"] = "drop"


@dataclass(frozen=True, slots=True)
class MergePatch:
    """A JSON merge patch."""

    patch: JsonObject


@dataclass(frozen=True, slots=True)
class StrategicPatch:
    """A strategic merge patch."""

    patch: JsonObject


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """The operations of a JSON patch."""

    operations: list[JsonObject]


Patch = MergePatch | StrategicPatch | JsonPatch


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold of an object for its deletion; None asks nothing."""

    uid: str | None = None
    resource_version: str | None = None
