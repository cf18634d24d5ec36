"""When a training is due, under which key, and what becomes of its runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.desired.digest import digest
from reconciler.observed import (
    TAG_TRAINING_KEY,
    Memory,
    ModelVersion,
    Order,
    OrderKind,
    RegisteredModel,
    RunState,
    Stage,
    TrainingRun,
)
from reconciler.observed import Known as Seen
from reconciler.plan.action import StopTraining, Train
from reconciler.plan.decision import Decision
from reconciler.plan.facts import wanted_digest
from reconciler.plan.training import due_training, next_trigger, of_recipe, recipe_of
from reconciler.status import Health, Phase
from tests.plan.scenes import MINUTE, NOW, PIPELINE, UNKNOWN, Scene, settled, wanting

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def training(**changes: Any) -> dict[str, Any]:
    return {"training": {"kubeflowPipeline": {"package": PIPELINE}, "parameters": {"n": 1}, **changes}}


def triggered(**triggers: Any) -> dict[str, Any]:
    return training(triggers=triggers)


def key(scene: Scene) -> str:
    recipe = recipe_of(scene.wanted)
    assert recipe is not None
    return recipe


def made(scene: Scene, at: datetime, number: int = 1, stage: Stage = Stage.PRODUCTION, tag: str = "") -> ModelVersion:
    """Return a version that was registered at a time."""
    (version,) = replace(scene, versions=()).version(number, stage, key=tag or key(scene)).versions
    return replace(version, created_at=at)


def due(scene: Scene, *versions: ModelVersion, now: datetime = NOW) -> str | None:
    found = due_training(scene.wanted, RegisteredModel("iris", versions), now)
    return found.key if found else None


# Under which key.


def test_the_recipe_is_the_pipeline_s_bytes_and_the_parameters_and_nothing_else() -> None:
    base = wanting()
    assert key(base) == key(wanting(**training(timeout="9h", triggers={"maxAge": "30d"})))
    assert key(base) != key(wanting(**training(parameters={"n": 2})))
    assert key(base) != recipe_of(replace(base.wanted, files={PIPELINE: b"other"}))
    assert recipe_of(wanting(training=None).wanted) is None


def test_a_pipeline_that_the_api_knows_is_its_name_and_version() -> None:
    def named(name: str, version: str) -> str:
        return key(wanting(**training(kubeflowPipeline={"package": {"name": name, "version": version}})))

    assert named("a", "1") == digest({"backend": "a@1", "parameters": {"n": 1}})
    assert len({named("a", "1"), named("a", "2"), named("b", "1")}) == 3


@pytest.mark.parametrize(
    ("tag", "ours"), [("r", True), ("r-s202601010000", True), ("r2", False), ("", False), ("x", False)]
)
def test_a_version_is_of_its_recipe_whatever_triggered_it(tag: str, *, ours: bool) -> None:
    version = replace(made(wanting(), NOW), tags={TAG_TRAINING_KEY: tag} if tag else {})
    assert of_recipe(version, "r") is ours


# When it is due.


def test_a_change_trains_once_and_says_whether_anything_is_there() -> None:
    scene = wanting()
    assert due(scene) == key(scene)
    assert due(scene, made(scene, NOW)) is None
    other = made(scene, NOW, tag="other")
    assert due(scene, other) == key(scene)
    first, second = (
        due_training(scene.wanted, None, NOW),
        due_training(scene.wanted, RegisteredModel("iris", (other,)), NOW),
    )
    assert first is not None
    assert second is not None
    assert (first.why, second.why) == ("nothing is registered", "training.parameters or the pipeline changed")


def test_a_change_trains_nothing_where_git_says_so_or_where_the_spec_left_git() -> None:
    scene = wanting(**triggered(onChange=False))
    assert due(scene) is None
    assert due_training(wanting().wants(removed=True).wanted, None, NOW) is None
    assert due_training(wanting(training=None).wanted, None, NOW) is None


def test_a_schedule_trains_under_a_key_of_its_own_when_the_newest_version_is_older_than_the_fire() -> None:
    scene = wanting(**triggered(schedule="0 3 * * *"))
    fire = NOW.replace(hour=3, minute=0)
    assert due(scene, made(scene, fire - HOUR)) == f"{key(scene)}-s202608200300"
    assert due(scene, made(scene, fire)) is None
    assert due(scene, made(scene, fire - DAY), made(scene, fire + HOUR, 2)) is None
    assert due(scene, made(scene, fire + HOUR), made(scene, fire - DAY, 2)) is None
    fired = f"{key(scene)}-s202608200300"
    assert due(scene, made(scene, fire - DAY), made(scene, fire - HOUR, 2, tag=fired)) is None


def test_a_schedule_alone_does_not_train_what_was_never_trained() -> None:
    scene = wanting(**triggered(schedule="0 3 * * *", onChange=False))
    assert due(scene) is None


def test_a_production_version_that_is_too_old_trains_and_one_that_is_just_old_enough_does_not() -> None:
    scene = wanting(**triggered(maxAge="30d"))
    old = made(scene, NOW - timedelta(days=30, seconds=1), 7)
    assert due(scene, old) == f"{key(scene)}-a7"
    assert due(scene, made(scene, NOW - timedelta(days=30), 7)) is None
    assert due(scene, made(scene, NOW - timedelta(days=90), 7, Stage.ARCHIVED)) is None
    assert due(scene, old, made(scene, NOW - DAY, 8)) is None
    assert due(wanting(), made(wanting(), NOW - timedelta(days=900), 7)) is None


def test_the_next_trigger_is_the_nearest_that_is_still_to_come() -> None:
    scene = wanting(**triggered(schedule="0 3 * * *", maxAge="2d"))
    fire = (NOW + DAY).replace(hour=3, minute=0)
    old, young = made(scene, NOW - DAY - 12 * HOUR), made(scene, NOW - HOUR)
    registered = RegisteredModel("iris", (old,))
    assert next_trigger(scene.wanted, registered, NOW) == NOW + 12 * HOUR + timedelta(seconds=1)
    assert next_trigger(scene.wanted, RegisteredModel("iris", (young,)), NOW) == fire
    assert next_trigger(scene.wanted, None, NOW) == fire
    assert next_trigger(scene.wanted, RegisteredModel("iris", (made(scene, NOW - 9 * DAY),)), NOW) == fire
    archived = RegisteredModel("iris", (replace(old, stage=Stage.ARCHIVED),))
    assert next_trigger(scene.wanted, archived, NOW) == fire
    assert next_trigger(wanting().wanted, registered, NOW) is None
    assert next_trigger(wanting(training=None).wanted, registered, NOW) is None


def test_a_trigger_that_is_now_has_fired() -> None:
    scene = wanting(**triggered(maxAge="2d"))
    just = RegisteredModel("iris", (made(scene, NOW - 2 * DAY - timedelta(seconds=1)),))
    assert next_trigger(scene.wanted, just, NOW) is None


# What becomes of runs.


def run(scene: Scene, state: RunState, attempt: int = 1, **changes: Any) -> TrainingRun:
    return replace(TrainingRun(key(scene), attempt, f"run-{attempt}", state, NOW - MINUTE), **changes)


def running(scene: Scene, *runs: TrainingRun) -> Scene:
    return scene.sees(runs=Seen(runs, NOW))


def test_runs_that_cannot_be_read_are_waited_for() -> None:
    decision = wanting().sees(runs=UNKNOWN).decide()
    assert (decision.health, decision.phase) == (Health.UNKNOWN, Phase.TRAINING)


def test_a_run_that_has_registered_its_version_ends_by_itself() -> None:
    scene = settled()
    assert running(scene, run(scene, RunState.RUNNING)).decide().action is None
    other = run(scene, RunState.RUNNING, key="other")
    assert running(scene, other).decide().action == StopTraining("run-1", "other")


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED])
def test_a_run_that_has_ended_is_not_stopped(state: RunState) -> None:
    scene = settled()
    assert running(scene, run(scene, state, key="other")).decide().action is None


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.RUNNING])
def test_a_run_under_way_is_waited_for_until_its_timeout_and_stopped_then(state: RunState) -> None:
    scene = wanting(**training(timeout="2h"))
    waiting = running(scene, run(scene, state)).decide()
    assert (waiting.action, waiting.look_again_at) == (None, NOW - MINUTE + 2 * HOUR)
    late = running(scene, run(scene, state, created_at=NOW - 2 * HOUR)).decide()
    assert late.action == StopTraining("run-1", key(scene))
    early = running(scene, run(scene, state, created_at=NOW - 2 * HOUR + timedelta(seconds=1)))
    assert early.decide().action is None


def test_another_training_that_is_wanted_now_stops_the_one_under_way() -> None:
    scene = wanting()
    decision = running(scene, run(scene, RunState.RUNNING, key="other")).decide()
    assert decision.action == StopTraining("run-1", "other")
    assert decision.reason == f"Git now wants another training ({key(scene)})"


def test_a_run_that_succeeded_has_two_minutes_until_its_version_is_seen() -> None:
    scene = wanting()
    for ended, waits in ((NOW - 2 * MINUTE + timedelta(seconds=1), True), (NOW - 2 * MINUTE, False)):
        decision = running(scene, run(scene, RunState.SUCCEEDED, finished_at=ended)).decide()
        assert decision.action is None
        assert bool(decision.stalled) is not waits
        assert decision.look_again_at == (ended + 2 * MINUTE if waits else None)
    untimed = running(scene, run(scene, RunState.SUCCEEDED)).decide()
    assert untimed.look_again_at == NOW + MINUTE
    late = running(scene, run(scene, RunState.SUCCEEDED, created_at=NOW - HOUR, finished_at=NOW)).decide()
    assert late.look_again_at == NOW + 2 * MINUTE


def test_the_last_run_decides() -> None:
    scene = wanting()
    failed = run(scene, RunState.FAILED, finished_at=NOW - HOUR)
    decision = running(scene, failed, run(scene, RunState.SUCCEEDED, 2, finished_at=NOW)).decide()
    assert "run-2 to appear in the registry" in decision.waits_for


BACKOFF = {"limit": 2, "backoff": "10m"}


@pytest.mark.parametrize(("failures", "wait"), [(1, 10 * MINUTE), (2, 20 * MINUTE)])
def test_the_backoff_doubles_and_counts_from_the_end_of_the_last_run(failures: int, wait: timedelta) -> None:
    scene = wanting(**training(retries=BACKOFF))
    runs = [run(scene, RunState.FAILED, n, created_at=NOW - HOUR, cause="boom") for n in range(1, failures + 1)]
    for ended, action in ((NOW - wait, Train(key(scene), failures + 1)), (NOW - wait + timedelta(seconds=1), None)):
        decision = running(scene, *runs[:-1], replace(runs[-1], finished_at=ended)).decide()
        assert decision.action == action
        if action is None:
            assert (decision.look_again_at, decision.health) == (ended + wait, Health.DEGRADED)


def test_a_failed_run_of_which_nobody_knows_when_it_ended_counts_from_its_begin() -> None:
    scene = wanting(**training(retries=BACKOFF))
    decision = running(scene, run(scene, RunState.FAILED)).decide()
    assert (decision.action, decision.look_again_at) == (None, NOW - MINUTE + 10 * MINUTE)


def test_after_more_failures_than_retries_a_person_is_asked() -> None:
    scene = wanting(**training(retries=BACKOFF))
    runs = [run(scene, RunState.FAILED, n, finished_at=NOW - 9 * HOUR) for n in (1, 2, 3)]
    decision = running(scene, *runs).decide()
    assert decision.stalled == "training failed 3 times, the last time: the run gave no cause"
    assert running(scene, *runs[:2]).decide().action == Train(key(scene), 3)


def test_a_run_that_was_stopped_counts_only_if_it_took_as_long_as_it_may() -> None:
    scene = wanting(**training(timeout="2h", retries={"limit": 0, "backoff": "10m"}))
    for took, counts in ((2 * HOUR, True), (2 * HOUR - timedelta(seconds=1), False)):
        stopped = run(scene, RunState.STOPPED, created_at=NOW - took, finished_at=NOW)
        assert bool(running(scene, stopped).decide().stalled) is counts
    assert running(scene, run(scene, RunState.STOPPED)).decide().action == Train(key(scene), 2)


def test_attempts_are_counted_above_all_that_were() -> None:
    scene = wanting()
    runs = (run(scene, RunState.STOPPED, 5), run(scene, RunState.STOPPED, 2))
    assert running(scene, *runs).decide().action == Train(key(scene), 6)
    assert running(scene).decide().action == Train(key(scene), 1)
    assert running(scene, run(scene, RunState.FAILED, key="other")).decide().action == Train(key(scene), 1)


def test_a_training_that_is_retried_by_hand_begins_at_once_with_its_retries_anew() -> None:
    scene = wanting()
    wanted = wanted_digest(scene.wanted.spec)
    order = Order(OrderKind.RETRY, "ana", "it has room now", NOW, wanted, key=key(scene), attempt=2)
    failed = [run(scene, RunState.FAILED, attempt) for attempt in (1, 2, 3)]

    def after(count: int) -> Decision:
        return running(scene, *failed[:count]).sees(memory=Memory(orders=(order,))).decide()

    assert (after(2).action, after(2).reason) == (
        Train(key(scene), 3),
        "because retried by ana: it has room now",
    )
    assert after(3).waits_for.startswith("the next attempt after a failed training")
    assert after(3).look_again_at == running(scene, failed[0]).decide().look_again_at, "the backoff begins anew"
