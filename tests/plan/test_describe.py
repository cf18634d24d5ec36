"""What people are told of a model beside what is decided."""

from __future__ import annotations

from typing import Any

from reconciler.observed import Release, TrafficTarget
from reconciler.status import RunningStep
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
