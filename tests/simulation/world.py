"""The whole world: simulated systems, the real code, and the truth that the code cannot see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.desired.documents import ModelSpec, PolicySpec
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.ensure.scene import Systems
from reconciler.errors import Conflict, Refused, Terminal
from reconciler.observe import Observer
from reconciler.observed import (
    TAG_GATES,
    TAG_TRAINING_KEY,
    Package,
    Release,
    ReleaseRecord,
    RunState,
    Side,
    Stage,
    TrainingRequest,
    TrainingRun,
)
from reconciler.ports import Entry, ProbeResult, ProbeTarget, Recorded, SourceStatus
from reconciler.reconcile import ModelReconciler
from reconciler.registry_roles import role
from tests.simulation.faults import Crash, Fault, Faults
from tests.simulation.registry import SimRegistry
from tests.simulation.serving import SimServing

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NAME = "iris"
KEY = ("models", NAME)
PIPELINE = "pipelines/iris.yaml"


@dataclass(slots=True)
class SimLedger:
    """Implements ports.Ledger; survives every crash."""

    faults: Faults
    records: list[Recorded] = field(default_factory=list)

    def append(self, entry: Entry) -> Recorded:
        def write() -> Recorded:
            recorded = Recorded(len(self.records) + 1, entry, "", "")
            self.records.append(recorded)
            return recorded

        return self.faults.call(f"ledger {entry.moment.value} {entry.action}", write)

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
        found = [
            r
            for r in self.records
            if (model is None or r.entry.model == model)
            and (not wanted or r.entry.action in wanted)
            and (since is None or r.entry.at >= since)
            and (until is None or r.entry.at < until)
            and r.seq > after_seq
        ]
        return found[-limit:] if limit else found


@dataclass(slots=True)
class SimMemory:
    """Implements ports.Memory; survives every crash."""

    faults: Faults
    specs: dict[str, DesiredModel] = field(default_factory=dict)
    kept: dict[str, dict[Release, ReleaseRecord]] = field(default_factory=dict)
    claims: set[str] = field(default_factory=set)

    def last_good(self) -> Mapping[str, DesiredModel]:
        return dict(self.specs)

    def remember(self, models: Iterable[DesiredModel]) -> None:
        self.specs.update({m.name: m for m in models})

    def forget(self, model: str) -> None:
        self.faults.call(f"memory.forget {model}", lambda: self.specs.pop(model, None))

    def releases(self, model: str) -> Mapping[Release, ReleaseRecord]:
        return dict(self.kept.get(model, {}))

    def keep_release(self, model: str, record: ReleaseRecord) -> None:
        self.faults.call(
            "memory.keep_release", lambda: self.kept.setdefault(model, {}).update({record.release: record})
        )

    def claim(self, key: str, at: datetime) -> bool:
        del at
        new = key not in self.claims
        self.faults.call(f"memory.claim {key}", lambda: self.claims.add(key))
        return new


@dataclass(slots=True)
class SimTraining:
    """Implements ports.Training: a run ends at a later tick, and registers a version when it succeeds."""

    faults: Faults
    registry: SimRegistry
    clock: Callable[[], datetime]
    outcomes: Callable[[], Mapping[str, float] | None]
    all: dict[str, list[TrainingRun]] = field(default_factory=dict)
    settle_seconds: float = 0.0
    started: list[str] = field(default_factory=list)

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        return self.faults.call("training.runs", lambda: tuple(self.all.get(model, ())), writes=False)

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        assert isinstance(request.pipeline, Package)
        return self.faults.call(f"training.start {request.key} {request.attempt}", lambda: self._start(request))

    def _start(self, request: TrainingRequest) -> TrainingRun:
        for run in self.all.get(request.model, []):
            if (run.key, run.attempt) == (request.key, request.attempt):
                return run
        run_id = f"{request.key}-{request.attempt}"
        run = TrainingRun(request.key, request.attempt, run_id, RunState.RUNNING, self.clock())
        self.all.setdefault(request.model, []).append(run)
        self.started.append(run_id)
        return run

    def ensure_stopped(self, model: str, run_id: str) -> None:
        self.faults.call(f"training.stop {run_id}", lambda: self._end(model, run_id, RunState.STOPPED, None))

    def _end(self, model: str, run_id: str, state: RunState, cause: str | None) -> None:
        self.all[model] = [
            replace(r, state=state, finished_at=self.clock(), cause=cause)
            if r.run_id == run_id and r.state is RunState.RUNNING
            else r
            for r in self.all.get(model, [])
        ]

    def tick(self, model: str) -> bool:
        """End the oldest run that is under way."""
        run = next((r for r in self.all.get(model, ()) if r.state is RunState.RUNNING), None)
        if run is None:
            return False
        metrics = self.outcomes()
        if metrics is not None:
            self.registry.register(model, {TAG_TRAINING_KEY: run.key}, metrics, self.clock())
        failed = metrics is None
        self._end(model, run.run_id, RunState.FAILED if failed else RunState.SUCCEEDED, "boom" if failed else None)
        return True


@dataclass(slots=True)
class SimProber:
    """Implements ports.Prober: a bad version answers every request with an error."""

    faults: Faults
    bad: set[int]
    serving: SimServing

    def probe(self, target: ProbeTarget, rows: Sequence[Any], requests: int) -> ProbeResult:
        revision = target.url.rpartition("/")[2]
        release = next((x.releases[revision] for x in self.serving.live.values() if revision in x.releases), None)
        failing = release is not None and release.version in self.bad
        side = Side(requests, requests if failing else 0, () if failing else (5.0,) * requests)
        result = ProbeResult(side, (None if failing else 1,) * len(rows))
        return self.faults.call("probe", lambda: result, writes=False)


@dataclass(slots=True)
class SimSource:
    """Implements ports.Source over specs that the story commits."""

    memory: SimMemory
    clock: Callable[[], datetime]
    specs: dict[str, ModelSpec] = field(default_factory=dict)
    commits: int = 0
    seen: dict[str, DesiredModel] = field(default_factory=dict)
    policy: PolicySpec = field(default_factory=PolicySpec)

    def commit(self) -> Commit:
        return Commit(f"{self.commits:040x}", "Ana <ana@example.org>", self.clock(), "a commit")

    def write(self, name: str, spec: ModelSpec | None) -> None:
        """Commit a spec, or its removal."""
        self.commits += 1
        if spec is None:
            self.specs.pop(name, None)
            self.seen.pop(name, None)
        else:
            self.specs[name] = spec
            files = {PIPELINE: b"pipeline"}
            self.seen[name] = DesiredModel(name, spec, self.commit(), f"models/{name}.yaml", files=files)

    def fetch(self) -> SourceStatus:
        return SourceStatus(self.commit(), self.clock())

    def desired(self) -> DesiredState | None:
        gone = {n: replace(m, removed=True) for n, m in self.memory.last_good().items() if n not in self.specs}
        return DesiredState(self.commit(), {**self.seen, **gone}, self.policy)


class World:
    """Everything outside the process survives `restart`; nothing inside does."""

    def __init__(self, choose: Callable[[str], Fault], outcomes: Callable[[], Mapping[str, float] | None]) -> None:
        self.now = START
        self.faults = Faults(choose)
        self.bad: set[int] = set()
        self.registry = SimRegistry(self.faults)
        self.serving = SimServing(self.faults, self.clock)
        self.training = SimTraining(self.faults, self.registry, self.clock, outcomes)
        self.ledger = SimLedger(self.faults)
        self.memory = SimMemory(self.faults)
        self.source = SimSource(self.memory, self.clock)
        self.rejected: set[tuple[int, str]] = set()
        self.crashes = 0
        self.errors: list[str] = []
        self.restart()

    def clock(self) -> datetime:
        return self.now

    def restart(self) -> None:
        """Begin a new process."""
        systems = Systems(
            registry=self.registry,
            serving=self.serving,
            training=self.training,
            prober=SimProber(self.faults, self.bad, self.serving),
            ledger=self.ledger,
            memory=self.memory,
            clock=self.clock,
            artifact_destinations={},
        )
        self.observer = Observer(systems, timedelta(seconds=30))
        self.reconciler = ModelReconciler(self.source, systems, self.observer, timedelta(seconds=5))
        self.observer.remember_in_flight()

    def one_pass(self, name: str = NAME) -> str:
        """Let the process look once at a model; return what it did, "" for nothing."""
        try:
            self.reconciler.refresh_source()
            self.reconciler.refresh_registry()
            result = self.reconciler.reconcile(name)
        except Crash as crash:
            self.crashes += 1
            self.faults.log.append(f"-- died at {crash}, started again")
            self.restart()
            return "crash"
        if isinstance(result.error, Terminal) and not isinstance(result.error, Conflict | Refused):
            self.errors.append(result.error.message)
        return result.acted or ("error" if result.error else "")

    def tick(self, name: str = NAME) -> bool:
        """Let the other controllers take one step."""
        return self.serving.tick(("models", name))

    def settle(self, name: str = NAME, limit: int = 400) -> int:
        """Run passes, controllers and time until nothing moves any more; return the number of passes."""
        for number in range(limit):
            acted = self.one_pass(name)
            self.check(name)
            moved = False
            while self.tick(name):
                moved = True
                self.check(name)
            moved = self.training.tick(name) or moved
            if not acted and not moved and not self._later(name):
                return number
        raise AssertionError(f"did not settle in {limit} passes: {self.reconciler.statuses().get(name)}")

    def _later(self, name: str) -> bool:
        status = self.reconciler.statuses().get(name)
        if status is None or status.look_again_at is None or status.look_again_at <= self.now:
            self.now += timedelta(seconds=1)
            return status is not None and status.look_again_at is not None
        self.now = status.look_again_at
        return True

    def check(self, name: str = NAME) -> None:
        """Hold what must always be true, against the truth."""
        model = self.registry.models.get(name)
        versions = model.versions if model else ()
        production = [v.version for v in versions if role(v) is Stage.PRODUCTION]
        assert len(production) <= 1, f"I1: several versions in Production: {production}"
        for v in versions:
            if role(v) is Stage.PRODUCTION:
                assert v.tags.get(TAG_GATES, "").startswith("passed "), f"I1: {v.version} in Production without gates"
        self._check_traffic(name)
        keys = [r.rpartition("-")[0] for r in self.training.started]
        assert len(set(self.training.started)) == len(self.training.started), f"I5: started twice: {keys}"

    def _check_traffic(self, name: str) -> None:
        live = self.serving.live.get(("models", name))
        model = self.registry.models.get(name)
        if live is None or not live.shares:
            return
        shares = self.serving.shares(("models", name))
        assert sum(shares.values()) == 100, f"traffic adds up to {shares}"
        for number in shares:
            version = model.get(number) if model and number else None
            assert version is not None, f"traffic to a version that is not registered: {shares}"
            assert version.tags.get(TAG_GATES, "").startswith("passed "), f"I1: {number} gets traffic without gates"
            assert role(version) is not Stage.ARCHIVED, f"I3: {number} gets traffic and is archived: {shares}"
        for share in live.shares:
            if share.percent:
                assert share.revision in live.ready, f"I2: callers are sent to {share.revision}, which is not ready"
