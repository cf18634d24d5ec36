"""The world: every system as a state machine, replicas of the real code, and the truth that they cannot see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from reconciler.ensure.scene import Systems
from reconciler.errors import ReconcilerError, Transient
from reconciler.observe import Observer
from reconciler.observed import By, Meant, OrderKind
from reconciler.reconcile import ModelReconciler
from reconciler.status import ModelStatus, OrderAnswer
from tests.simulation.faults import LIFETIME, Crash, Fault, Faults
from tests.simulation.invariants import Truth
from tests.simulation.jobs import SimJobs
from tests.simulation.metering import SimMetrics
from tests.simulation.registry import SimRegistry
from tests.simulation.serving import SimServing
from tests.simulation.systems import Metrics, SimLedger, SimMemory, SimProber, SimSource, SimTraining

T = TypeVar("T")
U = TypeVar("U")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NAME = "iris"
KEY = ("models", NAME)
LEASE = timedelta(seconds=15)


@dataclass(slots=True)
class Process:
    """What a replica has in memory; nothing of it survives."""

    observer: Observer
    reconciler: ModelReconciler


class World:
    """Everything outside the processes survives `restart`; nothing inside does.

    Two replicas stand by; the one that holds the lease is at work. One that is paused in the middle of a call loses
    the lease to the other, goes on with what it was at when it wakes up, and then ends, as it is not the leader.
    `registry` and `serving` make these two systems, where a test has others than the usual ones.
    """

    def __init__(
        self,
        choose: Callable[[str], Fault],
        outcomes: Callable[[], Metrics | None],
        registry: Callable[[Faults], SimRegistry] = SimRegistry,
        serving: Callable[[Faults, Callable[[], datetime]], SimServing] = SimServing,
    ) -> None:
        self.now = START
        self.faults = Faults(choose, self.clock)
        self.bad: set[int] = set()
        self.registry = registry(self.faults)
        self.serving = serving(self.faults, self.clock)
        self.training = SimTraining(self.faults, self.registry, self.clock, outcomes)
        self.ledger = SimLedger(self.faults)
        self.memory = SimMemory(self.faults)
        self.source = SimSource(self.memory, self.clock)
        self.prober = SimProber(self.faults, self.bad, self.serving)
        self.metrics = SimMetrics(self.faults, self.prober)
        self.jobs = SimJobs(self.faults, self.bad)
        self.truth = Truth(self.registry, self.serving, self.training, self.ledger, self.source, self.prober)
        self.faults.pause = self._pause
        self.meanwhile: Callable[[], None] = lambda: None
        self.pause_seconds: Callable[[], int] = lambda: 20
        self.reads_all: Callable[[], bool] = lambda: True
        self.crashes = 0
        self.passes = 0
        self.leader = self.holder = 0
        self.paused = False
        self.after_pause = 0
        self.processes: dict[int, Process] = {}
        self.restart()

    def clock(self) -> datetime:
        return self.now

    @property
    def observer(self) -> Observer:
        return self.processes[self.leader].observer

    @property
    def reconciler(self) -> ModelReconciler:
        return self.processes[self.leader].reconciler

    def restart(self) -> None:
        """Begin a new process, again and again if it dies while it begins."""
        systems = Systems(
            registry=self.registry,
            serving=self.serving,
            training=self.training,
            prober=self.prober,
            metrics=self.metrics,
            jobs=self.jobs,
            ledger=self.ledger,
            memory=self.memory,
            clock=self.clock,
            artifact_destinations={},
            settle=LIFETIME,
        )
        observer = Observer(systems, timedelta(seconds=30))
        reconciler = ModelReconciler(self.source, systems, observer, timedelta(seconds=5), self._leads(self.leader))
        self.processes[self.leader] = Process(observer, reconciler)
        self.truth.began()
        self.serving.list_anew()
        self.source.begin()
        try:
            observer.remember_in_flight()
        except (Crash, ReconcilerError):
            self.restart()

    def _leads(self, replica: int) -> Callable[[], bool]:
        return lambda: self.holder == replica

    def _lead(self, replica: int) -> None:
        self.leader = self.serving.viewer = self.source.viewer = replica

    def _pause(self, what: str) -> None:
        """Keep the replica at work from making this call for a while; another one goes on meanwhile."""
        if self.paused:
            return
        self.paused, asleep = True, self.leader
        self.faults.log.append(f"-- replica {asleep} sleeps before {what}; the other one takes the lease")
        self.pass_time(self.now + LEASE + timedelta(seconds=self.pause_seconds()))
        self.holder = 1 - asleep
        self._lead(self.holder)
        self.restart()
        self.meanwhile()
        awake = self.leader
        self._lead(asleep)
        self.faults.log.append(f"-- replica {asleep} wakes up and goes on")
        self.after_pause = awake

    def pass_time(self, now: datetime) -> None:
        """Let time go on; what is under way lands when its time is over."""
        self.faults.time_passes(now)
        self.now = now

    def one_pass(self, name: str = NAME) -> str:
        """Let the leader look once at a model; return what it did, "" for nothing."""
        self.now += timedelta(milliseconds=1)
        self.passes += 1
        return self._mortal(lambda: self._pass(name), "crash")

    def _mortal(self, do: Callable[[], T], died: U) -> T | U:
        """Let the replica at work do something; it may die of it, or sleep until another one leads."""
        nested = self.paused
        try:
            return do()
        except Crash as crash:
            self.crashes += 1
            self.faults.log.append(f"-- died at {crash}, started again")
            self.restart()
            return died
        finally:
            if self.paused and not nested:
                self.paused = False
                self._lead(self.after_pause)

    def _pass(self, name: str) -> str:
        error, before = "", self.source.published
        try:
            self.reconciler.refresh_source()
        except ReconcilerError:
            # What could not be kept was not taken over.
            error, self.source.published = "error", before
        if self.reads_all():
            self.reconciler.refresh_registry()
        result = self.reconciler.reconcile(name)
        if result.error is not None:
            self.faults.log.append(f"-- {name}: {result.error.message}")
        if isinstance(result.error, Transient) and result.error.retry_after is not None:
            # It is not tried again before the time that the error names.
            self.pass_time(self.now + timedelta(seconds=result.error.retry_after))
        return result.acted or ("error" if result.error else error)

    def order(
        self, kind: OrderKind, name: str = NAME, reason: str = "it looks odd", meant: Meant | None = None
    ) -> OrderAnswer | str:
        """Order something by hand; return the answer, or why there is none."""
        self.now += timedelta(milliseconds=1)
        return self._mortal(lambda: self._order(kind, name, By("ana", reason, meant)), "crash")

    def _order(self, kind: OrderKind, name: str, by: By) -> OrderAnswer | str:
        try:
            answer = self.reconciler.order(name, kind, by)
        except ReconcilerError as error:
            self.faults.log.append(f"-- {kind} of {name}: {error.message}")
            return error.message
        self.faults.log.append(f"-- {kind} of {name}: {answer.follows}")
        return answer

    def status(self, name: str = NAME) -> ModelStatus | None:
        """Return what people are told."""
        return self.reconciler.statuses().get(name)

    def tick(self, name: str = NAME, turn: int = 0) -> bool:
        """Let the other controllers take one step."""
        self.faults.event()
        moved = [self.serving.tick(key, turn) for key in tuple(self.serving.live) if key[1] == name]
        return any(moved)

    def check(self, name: str = NAME) -> None:
        """Hold what must always be true, against the truth."""
        self.truth.check(name)

    def settle(self, *names: str, limit: int = 1500) -> int:
        """Run passes, controllers and time until nothing moves any more; return the number of rounds."""
        known = names or (NAME,)
        for number in range(limit):
            if not self._round(known) and not self._wait(known):
                return number
        said = "; ".join(f"{n}: {s.conditions.reconciling.message}" for n in known if (s := self.status(n)))
        raise AssertionError(f"did not settle in {limit} rounds: {said}")

    def _round(self, names: Iterable[str]) -> bool:
        moved = False
        for name in names:
            moved = bool(self.one_pass(name)) or moved
            self.check(name)
            while self.tick(name):
                moved = True
                self.check(name)
            moved = self.training.tick(name) or moved
        return moved

    def _wait(self, names: Iterable[str]) -> bool:
        """Let time pass until a model is to be looked at again; False when none is."""
        due = [s.look_again_at for n in names if (s := self.status(n)) and s.look_again_at is not None]
        if not due and not self.faults.under_way:
            self.now += timedelta(seconds=1)
            return False
        soon = self.now + timedelta(milliseconds=1)
        self.pass_time(max(min(due, default=soon), soon))
        return True
