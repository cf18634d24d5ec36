"""What wakes a model and what a step leads to, without threads, on a clock that the tests move."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from reconciler.errors import ReconcilerError, Refused, Transient, UnknownOutcome
from reconciler.logs import set_up_logs
from reconciler.metrics import Metrics
from reconciler.passes import StepResult
from reconciler.redaction import Redactor
from reconciler.scheduler.backoff import Backoff
from reconciler.scheduler.loop import MOST_ACTIONS_IN_A_ROW, Loop, slot_of
from reconciler.scheduler.queue import WorkQueue
from reconciler.settings import LogSettings
from reconciler.status import Phase, SystemStatus
from tests.scheduler.scripted import NOW, Scripted, status


@dataclass
class World:
    """A loop over a script, with a clock."""

    script: Scripted
    seconds: float = 0.0
    metrics: Metrics = field(default_factory=lambda: Metrics("0"))

    def __post_init__(self) -> None:
        self.queue = WorkQueue(lambda: self.seconds)
        self.loop = Loop(
            reconciler=self.script,
            queue=self.queue,
            backoff=Backoff(timedelta(seconds=1), timedelta(seconds=600), max),
            metrics=self.metrics,
            clock=self.now,
            monotonic=lambda: self.seconds,
            slots=4,
        )

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def pump(self, most: int = 1000) -> list[str]:
        """Handle all that is due now; return the models in order."""
        handled: list[str] = []
        while self.due() and len(handled) < most:
            name = self.queue.take()
            assert name is not None
            self.loop.handle(name)
            self.queue.done(name)
            handled.append(name)
        return handled

    def due(self) -> bool:
        self.queue._lanes._ripen(self.seconds)
        return self.queue.figures().depth > 0

    def pass_time(self, seconds: float) -> list[str]:
        self.seconds += seconds
        return self.pump()

    def count(self, line: str) -> float:
        """Return the value of a metric."""
        for row in self.metrics.exposition().decode().splitlines():
            if row.startswith(line + " "):
                return float(row.split()[-1])
        return 0.0


@pytest.fixture
def world() -> World:
    world = World(Scripted(models={"churn", "fraud", "iris"}))
    world.loop.read_source()
    world.loop.read_registry()
    world.pump()
    return world


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    set_up_logs(LogSettings(format="json"), Redactor(), stream)
    return stream


def test_nothing_is_looked_at_before_git_and_the_registry_were_both_read() -> None:
    world = World(Scripted(models={"iris"}))
    world.loop.read_source()
    assert world.pump() == []
    world.loop.read_registry()
    assert set(world.pump()) == {"iris"}


def test_only_models_whose_wishes_changed_are_woken_by_git(world: World) -> None:
    world.script.source_changes = frozenset({"fraud"})
    world.loop.read_source()
    assert world.pump() == ["fraud"]


def test_only_models_whose_picture_changed_are_woken_by_the_registry(world: World) -> None:
    world.script.registry_changes = frozenset({"churn"})
    world.loop.read_registry()
    assert world.pump() == ["churn"]


def test_a_watch_event_wakes_its_model_and_nobody_elses(world: World) -> None:
    world.loop.wake_service("models", "iris")
    world.loop.wake_service("elsewhere", "iris")
    world.loop.wake_service("models", "stranger")
    assert world.pump() == ["iris"]


def test_a_hold_is_looked_at_when_it_is_due_and_not_before(world: World) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name), look_again_at=NOW + timedelta(minutes=10))
    world.loop.wake("iris")
    world.pump()
    assert world.pass_time(599) == []
    world.script.steps.clear()
    assert world.pass_time(1) == ["iris"]
    assert world.pass_time(10_000) == []


def test_a_look_that_is_always_due_keeps_no_worker_to_itself(world: World) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name), look_again_at=NOW - timedelta(minutes=10))
    world.loop.wake("iris")
    assert world.pump() == ["iris"]
    assert world.pass_time(0.1) == ["iris"]


def test_a_model_that_acted_is_stepped_again_at_once_until_it_rests(world: World) -> None:
    acts = iter(["Train", "Deploy", None])
    world.script.steps["iris"] = lambda name: StepResult(status(name), acted=next(acts))
    world.loop.wake("iris")
    assert world.pump() == ["iris"] * 3
    assert world.count('model_reconciler_actions_total{kind="Deploy",outcome="done"}') == 1


def test_a_model_that_acts_again_lets_the_others_go_between(world: World) -> None:
    acts = iter(["Train", "Deploy", None])
    world.script.steps["iris"] = lambda name: StepResult(status(name), acted=next(acts))
    for name in ("iris", "churn", "fraud"):
        world.loop.wake(name)
    assert world.pump() == ["iris", "churn", "fraud", "iris", "iris"]


def test_a_model_that_acts_without_end_is_held_back(world: World, log: io.StringIO) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name), acted="PutBack")
    world.loop.wake("iris")
    assert len(world.pump()) == MOST_ACTIONS_IN_A_ROW
    assert "acts without end" in log.getvalue()


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(Transient("no answer"), "failed"), (UnknownOutcome("answer lost"), "unknown"), (Refused("no"), "failed")],
    ids=["a call that did nothing", "a call whose answer was lost", "a call that was refused"],
)
def test_a_failed_action_is_counted_by_its_outcome_and_backed_off(
    world: World, error: ReconcilerError, outcome: str, log: io.StringIO
) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name), acted="Deploy", error=error)
    world.loop.wake("iris")
    assert world.pump() == ["iris"]
    assert world.count(f'model_reconciler_actions_total{{kind="Deploy",outcome="{outcome}"}}') == 1
    assert world.count('model_reconciler_passes_total{result="failed"}') == 1
    assert error.message in log.getvalue()


def test_waits_grow_until_a_step_succeeds(world: World, log: io.StringIO) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name), error=Transient("down"))
    world.loop.wake("iris")
    world.pump()
    waits = []
    for _ in range(5):
        before = world.seconds
        while not world.pump():
            world.seconds += 0.5
        waits.append(world.seconds - before)
    assert waits == [1, 2, 4, 8, 16]
    assert log.getvalue().count("down") == 6
    world.script.steps.clear()
    assert world.pass_time(32) == ["iris"]
    world.script.steps["iris"] = lambda name: StepResult(status(name), error=Transient("down"))
    world.loop.wake("iris")
    world.pump()
    assert world.pass_time(1) == ["iris"], "success did not reset the wait"


def test_a_model_that_raises_stays_alone_with_it(world: World, log: io.StringIO) -> None:
    def broken(name: str) -> StepResult:
        raise KeyError(name)

    world.script.steps["iris"] = broken
    for name in ("iris", "churn"):
        world.loop.wake(name)
    assert world.pump() == ["iris", "churn"]
    assert world.count('model_reconciler_passes_total{result="crashed"}') == 1
    assert '"model": "iris"' in log.getvalue()
    assert "KeyError" in log.getvalue()
    assert world.pass_time(1) == ["iris"]


def test_an_expected_error_that_is_raised_is_backed_off_too(world: World, log: io.StringIO) -> None:
    def failing(name: str) -> StepResult:
        raise Transient(f"ledger full for {name}", help="make room")

    world.script.steps["iris"] = failing
    world.loop.wake("iris")
    world.pump()
    assert '"help": "make room"' in log.getvalue()
    assert world.pass_time(1) == ["iris"]


def test_a_commit_ends_the_wait_of_a_failing_model(world: World, log: io.StringIO) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name), error=Refused("no such runtime"))
    world.loop.wake("iris")
    world.pump()
    world.script.source_changes = frozenset({"iris"})
    world.loop.read_source()
    assert world.pump() == ["iris"]
    assert "no such runtime" in log.getvalue()


def test_every_model_has_its_look_within_one_interval(world: World) -> None:
    world.script.models |= {f"model-{n}" for n in range(40)}
    looked = []
    for _ in range(4):
        world.loop.look_around()
        looked.append(world.pump())
    assert sorted(name for turn in looked for name in turn) == sorted(world.script.models)
    assert min(len(turn) for turn in looked) > 3, "looks are not spread"
    assert {slot_of(name, 4) for name in looked[0]} == {1}


def test_models_in_training_are_polled_until_their_training_ends(world: World) -> None:
    world.script.steps["iris"] = lambda name: StepResult(status(name, phase=Phase.TRAINING))
    world.loop.wake("iris")
    world.pump()
    world.loop.poll_training()
    assert world.pump() == ["iris"]
    world.script.steps.clear()
    world.loop.poll_training()
    assert world.pump() == ["iris"]
    world.loop.poll_training()
    assert world.pump() == []


def test_a_model_that_was_let_go_is_not_looked_at_again(world: World) -> None:
    world.script.steps["iris"] = lambda _: StepResult(None)
    world.loop.wake("iris")
    world.pump()
    for _ in range(4):
        world.loop.look_around()
    assert "iris" not in world.pass_time(10_000)
    assert world.loop.unready() == ()


def test_a_system_that_answers_again_wakes_every_model(world: World) -> None:
    serving = world.script.systems["serving"]
    world.script.systems["serving"] = replace(serving, ok=False, error="watch broke")
    world.loop.beat()
    assert world.pump() == []
    world.script.systems["serving"] = serving
    world.loop.beat()
    assert set(world.pump()) == {"churn", "fraud", "iris"}
    world.loop.beat()
    assert world.pump() == []


def test_ready_only_once_every_system_is_known_and_every_model_was_looked_at() -> None:
    world = World(Scripted(models={"churn", "iris"}))
    world.script.systems["serving"] = SystemStatus("serving", ok=False, error="no route to host")
    assert world.loop.unready()
    world.loop.read_source()
    world.loop.read_registry()
    world.pump()
    assert world.loop.unready() == ("serving has not been read yet: no route to host",
                                    "2 of 2 models have not been looked at yet")  # fmt: skip
    world.script.systems["serving"] = SystemStatus("serving", ok=True, age_seconds=0)
    world.loop.beat()
    world.pump(most=1)
    assert world.loop.unready() == ("1 of 2 models have not been looked at yet",)
    world.pump()
    assert world.loop.unready() == ()


def test_once_ready_an_outage_does_not_make_it_unready(world: World) -> None:
    assert world.loop.unready() == ()
    world.script.systems["git"] = SystemStatus("git", ok=False, error="gone")
    world.script.models.add("new")
    world.loop.beat()
    assert world.loop.unready() == ()


def test_a_repository_without_models_is_ready() -> None:
    world = World(Scripted())
    world.loop.read_source()
    world.loop.read_registry()
    assert world.loop.unready() == ()


def test_a_first_read_that_raises_does_not_stop_the_others() -> None:
    class Broken(Scripted):
        def refresh_registry(self) -> frozenset[str]:
            raise RuntimeError("unexpected")

    world = World(Broken(models={"iris"}))
    with pytest.raises(RuntimeError):
        world.loop.read_registry()
    world.loop.read_source()
    assert world.pump() == ["iris"]
