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

    def read_all(self) -> Mapping[str, RegisteredModel]:
        return self.faults.call("registry.read_all", lambda: dict(self.models), Kind.READ, old=self._old)

    def read(self, name: str) -> RegisteredModel | None:
        return self.faults.call(f"registry.read {name}", lambda: self.models.get(name), Kind.READ)

    def evidence(self, name: str, version: ModelVersion) -> VersionEvidence:
        metrics = self.metrics[name, version.version]
        evidence = VersionEvidence(metrics, f"s3://models/{name}/{version.version}")
        return self.faults.call(f"registry.evidence {name} {version.version}", lambda: evidence, Kind.READ)

    def artifact(self, name: str, version: int, path: str) -> bytes | None:
        raise AssertionError(f"nothing asks for {path} of {name} {version}")

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        return self.faults.call(
            f"registry.input_rows {name}", lambda: [[float(version), 0.0]] * bool(name), Kind.READ
        )

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
        def write() -> None:
            self._written()
            self.models[name] = replace(self.models[name], tags={**self.models[name].tags, key: value or ""})

        self.faults.call(f"registry.tag_model {name} {key}", write)

    def delete(self, name: str) -> None:
        def delete() -> None:
            self._written()
            self.models.pop(name, None)

        self.faults.call(f"registry.delete {name}", delete)

    def register(self, name: str, tags: Mapping[str, str], metrics: Mapping[str, float], now: datetime) -> int:
        """Add a version, as a training run or a person does."""
        model = self.models.get(name, RegisteredModel(name, ()))
        number = max((v.version for v in model.versions), default=0) + 1
        self._keep()
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

    def _known(self, name: str, number: int) -> ModelVersion:
        model = self.models.get(name)
        version = model.get(number) if model else None
        if version is None:
            raise Refused(f"RESOURCE_DOES_NOT_EXIST: {name} {number}")
        return version

    def _edit(self, name: str, number: int, **changes: object) -> None:
        model = self.models[name]
        changed = tuple(replace(v, **changes) if v.version == number else v for v in model.versions)  # type: ignore[arg-type]  # fields of ModelVersion
        self.models[name] = replace(model, versions=changed)

    def _tag(self, name: str, number: int, key: str, value: str | None) -> None:
        version = self._known(name, number)
        self._written()
        tags = {k: v for k, v in version.tags.items() if k != key}
        self._edit(name, number, tags={**tags, key: value} if value is not None else tags)

    def _point(self, name: str, alias: str, number: int | None) -> None:
        if number is not None:
            self._known(name, number)
        self._written()
        for v in self.models[name].versions:
            self._edit(name, v.version, aliases=v.aliases | {alias} if v.version == number else v.aliases - {alias})

    def _transition(self, name: str, version: int, stage: Stage) -> None:
        self._known(name, version)
        self._written()
        for other in self.models[name].versions:
            if other.stage is stage and stage in ALIASES:
                self._edit(name, other.version, stage=Stage.ARCHIVED)
        self._edit(name, version, stage=stage)
