"""Keep a picture of every system, and cut out of it what a decision about one model may look at.

Full reads come at their own pace; what a decision asks for besides (metrics, runs, drift) is read then.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.desired.state import DesiredModel
from reconciler.ensure.analysis import from_json
from reconciler.ensure.scene import Systems
from reconciler.errors import ReconcilerError
from reconciler.manifest import inference_service
from reconciler.observed import (
    TAG_ROLLOUT,
    InferenceService,
    Known,
    Measurement,
    Memory,
    ObservedModel,
    RegisteredModel,
    Rejection,
    Release,
    RunState,
    TrainingRun,
    Unknown,
    VersionEvidence,
)
from reconciler.passes import LEDGER, REGISTRY, SERVING, TRAINING
from reconciler.plan.action import Analyse, CutTraffic, PutBack, Train
from reconciler.plan.facts import settled
from reconciler.plan.selection import versions_in_question
from reconciler.plan.training import ENDED, due_training
from reconciler.ports import Moment, Result
from reconciler.status import SystemStatus

PUT_BACK_MEMORY = timedelta(hours=1)
Key = tuple[str, str]


@dataclass(slots=True)
class Health:
    """How a system answered last."""

    ok: bool | None = None
    since: datetime | None = None
    error: str = ""
    read_at: datetime | None = None


@dataclass(slots=True)
class _Evidence:
    reading: Known[VersionEvidence] | Unknown
    read_at: datetime


@dataclass(slots=True)
class Observer:
    """The pictures, and when each was taken. Safe to use from several threads."""

    systems: Systems
    evidence_ttl: timedelta
    registry: Known[dict[str, RegisteredModel]] | Unknown = field(
        default_factory=lambda: Unknown("the registry was not read yet")
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _fresh: dict[str, datetime] = field(default_factory=dict)
    _evidence: dict[tuple[str, int], _Evidence] = field(default_factory=dict)
    _in_flight: set[str] = field(default_factory=set)
    _by_name: tuple[object, dict[str, list[InferenceService]]] = field(default_factory=lambda: (None, {}))
    health: dict[str, Health] = field(
        default_factory=lambda: {s: Health() for s in (REGISTRY, SERVING, TRAINING, LEDGER)}
    )

    def refresh_registry(self) -> frozenset[str]:
        """Read the registry in bulk; return the registered models whose picture changed."""
        try:
            read = dict(self.systems.registry.read_all())
        except ReconcilerError as error:
            self._registry_failed(error)
            return frozenset()
        now = self.systems.clock()
        with self._lock:
            before = self.registry.value if isinstance(self.registry, Known) else {}
            changed = {n for n in before.keys() | read.keys() if before.get(n) != read.get(n)}
            self.registry = Known(read, now)
            self._fresh.clear()
        self._note(REGISTRY, "")
        return frozenset(changed)

    def refresh_model(self, name: str, newer_than: datetime) -> None:
        """Read one registered model again, unless it was read since `newer_than`."""
        with self._lock:
            if self._fresh.get(name, newer_than) > newer_than:
                return
        try:
            model = self.systems.registry.read(name)
        except ReconcilerError as error:
            self._registry_failed(error)
            raise
        with self._lock:
            self._fresh[name] = self.systems.clock()
            if isinstance(self.registry, Known):
                if model is None:
                    self.registry.value.pop(name, None)
                else:
                    self.registry.value[name] = model

    def _registry_failed(self, error: ReconcilerError) -> None:
        now = self.systems.clock()
        with self._lock:
            since = self.registry.since if isinstance(self.registry, Unknown) and self.registry.since else now
            self.registry = Unknown(error.message, since)
        self._note(REGISTRY, error.message)

    def remember_in_flight(self) -> None:
        """Take up the trainings that may have been started before this process."""
        for recorded in self.systems.ledger.entries(actions=[Train.__name__], limit=1000):
            self._in_flight.add(recorded.entry.model)

    def observe(self, desired: DesiredModel, now: datetime) -> ObservedModel:
        """Return everything that deciding about this model may look at."""
        registry = self._registered(desired.registered_model)
        serving = self._serving(desired)
        observed = ObservedModel(registry=registry, serving=serving, runs=Known((), now), strays=self._strays(desired))
        if not isinstance(registry, Known) or not isinstance(serving, Known):
            return observed
        runs = self._runs(desired, registry.value, now)
        if isinstance(runs, Known) and self._just_trained(desired, registry.value, runs.value, now):
            registry = self._registered(desired.registered_model)
            if not isinstance(registry, Known):
                return observed
        live = serving.value
        rolling = registry.value is not None and any(TAG_ROLLOUT in v.tags for v in registry.value.versions)
        drift = self._drift(desired, live) if not rolling else None
        return replace(
            observed,
            registry=registry,
            runs=runs,
            evidence=self._read_evidence(desired, registry.value, now),
            drift=drift,
            memory=self._memory(desired.name, drift, now, rolling=rolling),
        )

    def _registered(self, name: str) -> Known[RegisteredModel | None] | Unknown:
        with self._lock:
            if isinstance(self.registry, Unknown):
                return self.registry
            return Known(self.registry.value.get(name), self._fresh.get(name, self.registry.at))

    def _serving(self, desired: DesiredModel) -> Known[InferenceService | None] | Unknown:
        reading = self.systems.serving.read_all()
        if isinstance(reading, Unknown):
            self._note(SERVING, reading.why)
            return reading
        self._note(SERVING, "")
        if desired.spec.serving is None:
            return Known(None, reading.at)
        return Known(reading.value.get((desired.spec.serving.namespace, desired.name)), reading.at)

    def _strays(self, desired: DesiredModel) -> tuple[InferenceService, ...]:
        reading = self.systems.serving.read_all()
        if isinstance(reading, Unknown):
            return ()
        wanted = desired.spec.serving.namespace if desired.spec.serving else ""
        named = self._index(reading.value).get(desired.name, [])
        return tuple(live for live in named if live.ours and live.namespace != wanted)

    def _index(self, services: Mapping[Key, InferenceService]) -> dict[str, list[InferenceService]]:
        with self._lock:
            source, index = self._by_name
            if source is services:
                return index
            index = {}
            for (_, name), live in services.items():
                index.setdefault(name, []).append(live)
            self._by_name = (services, index)
            return index

    def _runs(
        self, desired: DesiredModel, registered: RegisteredModel | None, now: datetime
    ) -> Known[tuple[TrainingRun, ...]] | Unknown:
        due = due_training(desired, registered, now)
        if desired.spec.training is None or (due is None and desired.name not in self._in_flight):
            return Known((), now)
        try:
            runs = self.systems.training.runs(desired.name)
        except ReconcilerError as error:
            self._note(TRAINING, error.message)
            return Unknown(error.message, self.health[TRAINING].since)
        self._note(TRAINING, "")
        busy = any(r.state not in ENDED for r in runs)
        (self._in_flight.add if busy else self._in_flight.discard)(desired.name)
        return Known(runs, now)

    def _just_trained(
        self, desired: DesiredModel, registered: RegisteredModel | None, runs: tuple[TrainingRun, ...], now: datetime
    ) -> bool:
        """Read the model again where a run ended that the picture does not show yet."""
        due = due_training(desired, registered, now)
        ended = due is not None and any(r.key == due.key and r.state is RunState.SUCCEEDED for r in runs)
        if ended:
            try:
                self.refresh_model(desired.registered_model, now)
            except ReconcilerError:
                return False
        return ended

    def _read_evidence(
        self, desired: DesiredModel, registered: RegisteredModel | None, now: datetime
    ) -> dict[int, Known[VersionEvidence] | Unknown]:
        name = desired.registered_model
        found: dict[int, Known[VersionEvidence] | Unknown] = {}
        for version in versions_in_question(desired, registered):
            key = (name, version.version)
            cached = self._evidence.get(key)
            if cached is None or now - cached.read_at > self.evidence_ttl:
                try:
                    reading: Known[VersionEvidence] | Unknown = Known(
                        self.systems.registry.evidence(name, version), now
                    )
                except ReconcilerError as error:
                    reading = Unknown(f"evidence of version {version.version}: {error.message}", now)
                cached = self._evidence[key] = _Evidence(reading, now)
            found[version.version] = cached.reading
        return found

    def _drift(self, desired: DesiredModel, live: InferenceService | None) -> Known[tuple[str, ...]] | Unknown | None:
        if live is None or not live.ours or live.release is None or not settled(live) or desired.removed:
            return None
        record = self.systems.memory.releases(desired.name).get(live.release)
        if record is None:
            return None
        try:
            manifest = inference_service(desired.name, record, live.canary_percent)
            return Known(self.systems.serving.drift(manifest), self.systems.clock())
        except ReconcilerError as error:
            return Unknown(error.message)

    def _memory(
        self, name: str, drift: Known[tuple[str, ...]] | Unknown | None, now: datetime, *, rolling: bool
    ) -> Memory:
        drifted = isinstance(drift, Known) and bool(drift.value)
        if not rolling and not drifted:
            return Memory()
        put_backs = self._put_backs(name, now) if drifted else ()
        return Memory(*self._rollout_memory(name), put_backs) if rolling else Memory(put_backs=put_backs)

    def _rollout_memory(self, name: str) -> tuple[tuple[Rejection, ...], tuple[Measurement, ...]]:
        entries = self.systems.ledger.entries(model=name, actions=[CutTraffic.__name__, Analyse.__name__], limit=500)
        rejections, measurements = [], []
        for recorded in entries:
            entry = recorded.entry
            if entry.action == CutTraffic.__name__ and entry.moment is Moment.INTENT:
                release = Release.parse(str(entry.after.get("release", "")))
                if release is not None:
                    reason = entry.reason.removeprefix("because ")
                    rejections.append(Rejection(release, str(entry.after.get("wanted", "")), reason, entry.at))
            elif entry.result is Result.DONE and (measured := from_json(entry.after)) is not None:
                measurements.append(measured)
        return tuple(rejections), tuple(measurements)

    def _put_backs(self, name: str, now: datetime) -> tuple[datetime, ...]:
        since = now - PUT_BACK_MEMORY
        entries = self.systems.ledger.entries(model=name, actions=[PutBack.__name__], since=since, limit=50)
        return tuple(e.entry.at for e in entries if e.entry.moment is Moment.INTENT)

    def _note(self, system: str, error: str) -> None:
        now = self.systems.clock()
        health = self.health[system]
        if health.ok is not (not error):
            health.since = now
        health.ok, health.error = not error, error
        if not error:
            health.read_at = now

    def ledger_answered(self, error: str) -> None:
        """Note how the ledger answered."""
        self._note(LEDGER, error)

    def system_status(self, name: str) -> SystemStatus:
        """Return how a system answers."""
        health = self.health[name]
        age = (self.systems.clock() - health.read_at).total_seconds() if health.read_at else None
        return SystemStatus(name, health.ok is not False, health.since, health.error, age)
