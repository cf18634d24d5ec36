"""Ledger, memory, training, prober and Git as small state machines; what they hold survives every crash."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from reconciler.desired.documents import ModelSpec, PolicySpec
from reconciler.desired.state import DesiredModel, DesiredState, Diagnostic
from reconciler.errors import Refused
from reconciler.observed import (
    TAG_TRAINING_KEY,
    Package,
    Release,
    ReleaseRecord,
    RunState,
    Side,
    TrainingRequest,
    TrainingRun,
)
from reconciler.ports import Entry, ProbeResult, ProbeTarget, Recorded, SourceStatus
from reconciler.source.history import leads_on, refusal
from tests.simulation.faults import LIFETIME, Faults, Kind
from tests.simulation.history import History, Snapshot
from tests.simulation.registry import SimRegistry
from tests.simulation.serving import Live, SimServing

LINE = "main"
PIPELINE = "pipelines/iris.yaml"
BAD_TEMPLATE = "('minReplicas', 3)"
Metrics = Mapping[str, float]


@dataclass(slots=True)
class SimLedger:
    """Implements ports.Ledger."""

    faults: Faults
    records: list[Recorded] = field(default_factory=list)
    of: dict[str, list[Recorded]] = field(default_factory=dict)
    on_entry: Callable[[Entry], None] = lambda _: None

    def append(self, entry: Entry) -> Recorded:
        def write() -> Recorded:
            recorded = Recorded(len(self.records) + 1, entry, "", "")
            self.records.append(recorded)
            self.of.setdefault(entry.model, []).append(recorded)
            self.on_entry(entry)
            return recorded

        return self.faults.call(f"ledger {entry.moment.value} {entry.action} {entry.model}", write, Kind.LOCAL)

    def entries(
        self,
        *,
        model: str | None = None,
        actions: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = 0,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        wanted = set(actions)

        def read() -> list[Recorded]:
            found = [
                r
                for r in (self.records if model is None else self.of.get(model, []))
                if (not wanted or r.entry.action in wanted)
                and (since is None or r.entry.at >= since)
                and (until is None or r.entry.at < until)
                and r.seq > after_seq
            ]
            return found[-limit:] if limit else found

        return self.faults.call(f"ledger read {model}", read, Kind.LOCAL)


@dataclass(slots=True)
class SimMemory:
    """Implements ports.Memory."""

    faults: Faults
    specs: dict[str, DesiredModel] = field(default_factory=dict)
    kept: dict[str, dict[Release, ReleaseRecord]] = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)
    lines: dict[str, str] = field(default_factory=dict)

    def last_good(self) -> Mapping[str, DesiredModel]:
        return dict(self.specs)

    def remember(self, models: Iterable[DesiredModel]) -> None:
        new = {m.name: m for m in models if self.specs.get(m.name) != m}
        if new:
            self.faults.call("memory.remember", lambda: self.specs.update(new), Kind.LOCAL)

    def forget(self, model: str, keep: Collection[Release] = ()) -> None:
        def forget() -> None:
            self.specs.pop(model, None)
            self.kept[model] = {r: record for r, record in self.kept.get(model, {}).items() if r in keep}

        self.faults.call(f"memory.forget {model}", forget, Kind.LOCAL)

    def releases(self, model: str) -> Mapping[Release, ReleaseRecord]:
        return dict(self.kept.get(model, {}))

    def keep_release(self, model: str, record: ReleaseRecord) -> None:
        kept = self.kept.setdefault(model, {})
        if kept.get(record.release) != record:
            self.faults.call(f"memory.keep_release {model}", lambda: kept.update({record.release: record}), Kind.LOCAL)

    def claim(self, key: str, at: datetime) -> bool:
        del at
        new = key not in self.claims
        self.faults.call(f"memory.claim {key}", lambda: self.claims.add(key), Kind.LOCAL)
        return new

    def acted_on(self, line: str) -> str | None:
        return self.lines.get(line)

    def act_on(self, line: str, commit: str) -> None:
        if self.lines.get(line) != commit:
            self.faults.call("memory.act_on", lambda: self.lines.update({line: commit}), Kind.LOCAL)


@dataclass(slots=True)
class SimTraining:
    """Implements ports.Training: a run ends at a later tick, and registers a version when it succeeds.

    With `server_ids` it is like KFP, which makes a second run when it is asked a second time; else like the local one.
    """

    faults: Faults
    registry: SimRegistry
    clock: Callable[[], datetime]
    outcomes: Callable[[], Metrics | None]
    all: dict[str, list[TrainingRun]] = field(default_factory=dict)
    server_ids: bool = False
    registers_late: Callable[[], bool] = lambda: False
    unregistered: dict[str, tuple[str, Metrics]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    @property
    def settle_seconds(self) -> float:
        return LIFETIME.total_seconds() if self.server_ids else 0.0

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        return self.faults.call(f"training.runs {model}", lambda: tuple(self.all.get(model, ())), Kind.READ)

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        assert isinstance(request.pipeline, Package)
        of = f"{request.model} {request.key} {request.attempt}"
        if self.server_ids:
            found = self.faults.call(f"training.find {of}", lambda: self._find(request), Kind.READ)
            return found or self.faults.call(f"training.start {of}", lambda: self._create(request))
        return self.faults.call(f"training.start {of}", lambda: self._find(request) or self._create(request))

    def _find(self, request: TrainingRequest) -> TrainingRun | None:
        runs = self.all.get(request.model, [])
        return next((r for r in runs if (r.key, r.attempt) == (request.key, request.attempt)), None)

    def _create(self, request: TrainingRequest) -> TrainingRun:
        run_id = f"{request.key}-{request.attempt}"
        run = TrainingRun(request.key, request.attempt, run_id, RunState.RUNNING, self.clock())
        self.all.setdefault(request.model, []).append(run)
        self.started.append(f"{request.model}/{run_id}")
        return run

    def ensure_stopped(self, model: str, run_id: str) -> None:
        self.faults.call(f"training.stop {model} {run_id}", lambda: self._end(model, run_id, RunState.STOPPED, None))

    def _end(self, model: str, run_id: str, state: RunState, cause: str | None) -> None:
        self.all[model] = [
            replace(r, state=state, finished_at=self.clock(), cause=cause)
            if r.run_id == run_id and r.state is RunState.RUNNING
            else r
            for r in self.all.get(model, [])
        ]

    def tick(self, model: str) -> bool:
        """End the oldest run that is under way, or let its version show that it made."""
        if model in self.unregistered:
            key, made = self.unregistered.pop(model)
            self.registry.register(model, {TAG_TRAINING_KEY: key}, made, self.clock())
            return True
        run = next((r for r in self.all.get(model, ()) if r.state is RunState.RUNNING), None)
        if run is None:
            return False
        metrics = self.outcomes()
        if metrics is not None and self.registers_late():
            self.unregistered[model] = run.key, metrics
        elif metrics is not None:
            self.registry.register(model, {TAG_TRAINING_KEY: run.key}, metrics, self.clock())
        failed = metrics is None
        self._end(model, run.run_id, RunState.FAILED if failed else RunState.SUCCEEDED, "boom" if failed else None)
        return True


@dataclass(slots=True)
class SimProber:
    """Implements ports.Prober: a bad version, or a bad template, answers every request with an error."""

    faults: Faults
    bad: set[int]
    serving: SimServing

    def probe(
        self, target: ProbeTarget, rows: Sequence[object], requests: int, before_each: Callable[[], None]
    ) -> ProbeResult:
        before_each()
        namespace, name, revision = target.url.removeprefix("http://").split("/")
        live = self.serving.live.get((namespace, name)) if name else self._behind(namespace, revision)
        failing = live is None or self.fails(live.releases.get(revision), live.templates.get(revision, ""))
        side = Side(requests, requests if failing else 0, () if failing else (5.0,) * requests)
        result = ProbeResult(side, (None if failing else 1,) * len(rows))
        return self.faults.call(f"probe {target.model}", lambda: result, Kind.READ)

    def _behind(self, namespace: str, service: str) -> Live | None:
        """Return the object of which a Service is one predictor."""
        found = (live for key, live in self.serving.live.items() if key[0] == namespace and service in live.templates)
        return next(found, None)

    def fails(self, release: Release | None, template: str) -> bool:
        """Return whether what is served so answers with errors."""
        return (release is not None and release.version in self.bad) or BAD_TEMPLATE in template


@dataclass(slots=True)
class SimSource:
    """Implements ports.Source over specs that the story commits; what the replica at work follows is `published`.

    `accepted` is the rewrite that the settings accept.
    """

    memory: SimMemory
    clock: Callable[[], datetime]
    specs: dict[str, ModelSpec] = field(default_factory=dict)
    seen: dict[str, DesiredModel] = field(default_factory=dict)
    policy: PolicySpec = field(default_factory=PolicySpec)
    history: History = field(default_factory=History)
    viewer: int = 0
    published_by: dict[int, DesiredState | None] = field(default_factory=dict)
    followed_by: dict[int, str] = field(default_factory=dict)
    broken: bool = False
    unreadable: bool = False
    accepted: str = ""

    @property
    def published(self) -> DesiredState | None:
        return self.published_by.get(self.viewer)

    @published.setter
    def published(self, state: DesiredState | None) -> None:
        self.published_by[self.viewer] = state

    def write(self, name: str, spec: ModelSpec | None) -> None:
        """Commit a spec, or its removal."""
        if spec is None:
            self.specs.pop(name, None)
            self.seen.pop(name, None)
        else:
            self.specs[name] = spec
            files, commit = {PIPELINE: b"pipeline"}, self.history.next(self.clock())
            self.seen[name] = DesiredModel(name, spec, commit, f"models/{name}.yaml", files=files)
        self.history.commit(self.seen, self.policy, self.clock())

    def rule(self, policy: PolicySpec) -> None:
        """Commit a policy."""
        self.policy = policy
        self.history.commit(self.seen, policy, self.clock())

    def begin(self) -> None:
        """Let a new process begin with the commit that was acted on last."""
        self.followed_by[self.viewer] = self.memory.acted_on(LINE) or ""
        self.published = None

    def fetch(self) -> SourceStatus:
        found = self.history.served
        if self.broken or not found:
            return self._status(failing="nobody answers")
        acted_on = self.memory.acted_on(LINE) or self.followed_by.get(self.viewer, "")
        rewritten = bool(acted_on) and not leads_on(found, acted_on, self.history.descends)
        if rewritten and (why := self._refusal(found, acted_on)):
            return self._status(failing=why.message, refused=found)
        self.followed_by[self.viewer] = found
        return self._status(rewritten_from=acted_on if rewritten else None)

    def _refusal(self, found: str, acted_on: str) -> Refused | None:
        followed = self.history.snapshots.get(acted_on)
        allowed = followed is not None and followed.policy.history.rewrites == "follow"
        return refusal("main", found, acted_on, self.history.descends, allowed=allowed, accepted=self.accepted)

    def _status(self, failing: str = "", refused: str | None = None, rewritten_from: str | None = None) -> SourceStatus:
        followed = self.history.snapshots.get(self.followed_by.get(self.viewer, ""))
        now = self.clock()
        return SourceStatus(
            followed.commit if followed else None, now, now if failing else None, failing, rewritten_from, refused, LINE
        )

    def desired(self) -> DesiredState | None:
        followed = self.history.snapshots.get(self.followed_by.get(self.viewer, ""))
        if followed is not None:
            self.published = self._settle(followed)
        return self.published

    def _settle(self, followed: Snapshot) -> DesiredState:
        """Tell what is in force as desired.settle does: nothing is removed while a file cannot be read."""
        missing = {n: m for n, m in self.memory.last_good().items() if n not in followed.seen}
        old = self.published.models if self.published else {}
        held = (Diagnostic("removal-held", "a file cannot be read", "models/x.yaml"),)
        for name, model in missing.items():
            kept = replace(model, stale=held) if self.unreadable else replace(model, removed=True)
            missing[name] = old[name] if old.get(name) == kept else kept
        unreadable = frozenset({"models/x.yaml"} if self.unreadable else ())
        return DesiredState(followed.commit, {**followed.seen, **missing}, followed.policy, unreadable=unreadable)
