"""The whole way to convergence: which actions, when, and what is there at its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.observed import (
    Failure,
    InferenceService,
    Known,
    Measurement,
    Memory,
    ModelVersion,
    ObservedModel,
    RegisteredModel,
    RunState,
    Side,
    Stage,
)
from reconciler.plan.forecast import Assumptions, Way, forecast
from reconciler.plan.planner import Rules
from reconciler.registry_roles import CHAMPION, role
from tests.plan.scenes import MINUTE, NOW, UNKNOWN, Scene, settled, spec, wanting

ASSUMED = Assumptions(training=timedelta(minutes=10), ready=timedelta(minutes=1))
ONE_STEP: dict[str, Any] = {"rollout": {"steps": [{"traffic": 10, "hold": "10m"}]}}
CHECK = {"name": "answers", "interval": "2m", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
CHECKED: dict[str, Any] = {"rollout": {"steps": [{"traffic": 10, "hold": "10m"}], "analysis": [CHECK]}}
OTHER_FILES = {"pipelines/iris.yaml": b"new"}


def seen(scene: Scene) -> ObservedModel:
    registered = RegisteredModel("iris", scene.versions) if scene.versions else None
    return replace(ObservedModel(Known(registered, NOW), Known(scene.live, NOW), Known((), NOW)), **scene.seen)


def way(scene: Scene) -> Way:
    return forecast(scene.wanted, seen(scene), Rules(scene.policy, scene.guard), NOW, ASSUMED)


def steps(found: Way) -> list[str]:
    return [f"{int(s.after / MINUTE)} {type(s.action).__name__}" for s in found.steps]


def roles(found: Way) -> dict[int, Stage]:
    return {v.version: role(v) for v in versions(found)}


def versions(found: Way) -> tuple[ModelVersion, ...]:
    assert isinstance(found.world.registry, Known)
    return found.world.registry.value.versions if found.world.registry.value else ()


def live(found: Way) -> InferenceService | None:
    assert isinstance(found.world.serving, Known)
    return found.world.serving.value


def canary(percent: int | None = 10, step: int = 1, **changes: Any) -> Scene:
    return wanting(**{**ONE_STEP, **changes}).version(1, Stage.PRODUCTION).rolling(percent, step)


def failing() -> Scene:
    scene = canary(**CHECKED)
    stable, question = Side(20, 0, (5.0,) * 20), scene.question("answers")
    bad = Measurement("answers", scene.release(2), 1, NOW, Side(20, 20), stable, question=question)
    return scene.sees(memory=Memory(measurements=(bad,)))


PRODUCTION, STAGING, ARCHIVED, NONE = Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED, Stage.NONE
ROLLOUT = ["StageCandidate", "StartCanary"]
TABLE: dict[str, tuple[Scene, list[str], dict[int, Stage]]] = {
    "nothing yet": (wanting(), ["0 Train", "10 Deploy", "11 Promote"], {1: PRODUCTION}),
    "as Git says": (settled(), [], {1: PRODUCTION}),
    "a proven version": (wanting().version(1), ["0 Deploy", "1 Promote"], {1: PRODUCTION}),
    "a version that serves and is not promoted": (wanting().version(1).serving(1), ["0 Promote"], {1: PRODUCTION}),
    "a newer version": (
        settled(**ONE_STEP).version(2),
        ["0 StageCandidate", "0 StartCanary", "1 ShiftTraffic", "1 BeginStep", "11 RouteAll", "11 Promote"],
        {1: ARCHIVED, 2: PRODUCTION},
    ),
    "a newer version, measured on its way": (
        settled(**CHECKED).version(2),
        ["0 StageCandidate", "0 StartCanary", "1 ShiftTraffic", "1 BeginStep",
         "1 Analyse", "3 Analyse", "5 Analyse", "7 Analyse", "9 Analyse", "11 Analyse", "11 RouteAll", "11 Promote"],
        {1: ARCHIVED, 2: PRODUCTION},
    ),
    "other parameters": (
        settled(**ONE_STEP).wants(files=OTHER_FILES),
        ["0 Train", "10 StageCandidate", "10 StartCanary", "11 ShiftTraffic", "11 BeginStep", "21 RouteAll",
         "21 Promote"],
        {1: ARCHIVED, 2: PRODUCTION},
    ),
    "a training of other parameters is under way": (
        settled().runs(RunState.RUNNING, key="x"), ["0 StopTraining"], {1: PRODUCTION},
    ),
    "a version that is held against its gates": (
        settled(**ONE_STEP).version(2, gates=None).evidence(2, accuracy=0.95),
        ["0 RecordGates", "0 StageCandidate", "0 StartCanary", "1 ShiftTraffic", "1 BeginStep", "11 RouteAll",
         "11 Promote"],
        {1: ARCHIVED, 2: PRODUCTION},
    ),
    "a canary on its way": (canary(), ["9 RouteAll", "9 Promote"], {1: ARCHIVED, 2: PRODUCTION}),
    "a canary that fails": (
        failing(), ["0 CutTraffic", "0 RestoreStable", "1 FinishRollback", "1 Reject"], {1: PRODUCTION, 2: ARCHIVED},
    ),
    "a canary that Git does not want any more": (
        canary(promotion={"version": "1"}),
        ["0 ShiftTraffic", "0 RestoreStable", "1 FinishRollback", "1 Withdraw"], {1: PRODUCTION, 2: ARCHIVED},
    ),
    "a version that is left in Staging": (
        settled().version(2, STAGING, gates="failed x", key="of another recipe"), ["0 Archive"],
        {1: PRODUCTION, 2: ARCHIVED},
    ),
    "drift": (settled().sees(drift=Known(("spec.x",), NOW)), ["0 PutBack"], {1: PRODUCTION}),
    "a spec that left Git": (
        settled().version(2).wants(removed=True), ["0 TakeDown", "0 ArchiveAll", "0 LetGo"], {1: ARCHIVED, 2: ARCHIVED},
    ),
    "a spec that left Git and is to be deleted": (
        settled(retention={"onRemoval": "delete"}).wants(removed=True), ["0 TakeDown", "0 DeleteModel", "0 LetGo"], {},
    ),
    "a spec that left Git and is retained": (
        settled(retention={"onRemoval": "retain"}).wants(removed=True), ["0 LetGo"], {1: PRODUCTION},
    ),
    "a spec that is not served any more": (
        settled().wants(spec=spec(serving=None)), ["0 TakeDown"], {1: PRODUCTION},
    ),
    "the registry does not answer": (settled().sees(registry=UNKNOWN), [], {}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", [s for s in TABLE if s != "the registry does not answer"])
def test_the_way(sentence: str) -> None:
    scene, expected, ends = TABLE[sentence]
    found = way(scene)
    assert steps(found) == expected
    assert roles(found) == ends


@pytest.mark.parametrize("sentence", [s for s in TABLE if s != "the registry does not answer"])
def test_at_the_end_of_the_way_there_is_nothing_left_to_do(sentence: str) -> None:
    scene, _, _ = TABLE[sentence]
    found = way(scene)
    if found.forgotten:
        return
    again = forecast(scene.wanted, found.world, Rules(scene.policy), NOW + found.took, ASSUMED)
    assert again.steps == ()
    assert again.last.stalled or again.last.sync == "Synced"


def test_where_a_system_does_not_answer_the_way_ends_at_once() -> None:
    for changes in ({"registry": UNKNOWN}, {"serving": UNKNOWN}):
        found = way(settled().sees(**changes))
        assert (found.steps, found.took, found.last.sync) == ((), timedelta(), "Unknown")


def test_at_the_end_one_revision_has_all_traffic_and_no_split_is_left() -> None:
    for sentence in ("a newer version", "a canary on its way", "a canary that fails", "nothing yet"):
        served = live(way(TABLE[sentence][0]))
        assert served is not None
        assert served.canary_percent is None
        assert [t.percent for t in served.traffic] == [100]
        assert served.traffic[0].revision == served.latest_ready == served.latest_rolledout == served.latest_created


def test_what_is_rolled_back_is_not_foretold_to_be_tried_again() -> None:
    found = way(failing())
    assert found.last.stalled == "version 2 was rolled back: its rollout went wrong"


def test_an_alias_goes_with_its_role() -> None:
    scene = settled(**ONE_STEP).version(2)
    first = replace(scene.versions[0], aliases=frozenset({CHAMPION}))
    found = way(replace(scene, versions=(first, *scene.versions[1:])))
    assert roles(found) == {1: ARCHIVED, 2: PRODUCTION}
    assert all(not v.aliases for v in versions(found))


def test_a_hold_or_a_freeze_is_waited_for_but_no_trigger_of_another_day() -> None:
    training = {"kubeflowPipeline": {"package": "pipelines/iris.yaml"}, "parameters": {"n": 1}}
    found = way(settled(training={**training, "triggers": {"maxAge": "2d"}}))
    assert found.steps == ()
    assert found.took == timedelta()


def test_what_asks_for_a_person_ends_the_way() -> None:
    broken = {
        "failure": Failure("NoRuntime", "none", terminal=True),
        "ready": False,
        "latest_ready": None,
        "traffic": (),
    }
    found = way(wanting().version(1).serving(1, **broken))
    assert found.steps == ()
    assert "NoRuntime" in found.last.stalled


def test_the_next_version_is_numbered_above_all_others() -> None:
    scene = settled(**ONE_STEP).version(7, ARCHIVED).wants(files=OTHER_FILES)
    assert max(roles(way(scene))) == 8
