"""How a step is held, and how long a rollout may take: a duration, a person, a window; strategies and reverts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.desired.documents import PolicySpec
from reconciler.observed import TAG_RELEASE, Memory, Order, OrderKind, Side, Stage
from reconciler.plan.action import Analyse, BeginStep, CutTraffic, RouteAll, ShiftTraffic
from reconciler.plan.hold import over_since
from reconciler.plan.marks import release_to_tag
from tests.plan.scenes import MINUTE, NOW, STABLE, Scene, wanting
from tests.plan.test_rollout import CHECK, PULLING, canary, measured, record, recorded, seen
from tests.plan.test_rules import facts_of

DAY = timedelta(days=1)
# NOW is a Thursday, 09:30.
OPEN, SHUT = {"cron": "0 9 * * *", "duration": "1h"}, {"cron": "0 11 * * *", "duration": "1h"}


def held(hold: Any, second: str = "10m", **changes: Any) -> dict[str, Any]:
    return {"rollout": {"steps": [{"traffic": 10, "hold": hold}, {"traffic": 50, "hold": second}], **changes}}


def approved(scene: Scene, step: int = 1) -> Scene:
    found = record(scene)
    order = Order(OrderKind.APPROVE, "ana", "it looks good", NOW, "", found.release, found.started, step=step)
    return scene.sees(memory=Memory(orders=(order,)))


HOLDS: dict[str, tuple[Scene, bool, str]] = {
    "until somebody approves": (
        canary(age=DAY, **held("untilApproved")), False, "approval of step 1 of 2, or a commit without that hold",
    ),
    "until somebody approved": (approved(canary(**held("untilApproved"))), True, "step 1 passed"),
    "another step was approved": (approved(canary(**held("untilApproved")), 2), False, "approval of step 1 of 2"),
    "a window that is open": (canary(**held(OPEN)), True, "step 1 passed"),
    "a window that opens later": (
        canary(**held(SHUT)), False, "the window after step 1 of 2, which opens on 2026-08-20 at 11:00Z",
    ),
    "a window that has just shut": (
        canary(**held({"cron": "30 8 * * *", "duration": "1h"})), False, "opens on 2026-08-21 at 08:30Z",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", HOLDS)
def test_a_step_is_held(sentence: str) -> None:
    scene, left, words = HOLDS[sentence]
    decision = scene.decide()
    assert (decision.action == ShiftTraffic(scene.release(2), 50, STABLE)) is left
    assert words in decision.reason + decision.waits_for


OVER: dict[str, tuple[Scene, timedelta]] = {
    "a duration": (canary(age=DAY, **held("10m")), 10 * MINUTE - DAY),
    "an approval": (approved(canary(age=DAY, **held("untilApproved"))), timedelta()),
    "a window that opened while the step ran": (canary(age=DAY, **held(OPEN)), -30 * MINUTE),
    "a window that was open when the step began": (canary(age=MINUTE, **held(OPEN)), -MINUTE),
}


@pytest.mark.parametrize("sentence", OVER)
def test_since_when_nothing_holds_a_step(sentence: str) -> None:
    scene, since = OVER[sentence]
    (step, _) = scene.wanted.spec.rollout.course
    assert over_since(facts_of(scene), record(scene), step) == NOW + since


def test_a_window_is_looked_at_again_when_it_opens_and_an_approval_by_no_clock() -> None:
    assert canary(**held(SHUT)).decide().look_again_at == NOW + 90 * MINUTE
    assert canary(**held("untilApproved")).decide().look_again_at is None


def test_a_step_that_waits_for_a_person_goes_on_being_measured() -> None:
    scene = canary(age=5 * MINUTE, **held("untilApproved", analysis=[CHECK]))
    assert scene.decide().action == Analyse(scene.release(2), 1, "answers")
    waiting = scene.sees(memory=Memory(measurements=measured(scene, MINUTE))).decide()
    assert (waiting.action, waiting.look_again_at) == (None, NOW + MINUTE)
    bad = scene.sees(memory=Memory(measurements=measured(scene, MINUTE, candidate=Side(20, 20)))).decide()
    assert isinstance(bad.action, CutTraffic)


def test_an_approval_does_not_stand_for_proof() -> None:
    scene = canary(age=5 * MINUTE, **held("untilApproved", analysis=[CHECK]))
    few = measured(scene, MINUTE, candidate=Side(1, 0, (5.0,)))
    memory = replace(approved(scene).seen["memory"], measurements=few)
    decision = scene.sees(memory=memory).decide()
    assert (decision.action, decision.waits_for) == (None, "answers: 1 of 20 samples, not counted yet")


@pytest.mark.parametrize("hold", ["untilApproved", SHUT])
def test_the_deadline_stands_still_while_a_person_or_a_window_is_waited_for(hold: Any) -> None:
    assert canary(age=DAY, **held(hold)).decide().action is None
    assert isinstance(seen(canary(age=DAY), latest_ready=STABLE).decide().action, CutTraffic)


def test_the_deadline_does_not_fall_due_by_the_commit_that_ends_the_waiting() -> None:
    waited = recorded(canary(age=DAY), waits=True)
    assert waited.decide().action == ShiftTraffic(waited.release(2), 50, STABLE)


def test_the_deadline_counts_anew_after_a_person_was_waited_for() -> None:
    late = seen(canary(50, 2, age=DAY, **held("untilApproved")), latest_ready=STABLE)
    assert isinstance(late.decide().action, CutTraffic)
    counted = recorded(late, counted=NOW - 59 * MINUTE)
    assert (counted.decide().action, counted.decide().look_again_at) == (None, NOW + MINUTE)
    assert isinstance(recorded(late, counted=NOW - 60 * MINUTE).decide().action, CutTraffic)


def test_a_pause_that_ended_before_the_deadline_counts_anew_does_not_put_it_off_a_second_time() -> None:
    late = seen(canary(50, 2, age=DAY, **held("untilApproved")), latest_ready=STABLE)
    scene = recorded(late, counted=NOW - 60 * MINUTE)
    found = record(scene)
    paused, resumed = (
        Order(kind, "ana", "logs", found.started + hours * 60 * MINUTE, "", found.release, found.started)
        for kind, hours in ((OrderKind.PAUSE, 1), (OrderKind.RESUME, 20))
    )
    assert isinstance(scene.sees(memory=Memory(orders=(paused, resumed))).decide().action, CutTraffic)


# Strategies.

GREEN: dict[str, Any] = {"rollout": {"strategy": "blueGreen", "hold": "5m", "analysis": [CHECK]}}


def test_blue_green_is_measured_at_no_traffic_and_then_gets_everything() -> None:
    assert canary(0, 0, **GREEN).decide().action == BeginStep(canary().release(2), 1, NOW)
    begun = recorded(canary(0, 1, age=4 * MINUTE, **GREEN), percent=0)
    assert begun.decide().action == Analyse(begun.release(2), 1, "answers")
    proven = Memory(measurements=measured(begun, MINUTE))
    assert begun.sees(memory=proven).decide().waits_for == "the hold of step 1 of 1 to end"
    over = recorded(canary(0, 1, age=5 * MINUTE, **GREEN), percent=0)
    passed = over.sees(memory=Memory(measurements=measured(over, MINUTE))).decide()
    assert passed.action == RouteAll(over.release(2), STABLE)
    failed = over.sees(memory=Memory(measurements=measured(over, MINUTE, candidate=Side(20, 20)))).decide()
    assert isinstance(failed.action, CutTraffic)
    assert "answers failed at 0 %" in failed.reason


def test_immediate_gets_everything_once_it_is_ready_and_not_before() -> None:
    scene = canary(0, 0, rollout={"strategy": "immediate"})
    assert scene.decide().action == RouteAll(scene.release(2), STABLE)
    waiting = seen(scene, latest_ready=STABLE)
    assert waiting.decide().waits_for == "candidate version 2 to become ready"
    late = seen(canary(0, 0, age=61 * MINUTE, rollout={"strategy": "immediate"}), latest_ready=STABLE)
    assert isinstance(late.decide().action, CutTraffic)


def test_a_canary_that_becomes_blue_green_on_its_way_loses_its_share_and_begins_at_nothing() -> None:
    scene = recorded(canary(50, 2, **GREEN), percent=50)
    assert scene.decide().action == ShiftTraffic(scene.release(2), 0, STABLE)
    lowered = recorded(canary(0, 2, **GREEN), percent=50)
    assert lowered.decide().action == BeginStep(lowered.release(2), 1, NOW)


def test_blue_green_that_becomes_a_canary_on_its_way_holds_its_first_step_anew() -> None:
    scene = recorded(canary(0, 1, age=30 * MINUTE), percent=0)
    assert scene.decide().action == ShiftTraffic(scene.release(2), 10, STABLE)
    shifted = recorded(canary(10, 1, age=30 * MINUTE), percent=0)
    assert shifted.decide().action == BeginStep(shifted.release(2), 1, NOW)


# Reverts.


def reverting(served: bool = True, **changes: Any) -> Scene:
    """Roll version 2, which callers had before, out over version 3."""
    scene = wanting(**changes).version(3, Stage.PRODUCTION).rolling(0, 0)
    tag = replace(record(scene), stable=scene.release(3)).to_tag()
    where = {TAG_RELEASE: release_to_tag("models", scene.release(2))} if served else {}
    back = replace(scene, versions=()).version(2, Stage.STAGING, rollout=tag, **where).version(3, Stage.PRODUCTION)
    return seen(
        back.wants(spec=pinned(back)), revisions={STABLE: scene.release(3), "iris-predictor-00002": scene.release(2)}
    )


def pinned(scene: Scene) -> Any:
    promotion = scene.wanted.spec.promotion.model_copy(update={"version": "2"})
    return scene.wanted.spec.model_copy(update={"promotion": promotion})


def test_going_back_to_what_callers_had_takes_no_steps() -> None:
    decision = reverting().decide()
    assert decision.action == RouteAll(reverting().release(2), STABLE)
    assert "callers had it before" in decision.reason


def test_going_back_waits_until_the_older_version_is_ready() -> None:
    assert seen(reverting(), latest_ready=STABLE).decide().waits_for == "candidate version 2 to become ready"


STEPS = [{"traffic": 10, "hold": "10m"}]
FREEZE = PolicySpec.model_validate({"freezes": [{"name": "fair", "start": "0 9 * * *", "duration": "2h"}]})


def test_no_freeze_holds_up_going_back_to_what_callers_had() -> None:
    assert replace(reverting(), policy=FREEZE).decide().action == RouteAll(reverting().release(2), STABLE)
    untagged = replace(reverting(served=False), policy=FREEZE).decide()
    assert (untagged.action, untagged.blocked_by.partition(" until")[0]) == (None, "the freeze fair")


def test_suspension_holds_up_going_back_as_git_asks_for_both() -> None:
    assert reverting(suspend=True).decide().blocked_by.startswith("spec.suspend is true")


@pytest.mark.parametrize(
    "scene",
    [
        reverting(served=False),
        reverting(rollout={"steps": STEPS, "onRevert": "steps"}),
    ],
    ids=["callers never had it", "Git asks for the steps"],
)
def test_an_older_version_goes_by_the_steps_where(scene: Scene) -> None:
    assert scene.decide().action == ShiftTraffic(scene.release(2), 10, STABLE)


def test_a_newer_version_that_callers_had_goes_by_the_steps() -> None:
    scene = canary(0, 0)
    tag = {TAG_RELEASE: release_to_tag("models", scene.release(2)), "rollout": record(scene).to_tag()}
    again = replace(scene, versions=scene.versions[:1]).version(2, Stage.STAGING, **tag)
    assert again.decide().action == ShiftTraffic(scene.release(2), 10, STABLE)


def test_an_older_version_that_callers_had_elsewhere_or_otherwise_goes_by_the_steps() -> None:
    for where in ("other/" + str(reverting().release(2)), "models/2-other"):
        scene = reverting()
        marked = tuple(replace(v, tags={**v.tags, TAG_RELEASE: where}) if v.version == 2 else v for v in scene.versions)
        assert replace(scene, versions=marked).decide().action == ShiftTraffic(scene.release(2), 10, STABLE)


# Progress that stalls.

STALLS: dict[str, Scene] = {
    "a candidate that does not come up": seen(canary(0, 0), latest_ready=STABLE, failure=PULLING),
    "a share that does not arrive": seen(canary(50, 1), traffic=canary(10).live.traffic, failure=PULLING),  # type: ignore[union-attr]  # it is live
}


@pytest.mark.parametrize("sentence", STALLS)
def test_progress_that_stalls_is_told_with_its_cause(sentence: str) -> None:
    decision = STALLS[sentence].decide()
    assert decision.action is None
    assert decision.waits_for.endswith(": pulling")
    assert decision.stalled == "Slow: pulling"


def test_what_was_promoted_by_hand_and_is_held_up_past_its_deadline_is_not_looked_at_again_and_again() -> None:
    scene = canary(age=DAY, suspend=True)
    found = record(scene)
    order = Order(OrderKind.PROMOTE, "ana", "now", NOW, "", found.release, found.started)
    decision = scene.sees(memory=Memory(orders=(order,))).decide()
    held = "held up: RouteAll, because it is ready, and was promoted by ana: now"
    assert decision.blocked_by == f"spec.suspend is true; {held}"
    assert decision.look_again_at is None
