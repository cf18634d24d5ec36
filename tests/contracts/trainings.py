"""Training backends of every kind, each with what happens to its runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from reconciler.observed import Package, RunState, TrainingRequest, TrainingRun
from reconciler.ports import Training
from reconciler.systems.training.kfp_api import KfpNames, KfpTraining
from reconciler.systems.training.kfp_client import KfpClient
from tests.contracts.kfp_words import check, check_fields
from tests.simulation.faults import Fault, Faults
from tests.simulation.registry import SimRegistry
from tests.simulation.stories import Script
from tests.simulation.systems import SimTraining
from tests.systems.training.conftest import ENDED, open_training, until
from tests.systems.training.kfp_server import Kfp, serve

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
REASON = "the data are gone"


class Bench(Protocol):
    """A backend, and what happens to its runs."""

    @property
    def training(self) -> Training:
        """Return the port that is under test."""

    def request(self, ends: RunState | None, key: str, attempt: int, model: str) -> TrainingRequest:
        """Ask for a run that ends so by itself, or (None) not before it is stopped."""

    def let_end(self, run: TrainingRun, ends: RunState) -> None:
        """Let a run come to its end."""

    def lose_next_start(self) -> None:
        """Let the next run be started, and the answer be lost."""

    def reopened(self) -> Training:
        """Return the port of a new process."""

    def there(self) -> list[str]:
        """Return what was really started, as model/key/attempt."""


def _request(package: Package, parameters: dict[str, object], key: str, attempt: int, model: str) -> TrainingRequest:
    return TrainingRequest(model, key, attempt, f"{model}-chef", package, parameters, timedelta(minutes=2))


@dataclass(slots=True)
class SimulatedBench:
    """The simulated training."""

    script: Script = field(default_factory=Script)
    now: datetime = START
    training: SimTraining = field(init=False)

    def __post_init__(self) -> None:
        faults = Faults(self.script)
        self.training = SimTraining(faults, SimRegistry(faults), self.clock, lambda: None)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def request(self, ends: RunState | None, key: str, attempt: int, model: str) -> TrainingRequest:
        del ends
        return _request(Package("pipelines/iris.yaml", b"pipeline"), {}, key, attempt, model)

    def let_end(self, run: TrainingRun, ends: RunState) -> None:
        model = next(name for name, runs in self.training.all.items() if any(r == run for r in runs))
        self.training._end(model, run.run_id, ends, REASON if ends is RunState.FAILED else None)

    def lose_next_start(self) -> None:
        self.script.then("training.start", Fault.LOST)

    def reopened(self) -> Training:
        return self.training

    def there(self) -> list[str]:
        return [f"{model}/{r.key}/{r.attempt}" for model, runs in self.training.all.items() for r in runs]


@dataclass(slots=True)
class KfpBench:
    """The real client over HTTP, and a server whose every request and answer must be in KFP's own words."""

    kfp: Kfp
    host: str
    package: Package
    now: datetime = START
    training: KfpTraining = field(init=False)

    def __post_init__(self) -> None:
        self.training = self.reopened()

    def reopened(self) -> KfpTraining:
        client = KfpClient(self.host, token=lambda: None, timeout=timedelta(seconds=5))
        names = KfpNames(self.host, prefix="model-reconciler", experiment="models")
        settle = timedelta(seconds=30)
        return KfpTraining(client, names, tracking_uri="http://mlflow:5000", settle=settle, clock=lambda: self.now)

    def request(self, ends: RunState | None, key: str, attempt: int, model: str) -> TrainingRequest:
        del ends
        return _request(self.package, {"reason": "x"}, key, attempt, model)

    def let_end(self, run: TrainingRun, ends: RunState) -> None:
        (item,) = (each for each in self.kfp.runs if each["run_id"] == run.run_id)
        item.update(state=ends.name, finished_at=self.kfp.stamp())
        if ends is RunState.FAILED:
            item["error"] = {"code": 13, "message": REASON}

    def lose_next_start(self) -> None:
        self.kfp.faults.append(("POST /runs", "applied, then cut"))

    def there(self) -> list[str]:
        return [each["display_name"].removeprefix("model-reconciler/") for each in self.kfp.runs]

    def check(self) -> None:
        """Hold that everything that was said is said so in KFP."""
        assert self.kfp.calls
        for call in self.kfp.calls:
            check(call)
        for run in self.kfp.runs:
            check_fields(run, "V2beta1Run")
        for experiment in self.kfp.experiments:
            check_fields(experiment, "V2beta1Experiment")


@dataclass(slots=True)
class LocalBench:
    """KFP's own local runner with tiny pipelines."""

    folder: Path
    packages: dict[str, Package]
    training: Training = field(init=False)

    def __post_init__(self) -> None:
        self.training = self.reopened()

    def reopened(self) -> Training:
        return open_training(self.folder / "runs")

    def request(self, ends: RunState | None, key: str, attempt: int, model: str) -> TrainingRequest:
        marker = str(self.folder / f"{model}-{key}-{attempt}")
        match ends:
            case RunState.SUCCEEDED:
                package, parameters = self.packages["writes"], {"path": marker}
            case RunState.FAILED:
                package, parameters = self.packages["fails"], {"reason": REASON}
            case _:
                package, parameters = self.packages["sleeps"], {"marker": marker}
        return _request(package, dict(parameters), key, attempt, model)

    def let_end(self, run: TrainingRun, ends: RunState) -> None:
        def ended() -> bool:
            now = [r for r in self.training.runs("iris") if r.run_id == run.run_id]
            return bool(now) and now[0].state in ENDED

        del ends
        until(ended)

    def lose_next_start(self) -> None:
        raise AssertionError("what is started locally is not started over a wire")

    def there(self) -> list[str]:
        runs = self.folder / "runs"
        made = [(each.parent.name, *each.name.rpartition("-")[::2]) for each in sorted(runs.glob("*/[!.]*"))]
        return ["/".join(each) for each in made]


@contextmanager
def kfp(package: Package) -> Iterator[KfpBench]:
    """Serve KFP on loopback; afterwards all that was said is checked."""
    state = Kfp()
    with serve(state) as host:
        bench = KfpBench(state, host, package)
        yield bench
        bench.check()


@contextmanager
def local(folder: Path, packages: dict[str, Package]) -> Iterator[LocalBench]:
    """Open the local runner; nothing outlives the block."""
    bench = LocalBench(folder, packages)
    backend = open_training(folder / "runs")
    try:
        yield bench
    finally:
        backend.stop_all()
