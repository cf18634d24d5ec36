"""What people are told of a model beside what is decided."""

from __future__ import annotations

from typing import Any

from reconciler.desired.state import Diagnostic
from reconciler.observed import Release, TrafficTarget
from reconciler.status import RunningStep, SpecProblem
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, settled

RESTORED = "iris-predictor-00003"


def test_of_a_canary_both_sides_show_what_was_asked_for() -> None:
    live = settled().rolling(10, step=1).status().live
    assert [(share.version, share.set_percent, share.percent) for share in live] == [(2, 10, 10), (1, 90, 90)]


def test_while_stable_is_restored_nothing_is_asked_for_the_candidate() -> None:
    scene = settled()
    traffic = (TrafficTarget(CANDIDATE, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
    back: dict[str, Any] = {
        "release": scene.release(1),
        "traffic": traffic,
        "latest_created": RESTORED,
        "latest_ready": CANDIDATE,
    }
    for changes in (back, {**back, "latest_created": CANDIDATE}):
        live = scene.rolling(0, step=1, **changes).status().live
        assert [(share.version, share.set_percent, share.percent) for share in live] == [(2, None, 0), (1, 100, 100)]


def test_what_is_asked_for_a_revision_that_is_not_the_object_s_is_not_known() -> None:
    (share, _) = settled().rolling(10, step=1, release=Release(3, "abc")).status().live
    assert (share.version, share.set_percent) == (2, None)


def test_a_suspended_model_in_sync_is_ready_and_says_why_nothing_starts() -> None:
    ready = settled(suspend=True).status().conditions.ready
    assert (ready.status, ready.message) == ("True", "spec.suspend is true; no new action starts")
    assert settled(suspend=True).serving(1, ready=False).status().conditions.ready.status == "False"


def test_a_canary_tells_its_step_and_until_when_that_is_held() -> None:
    assert settled().rolling(10, step=1).status().step == RunningStep(1, 2, NOW + 9 * MINUTE)
    assert settled().rolling(50, step=2, age=10 * MINUTE).status().step is None, "every step is over"
    assert settled().rolling(0).status().step is None
    approved = settled(rollout={"steps": [{"traffic": 10, "hold": "untilApproved"}]}).rolling(10, step=1)
    assert approved.status().step == RunningStep(1, 1, None)


def test_a_measurement_that_is_due_is_told_with_its_check_and_step() -> None:
    check = {"name": "answers", "probe": {"inputs": {"from": "inputExample"}}}
    rollout = {"steps": [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}], "analysis": [check]}
    told = settled(rollout=rollout).rolling(10, step=1).status()
    assert told.conditions.reconciling.message == "because check answers is due in step 1 of 2"


def test_a_spec_that_cannot_be_used_is_told_with_its_commit_and_its_fix_and_no_condition_says_otherwise() -> None:
    wrong = Diagnostic("unknown-field", "no such field", "models/iris.yaml", 3, 5, help="did you mean promotion?")
    told = settled().wants(stale=(wrong,), refused="9be0d13").status()
    assert told.last_attempted_commit == "9be0d13"
    assert told.problems == (
        SpecProblem("unknown-field", "no such field", "models/iris.yaml", 3, "did you mean promotion?"),
    )
    ready, stalled = told.conditions.ready, told.conditions.stalled
    assert (ready.status, stalled.status) == ("False", "True")
    assert ready.message == stalled.message == "models/iris.yaml:3:5: no such field; the spec of 4f2c1ab stays"


def test_a_problem_without_a_place_names_the_file_alone() -> None:
    told = settled().wants(stale=(Diagnostic("removal-held", "no document", "models/iris.yaml"),)).status()
    assert told.conditions.stalled.message == "models/iris.yaml: no document; the spec of 4f2c1ab stays"
