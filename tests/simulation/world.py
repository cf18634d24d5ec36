"""The whole world: simulated systems, the real code, and the truth that the code cannot see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from reconciler.ensure.scene import Systems
from reconciler.errors import ReconcilerError
from reconciler.observe import Observer
from reconciler.reconcile import ModelReconciler
from reconciler.status import ModelStatus
from tests.simulation.faults import Crash, Fault, Faults
from tests.simulation.invariants import Truth
from tests.simulation.registry import SimRegistry
from tests.simulation.serving import SimServing
from tests.simulation.systems import Metrics, SimLedger, SimMemory, SimProber, SimSource, SimTraining

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NAME = "iris"
KEY = ("models", NAME)


class World:
    """Everything outside the process survives `restart`; nothing inside does."""

    def __init__(self, choose: Callable[[str], Fault], outcomes: Callable[[], Metrics | None]) -> None:
        self.now = START
        self.faults = Faults(choose)
        self.bad: set[int] = set()
        self.registry = SimRegistry(self.faults)
        self.serving = SimServing(self.faults, self.clock)
        self.training = SimTraining(self.faults, self.registry, self.clock, outcomes)
        self.ledger = SimLedger(self.faults)
        self.memory = SimMemory(self.faults)
        self.source = SimSource(self.memory, self.clock)
        self.prober = SimProber(self.faults, self.bad, self.serving)
        self.truth = Truth(self.registry, self.serving, self.training, self.ledger, self.source, self.prober)
        self.crashes = 0
        self.passes = 0
        self.restart()

    def clock(self) -> datetime:
        return self.now

    def restart(self) -> None:
        """Begin a new process, again and again if it dies while it begins."""
        systems = Systems(
            registry=self.registry,
            serving=self.serving,
            training=self.training,
            prober=self.prober,
            ledger=self.ledger,
            memory=self.memory,
            clock=self.clock,
            artifact_destinations={},
        )
        self.observer = Observer(systems, timedelta(seconds=30))
        self.reconciler = ModelReconciler(self.source, systems, self.observer, timedelta(seconds=5))
        try:
            self.observer.remember_in_flight()
        except (Crash, ReconcilerError):
            self.restart()

    def one_pass(self, name: str = NAME) -> str:
        """Let the process look once at a model; return what it did, "" for nothing."""
        self.now += timedelta(milliseconds=1)
        self.passes += 1
        try:
            return self._pass(name)
        except Crash as crash:
            self.crashes += 1
            self.faults.log.append(f"-- died at {crash}, started again")
            self.restart()
            return "crash"

    def _pass(self, name: str) -> str:
        error, before = "", self.source.published
        try:
            self.reconciler.refresh_source()
        except ReconcilerError:
            # What could not be kept was not taken over.
            error, self.source.published = "error", before
        self.reconciler.refresh_registry()
        result = self.reconciler.reconcile(name)
        if result.error is not None:
            self.faults.log.append(f"-- {name}: {result.error.message}")
        return result.acted or ("error" if result.error else error)

    def status(self, name: str = NAME) -> ModelStatus | None:
        """Return what people are told."""
        return self.reconciler.statuses().get(name)

    def tick(self, name: str = NAME, turn: int = 0) -> bool:
        """Let the other controllers take one step."""
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
        if not due:
            self.now += timedelta(seconds=1)
            return False
        self.now = max(min(due), self.now + timedelta(milliseconds=1))
        return True
