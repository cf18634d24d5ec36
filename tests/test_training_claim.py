"""A training that is claimed is not started twice: what is on the ledger outlives the process that waited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from reconciler.errors import UnknownOutcome
from reconciler.observed import RunState, TrainingRequest, TrainingRun
from tests.simulation.stories import world
from tests.simulation.world import NAME, World

SETTLE = timedelta(seconds=60)


@dataclass(slots=True)
class ForgetfulTraining:
    """A backend whose lists are always empty, as after a lost request, or behind a proxy that says `{}`."""

    outcome: Callable[[TrainingRequest], TrainingRun]
    settle_seconds: float = SETTLE.total_seconds()
    asked: list[TrainingRequest] = field(default_factory=list)

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        del model
        return ()

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        self.asked.append(request)
        return self.outcome(request)

    def ensure_stopped(self, model: str, run_id: str) -> None:
        """There is never one to stop."""


def backed_by(outcome: Callable[[World, TrainingRequest], TrainingRun]) -> tuple[World, ForgetfulTraining]:
    made = world()
    training = ForgetfulTraining(lambda request: outcome(made, request))
    restart(made, training)
    return made, training


def restart(made: World, training: ForgetfulTraining) -> None:
    """Begin a new process with this backend."""
    made.restart()
    made.reconciler.systems = replace(made.reconciler.systems, training=training)
    made.observer.systems = made.reconciler.systems


def lost(made: World, request: TrainingRequest) -> TrainingRun:
    del made, request
    raise UnknownOutcome("the answer was lost")


def started(made: World, request: TrainingRequest) -> TrainingRun:
    return TrainingRun(request.key, request.attempt, "run-7", RunState.RUNNING, made.now)


def test_a_lost_request_is_waited_for_also_after_a_restart() -> None:
    made, training = backed_by(lost)
    made.one_pass()
    for seconds in (1, 30, 28):
        made.now += timedelta(seconds=seconds)
        restart(made, training)
        made.reconciler.refresh_source()
        made.reconciler.refresh_registry()
        made.reconciler.reconcile(NAME)  # not `one_pass`, which waits for as long as it is told to
    assert len(training.asked) == 1
    made.now += SETTLE
    made.one_pass()
    assert len(training.asked) == 2


def test_a_run_on_record_is_named_to_the_backend_and_needs_no_waiting() -> None:
    made, training = backed_by(started)
    made.one_pass()
    restart(made, training)
    made.one_pass()
    assert [request.started_as for request in training.asked] == ["", "run-7"]
    assert len({(request.key, request.attempt) for request in training.asked}) == 1
