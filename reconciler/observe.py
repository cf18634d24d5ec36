"""Keep a picture of every system, and cut out of it what a decision about one model may look at.

Full reads come at their own pace; what a decision asks for besides (metrics, runs, drift) is read then.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

from reconciler.artifact_location import StorageUri, storage_uri
from reconciler.desired.documents import OnRemoval
from reconciler.desired.state import DesiredModel
from reconciler.ensure.metric_check import NO_PROMETHEUS
from reconciler.ensure.scene import Systems
from reconciler.errors import ReconcilerError
from reconciler.manifest import inference_service, serving_fields, standing
from reconciler.observed import (
    InferenceService,
    Known,
    Memory,
    ModelVersion,
    ObservedModel,
    Order,
    RegisteredModel,
    Release,
    ReleaseRecord,
    RunState,
    Stage,
    TrainingRun,
    Unknown,
    Unsettled,
    VersionEvidence,
)
from reconciler.passes import LEDGER, REGISTRY, SERVING, TRAINING
from reconciler.plan.action import Action, Analyse, Train
from reconciler.plan.facts import Facts, dealt_with, gather, rollout_of
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.places import last_places, wanted_place
from reconciler.plan.selection import select
from reconciler.plan.training import ENDED, due_training
from reconciler.ports import Entry, Moment, Result
from reconciler.recall import Measured, measured, orders_by_model, put_backs, rejections, taken_down
from reconciler.registry_roles import role
from reconciler.status import SystemStatus

# A picture this young is not taken again before acting.
FRESH = timedelta(seconds=1)
NEVER = datetime.min.replace(tzinfo=UTC)
# A run that was started earlier is not looked for after a restart, unless Git still asks for it.
LONGEST_TRAINING = timedelta(days=7)
# An action whose intent is older has been given up, or has ended, even if its outcome was never written down.
LONGEST_ACTION = timedelta(minutes=10)
# What starts, stops or measures leaves no request to the registry or the cluster behind.
_UNFENCED = frozenset(each.__name__ for each in get_args(Action)) - {"Analyse", "StopTraining", "Train"}
_ARCHIVING = frozenset({"Archive", "ArchiveAll", "DeleteModel", "Reject", "Withdraw"})
# A version that serves by an object of somebody else is looked for among the newest so many.
MOST_LOCATIONS = 50
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
    _reread: set[str] = field(default_factory=set)
    _written: set[str] = field(default_factory=set)
    _evidence: dict[tuple[str, int], _Evidence] = field(default_factory=dict)
    _in_flight: set[str] = field(default_factory=set)
    _unsettled: dict[str, Unsettled] = field(default_factory=dict)
    _orders: dict[str, tuple[Order, ...]] | None = None
    _measured: dict[str, Measured] = field(default_factory=dict)
    _orders_lock: threading.Lock = field(default_factory=threading.Lock)
    _by_name: tuple[object, dict[str, list[InferenceService]]] = field(default_factory=lambda: (None, {}))
    health: dict[str, Health] = field(
        default_factory=lambda: {s: Health() for s in (REGISTRY, SERVING, TRAINING, LEDGER)}
    )

    def refresh_registry(self) -> frozenset[str]:
        """Read the registry in bulk; return the registered models whose picture changed."""
        began = self.systems.clock()
        with self._lock:
            self._reread = set[str]()
        try:
            read = dict(self.systems.registry.read_all())
        except ReconcilerError as error:
            self._registry_failed(error)
            return frozenset()
        with self._lock:
            before = self.registry.value if isinstance(self.registry, Known) else {}
            for name in self._reread:  # read after the bulk read began, so the bulk read may be older
                _put(read, name, before.get(name))
            changed = {n for n in before.keys() | read.keys() if before.get(n) != read.get(n)}
            self.registry = Known(read, began)
            self._fresh = {}
            self._forget_evidence(read)
        self._note(REGISTRY, "")
        return frozenset(changed)

    def _forget_evidence(self, read: Mapping[str, RegisteredModel]) -> None:
        """Drop what was read of versions that are gone."""
        gone = [key for key in self._evidence if key[0] not in read or read[key[0]].get(key[1]) is None]
        for key in gone:
            self._evidence.pop(key, None)

    def refresh_model(self, name: str) -> bool:
        """Read one registered model again, unless that was just done; return whether the picture changed."""
        now = self.systems.clock()
        with self._lock:
            if name not in self._written and timedelta() <= now - self._fresh.get(name, NEVER) <= FRESH:
                return False
            self._written.discard(name)  # before the read: what is written while it is under way is read again
        try:
            model = self.systems.registry.read(name)
        except ReconcilerError:
            with self._lock:
                self._written.add(name)
            raise  # of this model only: what is known of the others stands
        with self._lock:
            self._fresh[name] = now
            self._reread.add(name)
            if not isinstance(self.registry, Known):
                return False
            changed = self.registry.value.get(name) != model
            _put(self.registry.value, name, model)
            return changed

    def acting(self, desired: DesiredModel, action: Action) -> None:
        """Take note of what is about to be done: whatever becomes of it, its traces are looked for."""
        with self._lock:
            if isinstance(action, Train):
                self._in_flight.add(desired.name)
            elif not isinstance(action, Analyse):
                self._written.add(desired.registered_model)

    def read_own_writes(self, name: str) -> None:
        """Read a registered model again that was written since it was read."""
        if name in self._written:
            self.refresh_model(name)

    def _registry_failed(self, error: ReconcilerError) -> None:
        now = self.systems.clock()
        with self._lock:
            since = self.registry.since if isinstance(self.registry, Unknown) and self.registry.since else now
            self.registry = Unknown(error.message, since)
        self._note(REGISTRY, error.message)

    def remember_in_flight(self) -> None:
        """Take up what may have been begun before this process: trainings, and requests that nobody waits for."""
        now, ledger = self.systems.clock(), self.systems.ledger
        for recorded in ledger.entries(actions=[Train.__name__], since=now - LONGEST_TRAINING):
            self._in_flight.add(recorded.entry.model)
        intended: dict[int, Entry] = {}
        for recorded in ledger.entries(since=now - LONGEST_ACTION):
            entry = recorded.entry
            if entry.moment is Moment.INTENT:
                intended[recorded.seq] = entry
            elif entry.attempt_of is not None and entry.result is not Result.UNKNOWN:
                intended.pop(entry.attempt_of, None)
        for entry in intended.values():
            # Whoever began it may only sleep, and writes on for as long as what was decided may be carried out.
            self.unsettled(entry.model, entry.action, max(now, entry.at + self.systems.settle))

    def order(self, entry: Entry) -> None:
        """Put an order on the ledger; it counts from then on. Raises Transient when it cannot be recorded."""
        with self._orders_lock:
            self._orders = None  # whatever becomes of it, the ledger tells what was ordered
            self.systems.ledger.append(entry)

    def ordered(self, model: str) -> tuple[Order, ...]:
        """Return what was ordered by hand for a model; the ledger is read once, not at every look."""
        with self._orders_lock:
            if self._orders is None:
                self._orders = orders_by_model(self.systems.ledger)
            return self._orders.get(model, ())

    def unsettled(self, model: str, action: str, since: datetime) -> None:
        """Take note that requests of an action may still be carried out, though nobody waits for their answers."""
        if action in _UNFENCED:
            before = self._unsettled.get(model, Unsettled(since))
            until = max(before.until, since + self.systems.settle)
            self._unsettled[model] = Unsettled(until, before.archives or action in _ARCHIVING)

    def observe(self, desired: DesiredModel, now: datetime) -> ObservedModel:
        """Return everything that deciding about this model may look at."""
        registry = self._registered(desired.registered_model)
        serving, strays = self._serving(desired)
        unsettled = self._unsettled.get(desired.name)
        if unsettled is not None and unsettled.until <= now:
            self._unsettled.pop(desired.name, None)
            unsettled = None
        observed = ObservedModel(registry, serving, runs=Known((), now), strays=strays, unsettled=unsettled)
        if self.systems.metrics is None:
            observed = replace(observed, unmetered=NO_PROMETHEUS)
        if not isinstance(registry, Known) or not isinstance(serving, Known):
            return observed
        if unseen := self._unseen(desired, registry.value):
            return replace(observed, serving=Unknown(unseen))
        runs = self._runs(desired, registry.value, now)
        if isinstance(runs, Known) and self._just_trained(desired, registry.value, runs.value, now):
            registry = self._registered(desired.registered_model)
            if not isinstance(registry, Known):
                return observed
        rollout = rollout_of(registry.value)
        drift = self._drift(desired, registry.value, serving.value, now) if rollout is None else None
        records = self._records(desired, dealt_with(serving.value, strays, rollout), rollout)
        locations = self._locations(desired, registry.value, serving.value, now)
        memory = self._memory(desired.name, drift, rollout, now)
        seen = replace(observed, registry=registry, runs=runs, drift=drift, memory=memory, records=records)
        seen = replace(seen, locations=locations)
        return self._with_evidence(desired, seen, now)

    def _registered(self, name: str) -> Known[RegisteredModel | None] | Unknown:
        with self._lock:
            if isinstance(self.registry, Unknown):
                return self.registry
            return Known(self.registry.value.get(name), self._fresh.get(name, self.registry.at))

    def _serving(
        self, desired: DesiredModel
    ) -> tuple[Known[InferenceService | None] | Unknown, tuple[InferenceService, ...]]:
        """Return the object in the wanted namespace, and ours of that name elsewhere, out of one picture."""
        reading = self.systems.serving.read_all()
        if isinstance(reading, Unknown):
            self._note(SERVING, reading.why)
            return reading, ()
        self._note(SERVING, "")
        wanted = desired.spec.serving.namespace if desired.spec.serving else ""
        named = self._index(reading.value).get(desired.name, ())
        found = next((live for live in named if live.namespace == wanted), None)
        strays = tuple(live for live in named if live.ours and live is not found)
        return Known(self._explained(found), reading.at), strays

    def _unseen(self, desired: DesiredModel, registered: RegisteredModel | None) -> str:
        """Say why nobody knows what serves the model: it may stand in a namespace that is not watched."""
        watched = self.systems.serving.namespaces
        if not watched:
            return ""
        records = self.systems.memory.releases(desired.name)
        wanted, last = wanted_place(desired, records), last_places(registered, records)
        unseen = {wanted} - {"", *watched}
        if elsewhere := last - {wanted, *watched}:
            unseen |= elsewhere - taken_down(self.systems.ledger, desired.name)
        if not unseen:
            return ""
        only = ", ".join(watched)
        return f"namespace {min(unseen)} is not watched: add it to kubernetes.namespaces in the settings, beside {only}"

    def served(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these models have an object of ours; all of them while nobody can tell."""
        if not names:
            return frozenset()
        reading = self.systems.serving.read_all()
        if isinstance(reading, Unknown):
            return frozenset(names)
        index = self._index(reading.value)
        return frozenset(n for n in names if any(live.ours and not live.deleting for live in index.get(n, ())))

    def _explained(self, live: InferenceService | None) -> InferenceService | None:
        """Let an object that is not ready say what keeps its pods; in steady state nothing is asked."""
        if live is None or not live.ours or live.deleting or live.ready or not live.latest_created:
            return live
        try:
            cause = self.systems.serving.trouble(live)
        except ReconcilerError:
            return live  # it explains, nothing depends on it
        if cause is None or (live.failure is not None and live.failure.terminal):
            return live
        told = replace(live, message=cause.message)
        return told if live.failure is None else replace(told, failure=replace(live.failure, message=cause.message))

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
        if due is None and desired.name not in self._in_flight:
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
                self.refresh_model(desired.registered_model)
            except ReconcilerError:
                return False
        return ended

    def _with_evidence(self, desired: DesiredModel, seen: ObservedModel, now: datetime) -> ObservedModel:
        """Read what choosing a version asks for, one version after the other, until it asks for nothing more."""
        while isinstance(facts := gather(desired, seen, now), Facts):
            missing = select(facts).missing
            if missing is None or missing.version.version in seen.evidence:
                break
            reading = self._read_evidence(desired.registered_model, missing.version, now)
            seen = replace(seen, evidence={**seen.evidence, missing.version.version: reading})
        return seen

    def _read_evidence(self, name: str, version: ModelVersion, now: datetime) -> Known[VersionEvidence] | Unknown:
        key = (name, version.version)
        cached = self._evidence.get(key)
        if cached is not None and timedelta() <= now - cached.read_at <= self.evidence_ttl:
            return cached.reading
        try:
            reading: Known[VersionEvidence] | Unknown = Known(self.systems.registry.evidence(name, version), now)
        except ReconcilerError as error:
            reading = Unknown(f"evidence of version {version.version}: {error.message}", now)
        with self._lock:
            self._evidence[key] = _Evidence(reading, now)
        return reading

    def _locations(
        self, desired: DesiredModel, registered: RegisteredModel | None, live: InferenceService | None, now: datetime
    ) -> Mapping[int, str] | Unknown:
        """Return where KServe fetches the newest versions from, if it matters which one an object serves."""
        if live is None or registered is None or not _asks_what_it_serves(desired, live):
            return {}
        found: dict[int, str] = {}
        held = (v for v in registered.versions[:-MOST_LOCATIONS] if role(v) in (Stage.PRODUCTION, Stage.STAGING))
        for version in (*held, *registered.versions[-MOST_LOCATIONS:]):
            reading = self._read_evidence(desired.registered_model, version, now)
            if isinstance(reading, Unknown):
                return reading
            location = storage_uri(reading.value.artifact_uri, self.systems.artifact_destinations)
            if isinstance(location, StorageUri):
                found[version.version] = location.uri
        return found

    def _records(
        self, desired: DesiredModel, live: InferenceService | None, rollout: RolloutRecord | None
    ) -> Mapping[Release, ReleaseRecord]:
        """Return what was applied for releases, if it matters.

        It does where others hold fields of it, Git wants other fields, or a canary is given pods by its share.
        """
        serving = desired.spec.serving
        if live is None:
            return {}
        there = {live.release, live.beside, rollout.stable if rollout else None}
        changed = serving is not None and any(release and release.template != serving.digest for release in there)
        scaled = live.standard and rollout is not None
        return self.systems.memory.releases(desired.name) if live.held or changed or scaled else {}

    def _drift(
        self, desired: DesiredModel, registered: RegisteredModel | None, live: InferenceService | None, now: datetime
    ) -> Known[tuple[str, ...]] | Unknown | None:
        if live is None or not live.ours or live.release is None or live.deleting or desired.removed or live.succeeded:
            return None
        records = self.systems.memory.releases(desired.name)
        record = records.get(live.release) or self._as_git_says(desired, registered, live, now)
        stable = records.get(live.beside) if live.beside else None
        if isinstance(record, Unknown):
            return record
        if record is None or (live.standard and live.canary_percent is not None and stable is None):
            return None
        try:
            manifest = inference_service(desired.name, record, live.canary_percent, stable)
            return Known(self.systems.serving.drift(manifest), self.systems.clock())
        except ReconcilerError as error:
            return Unknown(error.message)

    def _as_git_says(
        self, desired: DesiredModel, registered: RegisteredModel | None, live: InferenceService, now: datetime
    ) -> ReleaseRecord | Unknown | None:
        """Make up for a lost record where Git still says the same."""
        serving, release = desired.spec.serving, live.release
        version = registered.get(release.version) if registered and release else None
        if serving is None or release is None or version is None or serving.digest != release.template:
            return None
        reading = self._read_evidence(desired.registered_model, version, now)
        if isinstance(reading, Unknown):
            return reading
        location = storage_uri(reading.value.artifact_uri, self.systems.artifact_destinations)
        if not isinstance(location, StorageUri):
            return Unknown(location.message)
        return standing(ReleaseRecord(release, location.uri, serving_fields(serving)), live)

    def _memory(
        self,
        name: str,
        drift: Known[tuple[str, ...]] | Unknown | None,
        rollout: RolloutRecord | None,
        now: datetime,
    ) -> Memory:
        orders, ledger = self.ordered(name), self.systems.ledger
        if rollout is not None:
            read = self._measured[name] = measured(ledger, name, rollout, self._measured.get(name))
            return Memory(rejections(ledger, name), read.measurements, orders=orders)
        self._measured.pop(name, None)
        if isinstance(drift, Known) and drift.value:
            return Memory(put_backs=put_backs(ledger, name, now), orders=orders)
        return Memory(orders=orders)

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


def _asks_what_it_serves(desired: DesiredModel, live: InferenceService) -> bool:
    """Tell whether an object of somebody else is to become ours, or may keep a removal from the registry."""
    spec = desired.spec
    if live.ours:
        return False
    if desired.removed:
        return spec.retention.prune and spec.retention.on_removal is not OnRemoval.RETAIN
    return not live.tracked and spec.serving is not None and spec.serving.adopt


def _put(models: dict[str, RegisteredModel], name: str, model: RegisteredModel | None) -> None:
    if model is None:
        models.pop(name, None)
    else:
        models[name] = model
