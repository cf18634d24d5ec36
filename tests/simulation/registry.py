"""MLflow's registry as a state machine: stages, aliases, tags; every single write is a fault point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from reconciler.errors import Refused
from reconciler.observed import ModelVersion, RegisteredModel, Stage, VersionEvidence
from reconciler.registry_roles import ALIASES, TAG_ARCHIVED, RegistryWrites
from reconciler.registry_writes import (
    DropAlias,
    MarkArchived,
    PointAlias,
    Transition,
    UnmarkArchived,
    Write,
    writes_for,
)
from tests.simulation.faults import Faults, Kind


@dataclass(slots=True)
class SimRegistry:
    """Implements ports.Registry."""

    faults: Faults
    models: dict[str, RegisteredModel] = field(default_factory=dict)
    metrics: dict[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)
    writes: int = 0
    past: list[dict[str, RegisteredModel]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    turns: dict[tuple[str, int], int] = field(default_factory=dict)

    def read_all(self) -> Mapping[str, RegisteredModel]:
        return self.faults.call("registry.read_all", lambda: dict(self.models), Kind.READ, old=self._old)

    def read(self, name: str) -> RegisteredModel | None:
        return self.faults.call(f"registry.read {name}", lambda: self.models.get(name), Kind.READ)

    def evidence(self, name: str, version: ModelVersion) -> VersionEvidence:
        def read() -> VersionEvidence:
            self._version(name, version.version)
            return VersionEvidence(self.metrics[name, version.version], f"s3://models/{name}/{version.version}")

        return self.faults.call(f"registry.evidence {name} {version.version}", read, Kind.READ)

    def artifact(self, name: str, version: int, path: str) -> bytes | None:
        raise AssertionError(f"nothing asks for {path} of {name} {version}")

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        return self.faults.call(f"registry.input_rows {name}", lambda: [[float(version), 0.0]] * bool(name), Kind.READ)

    def set_stage(self, name: str, version: int, stage: Stage, still: Callable[[], None] = lambda: None) -> None:
        """Write as the real adapter does, one call a write."""
        model = self.read(name)
        if model is None or model.get(version) is None:
            raise Refused(f"version {version} of {name} is not in the registry any more")
        for write in writes_for(model, version, stage, RegistryWrites.BOTH):
            still()
            self.faults.call(f"registry {name}: {write}", lambda w=write: self._write(name, w))  # type: ignore[misc]  # bound now

    def _write(self, name: str, write: Write) -> None:
        match write:
            case Transition(version, stage):
                self._transition(name, version, stage)
            case PointAlias(alias, version):
                self._point(name, alias, version)
            case DropAlias(alias):
                self._point(name, alias, None)
            case MarkArchived(version):
                self._tag(name, version, TAG_ARCHIVED, "true")
            case UnmarkArchived(version):
                self._tag(name, version, TAG_ARCHIVED, None)

    def tag(self, name: str, version: int, key: str, value: str | None) -> None:
        self.faults.call(f"registry.tag {name} {version} {key}={value}", lambda: self._tag(name, version, key, value))

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        self.faults.call(f"registry.tag_model {name} {key}", lambda: self._tag_model(name, key, value))

    def delete(self, name: str) -> None:
        self.faults.call(f"registry.delete {name}", lambda: self._delete(name))

    def create(self, name: str) -> None:
        """Add a model without versions."""
        self.models.setdefault(name, RegisteredModel(name, ()))

    def register(self, name: str, tags: Mapping[str, str], metrics: Mapping[str, float], now: datetime) -> int:
        """Add a version, as a training run or a person does."""
        self._keep()
        self.create(name)
        model = self.models[name]
        number = max(self.numbers.get(name, 0), *(v.version for v in model.versions), 0) + 1
        self.numbers[name] = number
        version = ModelVersion(number, Stage.NONE, frozenset(), dict(tags), f"run-{number}", "", now)
        self.models[name] = replace(model, versions=(*model.versions, version))
        self.metrics[name, number] = metrics
        return number

    def _old(self) -> Mapping[str, RegisteredModel]:
        """Return the answer of a read that was overtaken by writes."""
        return dict(self.past[-min(len(self.past), self.faults.delay())]) if self.past else dict(self.models)

    def _written(self) -> None:
        self.writes += 1
        self._keep()

    def _keep(self) -> None:
        self.past = [*self.past[-7:], dict(self.models)]

    def drop(self, name: str, number: int) -> None:
        """Delete a version, as a person does; its number is never given again."""
        self._version(name, number)
        kept = tuple(v for v in self.models[name].versions if v.version != number)
        self.models[name] = replace(self.models[name], versions=kept)

    def rename(self, name: str, new: str) -> None:
        """Rename a model, as a person does."""
        model = self._model(name)
        self.models[new] = replace(self.models.pop(name), name=new)
        self.numbers[new] = self.numbers.pop(name, 0)
        for v in model.versions:
            self.metrics[new, v.version] = self.metrics[name, v.version]

    def changed(self, name: str, version: ModelVersion) -> int:
        """Return when a version was last registered or staged, in milliseconds, as lists are ordered by."""
        return round(version.created_at.timestamp() * 1000) + self.turns.get((name, version.version), 0)

    def _model(self, name: str) -> RegisteredModel:
        model = self.models.get(name)
        if model is None:
            raise Refused(f"Registered Model with name={name} not found")
        return model

    def _version(self, name: str, number: int) -> ModelVersion:
        model = self.models.get(name)
        version = model.get(number) if model else None
        if version is None:
            raise Refused(f"Model Version (name={name}, version={number}) not found")
        return version

    def _edit(self, name: str, number: int, **changes: object) -> None:
        model = self.models[name]
        changed = tuple(replace(v, **changes) if v.version == number else v for v in model.versions)  # type: ignore[arg-type]  # fields of ModelVersion
        self.models[name] = replace(model, versions=changed)

    def _tag(self, name: str, number: int, key: str, value: str | None) -> None:
        self._written()
        tags = {k: v for k, v in self._version(name, number).tags.items() if k != key}
        self._edit(name, number, tags={**tags, key: value} if value is not None else tags)

    def _tag_model(self, name: str, key: str, value: str | None) -> None:
        self._written()
        model = self._model(name)
        tags = {k: v for k, v in model.tags.items() if k != key}
        self.models[name] = replace(model, tags={**tags, key: value} if value is not None else tags)

    def _delete(self, name: str) -> None:
        self._written()
        self.models.pop(name, None)
        self.numbers.pop(name, None)

    def _point(self, name: str, alias: str, number: int | None) -> None:
        self._written()
        if number is not None:
            self._version(name, number)
        for v in self._model(name).versions:
            self._edit(name, v.version, aliases=v.aliases | {alias} if v.version == number else v.aliases - {alias})

    def _transition(self, name: str, version: int, stage: Stage) -> None:
        self._version(name, version)
        for other in self.models[name].versions:
            if other.stage is stage and stage in ALIASES and other.version != version:
                self._move(name, other.version, Stage.ARCHIVED)
        self._move(name, version, stage)

    def _move(self, name: str, version: int, stage: Stage) -> None:
        """Set one version's stage and leave the others, as a person may."""
        self._written()
        self._version(name, version)
        self.turns[name, version] = self.turns.get((name, version), 0) + 1
        self._edit(name, version, stage=stage)
