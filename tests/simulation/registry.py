"""MLflow's registry as a state machine: stages, aliases, tags; every single write is a fault point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

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
from tests.simulation.faults import Faults


@dataclass(slots=True)
class SimRegistry:
    """Implements ports.Registry."""

    faults: Faults
    models: dict[str, RegisteredModel] = field(default_factory=dict)
    metrics: dict[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)
    writes: int = 0

    def read_all(self) -> Mapping[str, RegisteredModel]:
        return self.faults.call("registry.read_all", lambda: dict(self.models), writes=False)

    def read(self, name: str) -> RegisteredModel | None:
        return self.faults.call(f"registry.read {name}", lambda: self.models.get(name), writes=False)

    def evidence(self, name: str, version: ModelVersion) -> VersionEvidence:
        metrics = self.metrics[name, version.version]
        evidence = VersionEvidence(metrics, f"s3://models/{name}/{version.version}")
        return self.faults.call(f"registry.evidence {name} {version.version}", lambda: evidence, writes=False)

    def artifact(self, name: str, version: int, path: str) -> bytes | None:
        raise AssertionError(f"nothing asks for {path} of {name} {version}")

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        return self.faults.call(
            f"registry.input_rows {name}", lambda: [[float(version), 0.0]] * bool(name), writes=False
        )

    def set_stage(self, name: str, version: int, stage: Stage) -> None:
        """Write as the real adapter does, one call a write."""
        model = self.read(name)
        assert model is not None
        for write in writes_for(model, version, stage, RegistryWrites.BOTH):
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
            self.writes += 1
            self.models[name] = replace(self.models[name], tags={**self.models[name].tags, key: value or ""})

        self.faults.call(f"registry.tag_model {name} {key}", write)

    def delete(self, name: str) -> None:
        self.faults.call(f"registry.delete {name}", lambda: self.models.pop(name, None))

    def register(self, name: str, tags: Mapping[str, str], metrics: Mapping[str, float], now: datetime) -> int:
        """Add a version, as a training run or a person does."""
        model = self.models.get(name, RegisteredModel(name, ()))
        number = max((v.version for v in model.versions), default=0) + 1
        version = ModelVersion(number, Stage.NONE, frozenset(), dict(tags), f"run-{number}", "", now)
        self.models[name] = replace(model, versions=(*model.versions, version))
        self.metrics[name, number] = metrics
        return number

    def _edit(self, name: str, number: int, **changes: object) -> None:
        model = self.models[name]
        changed = tuple(replace(v, **changes) if v.version == number else v for v in model.versions)  # type: ignore[arg-type]  # fields of ModelVersion
        self.models[name] = replace(model, versions=changed)

    def _tag(self, name: str, number: int, key: str, value: str | None) -> None:
        self.writes += 1
        version = self.models[name].get(number)
        assert version is not None
        tags = {k: v for k, v in version.tags.items() if k != key}
        self._edit(name, number, tags={**tags, key: value} if value is not None else tags)

    def _point(self, name: str, alias: str, number: int | None) -> None:
        self.writes += 1
        for v in self.models[name].versions:
            self._edit(name, v.version, aliases=v.aliases | {alias} if v.version == number else v.aliases - {alias})

    def _transition(self, name: str, version: int, stage: Stage) -> None:
        self.writes += 1
        for other in self.models[name].versions:
            if other.stage is stage and stage in ALIASES:
                self._edit(name, other.version, stage=Stage.ARCHIVED)
        self._edit(name, version, stage=stage)
