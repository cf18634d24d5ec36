"""Revisions that were ready and are not any more: who is given up, who is waited for, what is never done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.observed import (
    Failure,
    HeldField,
    Measurement,
    Memory,
    Order,
    OrderKind,
    Rejection,
    Side,
    Stage,
    TrafficTarget,
)
from reconciler.plan.action import (
    Analyse,
    BeginStep,
    CutTraffic,
    FinishRollback,
    Promote,
    Reject,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    Train,
    Withdraw,
)
from reconciler.plan.facts import unserved, wanted_digest
from reconciler.plan.marks import RolloutRecord
from reconciler.status import Health, Phase
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, Scene, spec, wanting

RESTORED = "iris-predictor-00003"
STEPS = [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]
CHECK = {"name": "answers", "interval": "2m", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
CHECKED: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK]}}
DOWN = frozenset({STABLE})
ALONE = (TrafficTarget(STABLE, 100, "latest", latest=True),)
GONE = Failure("RevisionFailed", "its container exits with code 137", terminal=False)


def canary(percent: int | None = 10, step: int = 1, age: timedelta = MINUTE, /, **changes: Any) -> Scene:
    return wanting().version(1, Stage.PRODUCTION).rolling(percent, step, age, **changes)


def checked(percent: int, age: timedelta = MINUTE, **changes: Any) -> Scene:
    return wanting(**CHECKED).version(1, Stage.PRODUCTION).rolling(percent, 1, age, **changes)


def seen(scene: Scene, **changes: Any) -> Scene:
    assert scene.live is not None
    return replace(scene, live=replace(scene.live, **changes))


def record(scene: Scene) -> RolloutRecord:
    found = RolloutRecord.from_tag(scene.versions[1].tags["reconciler.dev/rollout"])
    assert found is not None
    return found


def against(scene: Scene) -> Scene:
    rollout, wanted = record(scene), wanted_digest(scene.wanted.spec)
    return scene.sees(memory=Memory(rejections=(Rejection(rollout.release, wanted, "bad", NOW, rollout.started),)))


# A stable that crashed.


TARGETS: dict[str, tuple[tuple[TrafficTarget, ...], bool]] = {
    "all callers are sent to it": (ALONE, True),
    "the candidate beside it has none": ((TrafficTarget(CANDIDATE, 0), TrafficTarget(STABLE, 100)), True),
    "nobody is sent anywhere": ((), True),
    "the candidate has some": ((TrafficTarget(CANDIDATE, 10), TrafficTarget(STABLE, 90)), False),
}


@pytest.mark.parametrize("sentence", TARGETS)
def test_nobody_is_served_where_stable_is_not_ready_and(sentence: str) -> None:
    targets, expected = TARGETS[sentence]
    live = canary(0, 0, traffic=targets, unready=DOWN).live
    assert live is not None
    assert unserved(live, STABLE) is expected
    assert not unserved(replace(live, unready=frozenset()), STABLE)


def unserved_for(ago: timedelta | None, **changes: Any) -> Scene:
    since = {} if ago is None else {STABLE: NOW - ago}
    return canary(0, 0, traffic=ALONE, unready=DOWN, unready_since=since, **changes)


@pytest.mark.parametrize("ago", [MINUTE, 2 * MINUTE, None])
def test_a_candidate_that_is_ready_gets_everything_where_nobody_is_served(ago: timedelta | None) -> None:
    scene = unserved_for(ago)
    decision = scene.decide()
    assert decision.action == RouteAll(scene.release(2), STABLE)
    said = f"because stable is not ready: all callers are sent to {STABLE}, and no step can begin beside it"
    assert decision.reason == said


def test_a_stable_has_a_minute_to_come_back() -> None:
    decision = unserved_for(MINUTE - timedelta(seconds=1)).decide()
    assert decision.action is None
    assert decision.waits_for == f"{STABLE} to be ready again: all callers are sent to it"
    assert decision.look_again_at == NOW + timedelta(seconds=1)


WAITS: dict[str, tuple[Scene, object]] = {
    "the candidate is not ready": (unserved_for(None, latest_ready=STABLE), None),
    "stable is ready": (seen(unserved_for(None), unready=frozenset()), ShiftTraffic),
    "the first step has begun": (
        canary(10, 1, unready=DOWN, traffic=(TrafficTarget(CANDIDATE, 10), TrafficTarget(STABLE, 90, "prev"))), None,
    ),
    "the candidate has callers by now": (
        canary(10, 0, unready=DOWN),
        BeginStep,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", WAITS)
def test_it_does_not_get_everything_where(sentence: str) -> None:
    scene, kind = WAITS[sentence]
    action = scene.decide().action
    assert (type(action) if action else None) is kind


def promoted(scene: Scene) -> Scene:
    order = Order(OrderKind.PROMOTE, "ana", "", NOW, wanted_digest(scene.wanted.spec), record(scene).release)
    return scene.sees(memory=Memory(orders=(replace(order, rollout=record(scene).started),)))


def test_what_a_person_promotes_waits_for_no_minute() -> None:
    assert isinstance(promoted(unserved_for(timedelta())).decide().action, RouteAll)


def test_no_other_share_is_asked_for_while_stable_is_not_ready() -> None:
    scene = canary(10, 1, 11 * MINUTE, unready=DOWN)
    decision = scene.decide()
    assert (decision.action, decision.cause, decision.health) == (None, "StableNotReady", Health.DEGRADED)
    assert decision.stalled == f"version 2 gets no other share of the traffic: {STABLE} is not ready"
    assert decision.waits_for == f"{STABLE} to be ready again, or `reconciler promote`: all traffic goes without it"
    assert decision.look_again_at == record(scene).started + timedelta(hours=1)
    assert isinstance(promoted(scene).decide().action, RouteAll)


def test_a_share_that_does_not_show_as_stable_is_not_ready_is_told() -> None:
    shown = (TrafficTarget(CANDIDATE, 10, "latest", latest=True), TrafficTarget(STABLE, 90, "prev"))
    assert canary(50, 1, 11 * MINUTE, unready=DOWN, traffic=shown).decide().cause == "StableNotReady"
    assert canary(50, 1, 11 * MINUTE, traffic=shown).decide().cause == "NeedsChange"


def test_a_step_holds_on_and_is_measured_while_stable_is_not_ready() -> None:
    assert canary(10, 1, unready=DOWN).decide().stalled == ""
    assert isinstance(checked(10, 3 * MINUTE, unready=DOWN).decide().action, Analyse)
    assert isinstance(canary(50, 2, 11 * MINUTE, unready=DOWN).decide().action, RouteAll)


# A candidate that crashed.


def ill(percent: int | None = 10, step: int = 1, age: timedelta = MINUTE, /, **changes: Any) -> Scene:
    return canary(percent, step, age, unready=frozenset({CANDIDATE}), ready=False, failure=GONE, **changes)


@pytest.mark.parametrize(("percent", "step"), [(0, 0), (10, 1), (50, 2)])
def test_a_candidate_that_crashed_gets_no_more_callers(percent: int, step: int) -> None:
    scene = ill(percent, step, 11 * MINUTE)
    decision = scene.decide()
    assert decision.action is None
    assert decision.waits_for.startswith("candidate version 2 to become ready: its container exits")
    assert decision.look_again_at == record(scene).started + timedelta(hours=1)
    assert isinstance(scene.decide(NOW + timedelta(hours=2)).action, CutTraffic)


def test_a_candidate_that_crashed_is_measured_on_as_long_as_it_is_waited_for() -> None:
    lost = {"unready": frozenset({CANDIDATE}), "ready": False, "failure": GONE}
    due = checked(10, 3 * MINUTE, **lost)
    assert isinstance(due.decide().action, Analyse)
    side, question = Side(20, 0, (5.0,) * 20), due.question("answers")
    good = Measurement("answers", due.release(2), 1, NOW, side, side, question=question)
    passed = due.sees(memory=Memory(measurements=(good,))).decide()
    assert (passed.action, [c.check for c in passed.checks]) == (None, ["answers"])
    assert passed.look_again_at == NOW + 2 * MINUTE
    over = seen(checked(0, 3 * MINUTE, **lost))
    tag = replace(record(over), step=3).to_tag()
    beyond = replace(over, versions=over.versions[:1]).version(2, Stage.STAGING, rollout=tag)
    assert beyond.decide().action is None


def third(scene: Scene) -> Scene:
    return replace(scene.version(3), wanted=scene.wanted)


def test_a_candidate_that_crashed_and_is_superseded_gives_way_to_the_stable_template() -> None:
    scene = third(ill())
    assert scene.decide().action == ShiftTraffic(scene.release(2), 0, STABLE)
    shown = (TrafficTarget(CANDIDATE, 10, "latest", latest=True), TrafficTarget(STABLE, 90, "prev"))
    lowered = third(ill(0, 1, traffic=shown))
    decision = lowered.decide()
    assert decision.action == RestoreStable(scene.release(1))
    assert (
        decision.reason
        == f"because Git now wants {scene.release(3)}, not {scene.release(2)}, which is not ready any more"
    )


def over(scene: Scene, percent: int | None, targets: tuple[TrafficTarget, ...], **changes: Any) -> Scene:
    """Let the stable template be applied over the candidate."""
    assert scene.live is not None
    revisions = {**(scene.live.revisions or {}), RESTORED: scene.release(1)}
    base: dict[str, Any] = {
        "release": scene.release(1), "canary_percent": percent, "latest_created": RESTORED, "traffic": targets,
        "latest_ready": RESTORED, "revisions": revisions, "unready": frozenset({CANDIDATE}),
    }  # fmt: skip
    return seen(scene, **{**base, **changes})


HELD = (TrafficTarget(CANDIDATE, 10, "latest", latest=True), TrafficTarget(STABLE, 90, "prev"))
BACK = (TrafficTarget(RESTORED, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
RESTORING: dict[str, tuple[Scene, object]] = {
    "the restored template is not ready": (over(third(ill(0)), 0, HELD, latest_ready=CANDIDATE), None),
    "it crashed as well": (over(third(ill(0)), 0, HELD, unready=frozenset({CANDIDATE, RESTORED})), None),
    "it is ready, and callers are still sent to the candidate": (over(third(ill(0)), 0, HELD), FinishRollback),
    "the split is gone, and callers are still sent to the candidate": (over(third(ill(0)), None, HELD), None),
    "callers have left the candidate": (over(third(ill(0)), 0, BACK), StageCandidate),
    "callers have left it, and Git wants it once more": (over(ill(0), 0, BACK), StartCanary),
}


@pytest.mark.parametrize("sentence", RESTORING)
def test_after_that(sentence: str) -> None:
    scene, kind = RESTORING[sentence]
    action = scene.decide().action
    assert (type(action) if action else None) is kind


def test_where_git_changed_what_is_wanted_it_begins_anew_and_not_where_it_stopped() -> None:
    scene = over(ill(0), 0, BACK)
    tag = replace(record(scene), wanted="other").to_tag()
    changed = replace(scene, versions=scene.versions[:1]).version(2, Stage.STAGING, rollout=tag)
    assert changed.decide().action == StageCandidate(scene.release(2), scene.release(1), STABLE)


def test_callers_are_not_kept_at_a_candidate_that_is_ill_as_stable_is() -> None:
    both = frozenset({STABLE, CANDIDATE})
    assert isinstance(against(seen(ill(), unready=both)).decide().action, CutTraffic)
    assert isinstance(third(seen(ill(), unready=both)).decide().action, ShiftTraffic)


# Without a split, before all traffic shows.

HALF = (TrafficTarget(CANDIDATE, 50, "latest", latest=True), TrafficTarget(STABLE, 50, "prev"))


def test_a_candidate_that_crashed_before_its_promotion_shows_gives_way_to_what_git_wants() -> None:
    scene = ill(None, 2, traffic=HALF)
    decision = scene.decide()
    assert decision.waits_for.startswith(
        "all traffic to reach the candidate, which is not ready any more: its container"
    )
    assert decision.look_again_at == record(scene).started + timedelta(hours=1)
    assert decision.stalled.startswith("RevisionFailed")
    assert third(scene).decide().action == RestoreStable(scene.release(1))
    assert third(seen(scene, traffic=ALONE)).decide().action == RestoreStable(scene.release(1))
    pinned = wanting(promotion={"version": "1"}).version(1, Stage.PRODUCTION)
    reverted = pinned.rolling(None, 2, unready=frozenset({CANDIDATE}), traffic=HALF)
    assert reverted.decide().action == RestoreStable(scene.release(1))
    assert isinstance(scene.decide(NOW + timedelta(hours=2)).action, CutTraffic)


NOT_CUT_SHORT: dict[str, dict[str, Any]] = {
    "it is ready": {"traffic": HALF, "unready": frozenset()},
    "it has all traffic": {"traffic": (TrafficTarget(CANDIDATE, 100, "latest", latest=True),)},
    "stable alone is ill": {"traffic": HALF, "unready": DOWN},
}


@pytest.mark.parametrize("sentence", NOT_CUT_SHORT)
def test_what_was_given_everything_is_promoted_and_not_taken_back_where(sentence: str) -> None:
    scene = third(seen(ill(None, 2), **NOT_CUT_SHORT[sentence]))
    assert not isinstance(scene.decide(NOW + timedelta(hours=2)).action, (RestoreStable, CutTraffic, ShiftTraffic))


def test_a_candidate_that_crashed_with_all_traffic_is_promoted_so_that_the_next_one_may_begin() -> None:
    scene = seen(ill(None, 2), traffic=(TrafficTarget(CANDIDATE, 100, "latest", latest=True),))
    assert third(scene).decide().action == Promote(2, scene.release(2))


# A restored template that does not come up.


def hanging(**changes: Any) -> Scene:
    scene = over(canary(0), 0, BACK, latest_ready=CANDIDATE, ready=False)
    return against(seen(scene, **{"unready": frozenset(), **changes}))


def test_a_rollback_whose_stable_does_not_come_up_is_closed_where_git_wants_a_third_release() -> None:
    assert hanging().decide().waits_for.startswith("version 1 to be ready again")
    scene = third(hanging())
    decision = scene.decide()
    assert decision.action == Reject(scene.release(2), wanted_digest(scene.wanted.spec), Stage.ARCHIVED)
    assert decision.phase is Phase.ROLLING_BACK
    ill_too = third(hanging(latest_ready=RESTORED, unready=frozenset({RESTORED})))
    assert isinstance(ill_too.decide().action, Reject)


def test_such_a_rollback_is_closed_too_where_git_does_not_want_the_model_there_any_more() -> None:
    scene = over(canary(0), 0, BACK, latest_ready=CANDIDATE, ready=False, unready=frozenset())
    moved = scene.wants(spec=spec(serving=None))
    assert isinstance(moved.decide().action, Withdraw)
    assert isinstance(against(moved).decide().action, Reject)


@pytest.mark.parametrize("mode", ["Knative", "Standard"])
def test_a_rollout_whose_object_was_made_anew_of_another_release_is_closed(mode: str) -> None:
    scene = canary(0).version(4)
    other = scene.release(4)
    anew = (TrafficTarget(CANDIDATE, 100, "latest", latest=True),)
    made = seen(
        scene, mode=mode, release=other, beside=None, canary_percent=None, traffic=anew, latest_ready=CANDIDATE,
        revisions={CANDIDATE: other},
    )  # fmt: skip
    decision = against(made).decide()
    assert isinstance(decision.action, Reject)


KEPT: dict[str, Scene] = {
    "callers are still sent to the candidate": third(hanging(traffic=HELD)),
    "prev is not the recorded stable revision": third(
        hanging(traffic=(TrafficTarget(RESTORED, 0), TrafficTarget("iris-predictor-00000", 100, "prev")))
    ),
    "another revision has the stable one's name by now": third(
        hanging(revisions={STABLE: canary().release(2), RESTORED: canary().release(1)})
    ),
    "nothing is tagged prev": third(hanging(traffic=ALONE)),
}


@pytest.mark.parametrize("sentence", KEPT)
def test_it_goes_on_waiting_where(sentence: str) -> None:
    assert KEPT[sentence].decide().action is None


def test_a_restored_template_that_is_ready_ends_the_rollback_as_ever() -> None:
    assert isinstance(third(hanging(latest_ready=RESTORED)).decide().action, FinishRollback)


def closed(**changes: Any) -> Scene:
    """Let the rollback be closed, and the split still stand."""
    scene = hanging(**changes)
    return replace(scene, versions=scene.versions[:1]).version(2, Stage.ARCHIVED, gates="failed x", key="x")


def test_a_closed_rollback_is_gone_on_from_by_what_git_wants() -> None:
    scene = closed()
    decision = scene.decide()
    assert (decision.action, decision.waits_for) == (None, f"{scene.release(1)} to be ready again")
    assert third(scene).decide().action == StageCandidate(scene.release(3), scene.release(1), STABLE)
    up = closed(latest_ready=RESTORED)
    assert up.decide().action == FinishRollback(scene.release(1))
    assert closed(latest_ready=RESTORED, unready=frozenset({RESTORED})).decide().action is None


SHARE = HeldField(("f:spec", "f:predictor", "f:canaryTrafficPercent"), "kubectl-edit", 0)
BY_HAND: dict[str, Scene] = {
    "somebody holds its share": closed(held=(SHARE,)),
    "it has a share": closed(canary_percent=10),
    "the newest revision is the one that serves": closed(latest_created=STABLE, latest_ready=STABLE),
    "the newest revision is of another release": closed(revisions={STABLE: closed().release(1), RESTORED: None}),
    "nothing is tagged prev": closed(traffic=ALONE),
}


@pytest.mark.parametrize("sentence", BY_HAND)
def test_any_other_split_asks_for_a_person_where(sentence: str) -> None:
    decision = BY_HAND[sentence].decide()
    assert decision.action is None
    assert "but no rollout is on record" in decision.stalled


def test_a_training_begins_while_a_rollback_waits_and_its_version_is_judged() -> None:
    training = {"kubeflowPipeline": {"package": "pipelines/iris.yaml"}, "parameters": {"n": 2}}
    scene = hanging()
    retrained = replace(scene, wanted=wanting(training=training).wanted)
    assert isinstance(retrained.decide().action, Train)
    withdrawn = scene.sees(memory=Memory())
    assert not isinstance(withdrawn.decide().action, (Train, Withdraw))
