"""Asking for a training: once, with everything it needs, and never twice for one claim."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from reconciler.desired.documents import Training
from reconciler.ensure.scene import Scene
from reconciler.ensure.training import ensure_training, ensure_training_stopped
from reconciler.errors import Refused, Transient
from reconciler.observed import Package, PipelineVersion, RunState, TrainingRequest, TrainingRun
from reconciler.plan.action import StopTraining, Train
from reconciler.ports import Entry, Moment, Result
from tests.ensure.stage import in_production, scene_of, wanting
from tests.simulation.systems import PIPELINE
from tests.simulation.world import NAME, World

TRAIN = Train("key", 2)
SETTLE = 60


@dataclass(slots=True)
class Backend:
    """A training backend that keeps what it was asked for."""

    settle_seconds: float = SETTLE
    asked: list[TrainingRequest] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)
    world: World | None = None

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        del model
        return ()

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        self.asked.append(request)
        assert self.world is not None
        return TrainingRun(request.key, request.attempt, "run-7", RunState.RUNNING, self.world.now)

    def ensure_stopped(self, model: str, run_id: str) -> None:
        self.stopped.append((model, run_id))


def stage() -> tuple[World, Backend, Scene]:
    made = in_production()
    backend = Backend(world=made)
    scene = scene_of(made)
    return made, backend, replace(scene, systems=replace(scene.systems, training=backend))


def wrote(scene: Scene, ago: float, moment: Moment = Moment.INTENT, **changes: object) -> int:
    """Put an entry of such a training on the ledger; return its number."""
    entry = Entry(
        at=scene.now - timedelta(seconds=ago), moment=moment, model=NAME, action="Train", reason="", commit="c",
        author="a", after={"key": "key", "attempt": 2},
    )  # fmt: skip
    return scene.systems.ledger.append(replace(entry, **changes)).seq  # type: ignore[arg-type]  # fields of Entry


def test_a_training_is_asked_for_with_all_that_it_needs() -> None:
    _, backend, scene = stage()
    after = ensure_training(TRAIN, scene)
    (request,) = backend.asked
    assert request == TrainingRequest(
        NAME,
        "key",
        2,
        NAME,
        Package(PIPELINE, b"pipeline"),
        {"n": 1},
        scene.desired.spec.training.timeout,  # type: ignore[union-attr]  # it has one
    )
    assert after == {"run": "run-7", "key": "key", "attempt": 2}


def test_a_pipeline_that_the_api_knows_goes_by_its_name_and_version() -> None:
    _, backend, scene = stage()
    named = {"kubeflowPipeline": {"package": {"name": "iris", "version": "v3"}}, "parameters": {"n": 1}}
    ensure_training(TRAIN, wanting(scene, training=Training.model_validate(named)))
    assert backend.asked[0].pipeline == PipelineVersion("iris", "v3")


def test_a_spec_that_trains_nothing_any_more_asks_for_nothing() -> None:
    _, backend, scene = stage()
    with pytest.raises(Refused, match="has no training in its spec any more"):
        ensure_training(TRAIN, wanting(scene, training=None))
    assert not backend.asked


def test_a_run_is_stopped_by_its_own_name() -> None:
    _, backend, scene = stage()
    assert ensure_training_stopped(StopTraining("run-7", "key"), scene) == {"run": "run-7"}
    assert backend.stopped == [(NAME, "run-7")]


def test_a_second_request_under_one_claim_waits_while_the_first_may_still_be_carried_out() -> None:
    _, backend, scene = stage()
    ensure_training(TRAIN, scene)
    wrote(scene, 20)
    wrote(scene, 0)
    with pytest.raises(Transient, match="may still be carried out") as raised:
        ensure_training(TRAIN, scene)
    assert raised.value.retry_after == SETTLE - 20
    assert len(backend.asked) == 1


def test_the_first_request_under_a_claim_waits_for_nobody() -> None:
    _, backend, scene = stage()
    wrote(scene, 20)
    wrote(scene, 0)
    ensure_training(TRAIN, scene)
    assert len(backend.asked) == 1


@pytest.mark.parametrize("other", [Train("other", 2), Train("key", 1)])
def test_another_key_or_attempt_is_another_claim(other: Train) -> None:
    _, backend, scene = stage()
    ensure_training(other, scene)
    wrote(scene, 20)
    wrote(scene, 0)
    ensure_training(TRAIN, scene)
    assert len(backend.asked) == 2


SETTLED: dict[str, list[tuple[float, dict[str, object]]]] = {
    "an earlier request that is old enough has landed or never will": [(SETTLE, {})],
    "a request of another key is not in the way": [(20, {"after": {"key": "other"}})],
    "an outcome is no request": [(20, {"moment": Moment.OUTCOME, "result": Result.UNKNOWN, "attempt_of": 999})],
    "what another model asked for is not in the way": [(20, {"model": "fraud"})],
    "what was another action is not in the way": [(20, {"action": "Deploy"})],
}


@pytest.mark.parametrize("sentence", SETTLED)
def test_what_settles_a_claim(sentence: str) -> None:
    _, backend, scene = stage()
    ensure_training(TRAIN, scene)
    for ago, changes in SETTLED[sentence]:
        wrote(scene, ago, **changes)  # type: ignore[arg-type]  # fields of Entry
    wrote(scene, 0)
    ensure_training(TRAIN, scene)
    assert len(backend.asked) == 2


@pytest.mark.parametrize(("result", "waits"), [(Result.FAILED, False), (Result.UNKNOWN, True), (Result.DONE, True)])
def test_only_a_request_that_was_refused_is_known_to_have_done_nothing(result: Result, *, waits: bool) -> None:
    _, backend, scene = stage()
    ensure_training(TRAIN, scene)
    asked = wrote(scene, 20)
    wrote(scene, 19, Moment.OUTCOME, result=result, attempt_of=asked)
    wrote(scene, 0)
    if waits:
        with pytest.raises(Transient):
            ensure_training(TRAIN, scene)
    else:
        ensure_training(TRAIN, scene)
    assert len(backend.asked) == (1 if waits else 2)


STARTED = {"run": "run-7", "key": "key", "attempt": 2}
ON_RECORD: dict[str, tuple[dict[str, object], str | None]] = {
    "the ledger names the run that it was started as": ({"after": STARTED}, "run-7"),
    "a run of another key is none of it": ({"after": {**STARTED, "key": "other"}}, None),
    "a run of another attempt is none of it": ({"after": {**STARTED, "attempt": 1}}, None),
    "a request whose end nobody knows names no run": ({"after": STARTED, "result": Result.UNKNOWN}, None),
    "an intent names no run": ({"after": STARTED, "moment": Moment.INTENT}, None),
}


@pytest.mark.parametrize("sentence", ON_RECORD)
def test_a_run_that_is_on_record_is_asked_for_by_its_name(sentence: str) -> None:
    changes, run = ON_RECORD[sentence]
    _, backend, scene = stage()
    ensure_training(TRAIN, scene)
    wrote(scene, 3 * SETTLE, **{"moment": Moment.OUTCOME, "result": Result.DONE, **changes})  # type: ignore[arg-type]  # fields of Entry
    wrote(scene, 0)
    ensure_training(TRAIN, scene)
    assert backend.asked[-1].started_as == (run or "")


def test_a_run_that_is_on_record_is_not_waited_for() -> None:
    _, backend, scene = stage()
    ensure_training(TRAIN, scene)
    asked = wrote(scene, 20)
    wrote(scene, 19, Moment.OUTCOME, result=Result.DONE, attempt_of=asked, after=STARTED)
    wrote(scene, 0)
    ensure_training(TRAIN, scene)
    assert backend.asked[-1].started_as == "run-7"
