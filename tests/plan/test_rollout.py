"""Bringing a release to callers: what has to be true before each step, and what is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.observed import Failure, InferenceService, Measurement, Memory, Release, Side, Stage, TrafficTarget
from reconciler.plan.action import Analyse, BeginStep, Deploy, RouteAll, ShiftTraffic, StageCandidate, StartCanary
from reconciler.plan.facts import RolloutRecord
from reconciler.plan.rollout import begin_rollout, candidate_ready, deploy_first, effective_percent
from reconciler.status import Health, Phase
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, Scene, settled, wanting
from tests.plan.test_rules import facts_of

CHECK = {"name": "answers", "interval": "2m", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
SLOW = {**CHECK, "name": "slow", "interval": "5m"}
STEPS = [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]
CHECKED: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK]}}
TWO_CHECKS: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [SLOW, CHECK]}}
PULLING, FINAL = Failure("Slow", "pulling", terminal=False), Failure("NoRuntime", "none", terminal=True)


def canary(percent: int | None = 10, step: int = 1, age: timedelta = MINUTE, **changes: object) -> Scene:
    return wanting(**changes).version(1, Stage.PRODUCTION).rolling(percent, step, age)


def record(scene: Scene) -> RolloutRecord:
    found = RolloutRecord.from_tag(scene.versions[-1].tags["reconciler.dev/rollout"])
    assert found is not None
    return found


def recorded(scene: Scene, **changes: Any) -> Scene:
    """Change what is on record of the rollout."""
    tag = replace(record(scene), **changes).to_tag()
    return replace(scene, versions=scene.versions[:-1]).version(2, Stage.STAGING, rollout=tag)


def seen(scene: Scene, **changes: Any) -> Scene:
    assert scene.live is not None
    return replace(scene, live=replace(scene.live, **changes))


def live(scene: Scene) -> InferenceService:
    assert scene.live is not None
    return scene.live


def split(newest: int, stable: int) -> tuple[TrafficTarget, ...]:
    return TrafficTarget(CANDIDATE, newest, "latest", latest=True), TrafficTarget(STABLE, stable, "prev")


# First deployment.

FIRST: dict[str, tuple[Scene, Release | None, str, Health]] = {
    "nothing is there": (
        replace(settled(), live=None), Release(1, "x"), "passed its gates and nothing is served", Health.MISSING,
    ),
    "another release was applied and never proven": (
        settled(), Release(1, "x"), "nothing was proven yet", Health.PROGRESSING,
    ),
    "it comes up": (seen(settled(), message="loading"), None, "to become ready: loading", Health.PROGRESSING),
    "it comes up and says nothing": (settled(), None, "version 1 to become ready", Health.PROGRESSING),
    "it has trouble that may pass": (
        seen(settled(), failure=PULLING, message="loading"), None, "to become ready: pulling", Health.DEGRADED,
    ),
    "it can never come up": (
        seen(settled(), failure=FINAL), None, "version 1 cannot be served: NoRuntime: none", Health.DEGRADED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", FIRST)
def test_a_first_deployment(sentence: str) -> None:
    scene, other, words, health = FIRST[sentence]
    release = other or scene.release(1)
    decision = deploy_first(facts_of(scene), release)
    assert decision.action == (Deploy(release) if other else None)
    assert words in f"{decision.reason}{decision.waits_for}{decision.stalled}"
    assert (decision.phase, decision.health) == (Phase.DEPLOYING, health)


# The candidate.

BEGINS: dict[str, tuple[dict[str, Any], bool]] = {
    "one revision has all traffic": ({}, True),
    "no revision has all traffic": ({"traffic": split(50, 50)}, False),
    "two revisions share it": ({"traffic": (TrafficTarget(STABLE, 50), TrafficTarget(CANDIDATE, 50))}, False),
    "nothing has traffic": ({"traffic": ()}, False),
    "nothing has traffic or is ready": ({"traffic": (), "latest_ready": None}, False),
    "a split was asked for": ({"canary_percent": 0}, False),
    "a newer revision is ready": ({"latest_ready": CANDIDATE}, False),
}


@pytest.mark.parametrize("sentence", BEGINS)
def test_a_rollout_begins_only_while_one_revision_has_all_traffic(sentence: str) -> None:
    changes, begins = BEGINS[sentence]
    scene = settled()
    decision = begin_rollout(replace(live(scene), **changes), scene.release(1), scene.release(2))
    if begins:
        assert decision.action == StageCandidate(scene.release(2), scene.release(1), STABLE)
    else:
        assert (decision.action, decision.waits_for) == (None, "the live service to settle before a rollout begins")


def staged() -> Scene:
    """Let version 2 be staged and not applied."""
    return replace(canary(0, 0), live=settled().live)


def test_a_staged_candidate_is_applied_only_where_what_was_staged_against_still_serves() -> None:
    assert isinstance(staged().decide().action, StartCanary)
    unsettled = seen(staged(), latest_created=CANDIDATE)
    assert unsettled.decide().waits_for == "the live service to settle before the candidate is applied"
    revisions = {STABLE: staged().release(1), CANDIDATE: Release(7, "x")}
    newest = {"latest_created": CANDIDATE, "latest_ready": CANDIDATE}
    divided = seen(staged(), traffic=split(50, 50), revisions=revisions, **newest)
    assert divided.decide().waits_for == "the live service to settle before the candidate is applied"


@pytest.mark.parametrize("changes", [{"stable": Release(1, "other")}, {"stable_revision": "iris-predictor-00000"}])
def test_a_staged_candidate_is_staged_anew_where_another_revision_came_up(changes: dict[str, Any]) -> None:
    decision = recorded(staged(), **changes).decide()
    assert decision.action == StageCandidate(staged().release(2), staged().release(1), STABLE)


def test_a_candidate_without_a_split_is_given_time_to_get_all_traffic() -> None:
    decision = seen(canary(None, 2), traffic=split(50, 50)).decide()
    assert (decision.action, decision.waits_for) == (None, "all traffic to reach the candidate")
    assert decision.phase is Phase.PROMOTING


READY: dict[str, tuple[dict[str, Any], bool]] = {
    "the newest revision is the candidate's and ready": ({}, True),
    "it is not ready": ({"latest_ready": STABLE}, False),
    "the newest is the stable one": ({"latest_created": STABLE, "latest_ready": STABLE}, False),
    "the newest is another one": ({"latest_created": "r-3", "latest_ready": "r-3"}, False),
    "nothing was created": ({"latest_created": None, "latest_ready": None}, False),
}


@pytest.mark.parametrize("sentence", READY)
def test_a_candidate_is_ready(sentence: str) -> None:
    changes, expected = READY[sentence]
    scene = canary()
    assert candidate_ready(replace(live(scene), **changes), record(scene)) is expected


def test_the_stable_revision_is_no_candidate_even_where_its_label_says_so() -> None:
    scene = canary()
    mislabelled = replace(live(scene), latest_created=STABLE, latest_ready=STABLE, revisions={STABLE: scene.release(2)})
    assert not candidate_ready(mislabelled, record(scene))


def test_a_candidate_that_is_not_ready_is_waited_for_until_the_deadline_with_the_cause() -> None:
    waiting = seen(canary(0, 0), latest_ready=STABLE)
    assert waiting.decide().waits_for == "candidate version 2 to become ready"
    assert waiting.decide().look_again_at == NOW - MINUTE + timedelta(hours=1)
    assert seen(waiting, failure=PULLING).decide().waits_for == "candidate version 2 to become ready: pulling"


def test_the_newest_revision_s_share_is_counted_over_all_its_targets() -> None:
    targets = (TrafficTarget(CANDIDATE, 5, "latest"), TrafficTarget(CANDIDATE, 5), TrafficTarget(STABLE, 90, "prev"))
    assert effective_percent(replace(live(canary()), traffic=targets)) == 10


# Steps.

STEP: dict[str, tuple[Scene, type | None, str]] = {
    "a share that was asked for and is not there yet": (
        seen(canary(10, 0), traffic=split(0, 100)), None, "10 % of the traffic to reach version 2",
    ),
    "a share that is there": (canary(10, 0), BeginStep, "10 % are effective; held for 10m"),
    "a hold that is not over": (canary(10, 1, 9 * MINUTE), None, "the hold of step 1 of 2 to end"),
    "a hold that is just over": (canary(10, 1, 10 * MINUTE), ShiftTraffic, "step 1 passed (the hold is over"),
    "a next share that was asked for": (canary(50, 1), BeginStep, "50 % are effective"),
    "a next share that is not there yet": (
        seen(canary(50, 1), traffic=split(10, 90)), None, "50 % of the traffic to reach version 2",
    ),
    "a share that somebody changed": (canary(30, 1), ShiftTraffic, "step 1 of 2 asks for 10 %"),
    "a step that Git changed since it was begun": (
        recorded(canary(10, 1), percent=20), BeginStep, "10 % are effective",
    ),
    "a step that is as it was begun": (recorded(canary(10, 1), percent=10), None, "the hold of step 1 of 2"),
    "a step that Git does not have any more": (canary(50, 7, 11 * MINUTE), RouteAll, "every step passed"),
    "the last step": (canary(50, 2, 10 * MINUTE), RouteAll, "every step passed"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", STEP)
def test_a_step(sentence: str) -> None:
    scene, action, words = STEP[sentence]
    decision = scene.decide()
    assert (type(decision.action) if decision.action else None) is action, decision
    assert words in decision.reason + decision.waits_for


def test_each_step_names_its_share_and_its_number() -> None:
    assert canary(10, 1, 10 * MINUTE).decide().action == ShiftTraffic(canary().release(2), 50, STABLE)
    assert canary(50, 1).decide().action == BeginStep(canary().release(2), 2, NOW)
    assert canary(0, 0).decide().action == ShiftTraffic(canary().release(2), 10, STABLE)
    assert recorded(canary(30, 1), percent=20).decide().action == ShiftTraffic(canary().release(2), 10, STABLE)


# What is measured.


def measured(scene: Scene, *times: timedelta, check: str = "answers", **changes: Any) -> tuple[Measurement, ...]:
    good = Side(20, 0, (5.0,) * 20)
    made = Measurement(check, record(scene).release, record(scene).step, NOW, good, good)
    return tuple(replace(made, at=NOW - ago, **changes) for ago in times)


def test_the_check_that_is_due_first_is_measured_first() -> None:
    scene = canary(age=9 * MINUTE, **TWO_CHECKS)
    memory = Memory(measurements=(*measured(scene, 9 * MINUTE, check="slow"), *measured(scene, 5 * MINUTE)))
    assert scene.sees(memory=memory).decide().action == Analyse(scene.release(2), 1, "slow")
    memory = Memory(measurements=(*measured(scene, 6 * MINUTE, check="slow"), *measured(scene, 7 * MINUTE)))
    assert scene.sees(memory=memory).decide().action == Analyse(scene.release(2), 1, "answers")


def test_a_check_is_due_when_its_interval_is_over_and_not_before() -> None:
    scene = canary(age=5 * MINUTE, **CHECKED)
    assert scene.sees(memory=Memory(measurements=measured(scene, 2 * MINUTE))).decide().action is not None
    waiting = scene.sees(memory=Memory(measurements=measured(scene, MINUTE))).decide()
    assert waiting.action is None
    assert waiting.look_again_at == NOW + MINUTE
    assert [c.samples for c in waiting.checks] == [20]


@pytest.mark.parametrize("other", [{"release": Release(9, "x")}, {"step": 2}])
def test_what_was_measured_of_another_rollout_or_step_does_not_count(other: dict[str, Any]) -> None:
    scene = canary(age=5 * MINUTE, **CHECKED)
    decision = scene.sees(memory=Memory(measurements=measured(scene, MINUTE, **other))).decide()
    assert decision.action == Analyse(scene.release(2), 1, "answers")
    assert [c.samples for c in decision.checks] == [0]


def test_what_was_measured_before_the_step_began_does_not_count_and_at_its_begin_does() -> None:
    scene = canary(age=5 * MINUTE, **CHECKED)
    for ago, samples in ((5 * MINUTE, 20), (5 * MINUTE + timedelta(seconds=1), 0)):
        decision = scene.sees(memory=Memory(measurements=measured(scene, ago))).decide()
        assert [c.samples for c in decision.checks] == [samples]


def test_a_step_is_left_with_its_proof() -> None:
    scene = canary(age=10 * MINUTE, **CHECKED)
    decision = scene.sees(memory=Memory(measurements=measured(scene, MINUTE))).decide()
    assert decision.action == ShiftTraffic(scene.release(2), 50, STABLE)
    assert decision.reason.startswith("because step 1 passed (answers: error rate 0 % <= 1 %")
    assert [c.check for c in decision.checks] == ["answers"]


def test_a_step_that_is_not_sure_yet_holds_on_and_says_why() -> None:
    scene = canary(age=10 * MINUTE, **CHECKED)
    few = measured(scene, MINUTE, candidate=Side(1, 0, (5.0,)))
    decision = scene.sees(memory=Memory(measurements=few)).decide()
    assert (decision.action, decision.waits_for) == (None, "answers: 1 of 20 samples, not counted yet")
    assert decision.look_again_at == NOW + MINUTE


def test_a_candidate_that_supersedes_another_is_applied_over_it() -> None:
    before = canary(0, 0)
    tag = replace(record(before), release=before.release(3)).to_tag()
    scene = replace(before, versions=before.versions[:1]).version(3, Stage.STAGING, rollout=tag)
    decision = scene.decide()
    assert decision.action == StartCanary(scene.release(3))
    assert decision.reason == "because it supersedes the candidate before, which has 0 %"


def test_what_was_measured_before_the_step_began_does_not_put_the_first_measurement_off() -> None:
    scene = canary(age=MINUTE, **CHECKED)
    before = Memory(measurements=measured(scene, MINUTE + timedelta(seconds=1)))
    assert scene.sees(memory=before).decide().action == Analyse(scene.release(2), 1, "answers")
    at_its_begin = Memory(measurements=measured(scene, MINUTE))
    assert scene.sees(memory=at_its_begin).decide().action is None


STALE: dict[str, dict[str, Any]] = {
    "the status is still that of the stable revision": {"latest_created": STABLE, "latest_ready": STABLE},
    "the newest revision that it names has no label of ours": {"revisions": {CANDIDATE: None}},
    "a newer revision is there than the status names": {
        "revisions": {STABLE: Release(1, "x"), "iris-predictor-00009": None},
    },
    "the candidate's revision is created and not ready": {"latest_ready": STABLE},
}


@pytest.mark.parametrize("sentence", STALE)
def test_ready_true_and_a_generation_prove_nothing_until_the_candidate_s_own_revision_is_the_ready_one(
    sentence: str,
) -> None:
    decision = seen(canary(0, 0), ready=True, message="", generation=99, **STALE[sentence]).decide()
    assert (decision.action, decision.waits_for) == (None, "candidate version 2 to become ready")
