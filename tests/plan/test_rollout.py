"""Bringing a release to callers: what has to be true before each step, and what is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.desired.documents import PolicySpec
from reconciler.observed import (
    STANDARD,
    TAG_RELEASE,
    Failure,
    InferenceService,
    Measurement,
    Memory,
    Order,
    OrderKind,
    Release,
    Side,
    Stage,
    TrafficTarget,
)
from reconciler.plan.action import (
    Analyse,
    BeginStep,
    CutTraffic,
    Deploy,
    RouteAll,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    Withdraw,
)
from reconciler.plan.begin import begin_rollout, deploy_first, unmeasurable
from reconciler.plan.course import awaits_approval, deadline_of, reverts, steps_of, waits
from reconciler.plan.facts import is_stable
from reconciler.plan.marks import RolloutRecord, release_to_tag
from reconciler.plan.progress import candidate_ready, cause, effective_percent
from reconciler.status import Health, Phase
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, Scene, settled, wanting
from tests.plan.test_rules import facts_of

CHECK = {"name": "answers", "interval": "2m", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
SLOW = {**CHECK, "name": "slow", "interval": "5m"}
STEPS = [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]
CHECKED: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK]}}
TWO_CHECKS: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [SLOW, CHECK]}}
GREEN: dict[str, Any] = {"rollout": {"strategy": "blueGreen", "analysis": [CHECK]}}
LAGGING = (TrafficTarget(STABLE, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
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


def test_a_first_deployment_tells_that_it_stalls_where_a_cause_is_known_and_is_ill_where_its_callers_lost_it() -> None:
    scene = settled()
    ill = deploy_first(facts_of(seen(scene, failure=PULLING)), scene.release(1))
    assert ill.stalled == f"{PULLING.reason}: {PULLING.message}"
    assert deploy_first(facts_of(scene), scene.release(1)).stalled == ""
    lost = deploy_first(facts_of(seen(scene, unready=frozenset({STABLE}))), scene.release(1))
    assert (lost.health, lost.stalled) == (Health.DEGRADED, "")


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


def test_a_staged_candidate_is_applied_or_closed_above_a_newer_template_of_stable_that_fails() -> None:
    both = {STABLE: staged().release(1), CANDIDATE: staged().release(1)}
    scene = seen(staged(), latest_created=CANDIDATE, revisions=both, failure=PULLING, ready=False)
    assert scene.decide().action == StartCanary(scene.release(2))
    assert seen(scene, failure=None).decide().waits_for == "the live service to settle before the candidate is applied"
    back = replace(scene, wanted=wanting(promotion={"version": "1"}).wanted)
    assert back.decide().action == Withdraw(scene.release(2), Stage.ARCHIVED)
    assert seen(back, failure=None).decide().waits_for == "all traffic to reach version 1"


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
    "it was ready and lost its pods": ({"unready": frozenset({CANDIDATE})}, False),
    "stable lost its pods": ({"unready": frozenset({STABLE})}, True),
    "the newest is the stable one": ({"latest_created": STABLE, "latest_ready": STABLE}, False),
    "the newest is another one": ({"latest_created": "r-3", "latest_ready": "r-3"}, False),
    "nothing was created": ({"latest_created": None, "latest_ready": None}, False),
}


@pytest.mark.parametrize("sentence", READY)
def test_a_candidate_is_ready(sentence: str) -> None:
    changes, expected = READY[sentence]
    scene = canary()
    assert candidate_ready(replace(live(scene), **changes), record(scene)) is expected


def test_the_name_of_the_stable_revision_makes_no_other_one_stable_where_its_label_can_be_read() -> None:
    scene = canary()
    again = replace(live(scene), latest_created=STABLE, latest_ready=STABLE, revisions={STABLE: scene.release(2)})
    assert candidate_ready(again, record(scene))
    for unread in (None, {}, {STABLE: None}):
        assert is_stable(replace(again, revisions=unread), STABLE, record(scene))
        assert not candidate_ready(replace(again, revisions=unread), record(scene))


def test_a_deployment_of_the_stable_predictor_s_name_is_no_candidate_whatever_its_label_says() -> None:
    scene = canary()
    there: dict[str, Any] = {"latest_created": STABLE, "latest_ready": STABLE, "revisions": {STABLE: scene.release(2)}}
    assert not candidate_ready(replace(live(scene), mode=STANDARD, **there), record(scene))


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
    "no share, which a candidate has at once": (canary(0, 0, **GREEN), BeginStep, "0 % are effective"),
    "no share, while the route resolves its side to the revision before": (
        seen(canary(0, 0, **GREEN), traffic=LAGGING), None, "the route to take up version 2",
    ),
    "no share, while the route has no side of its own for it": (
        seen(canary(0, 0, **GREEN), traffic=(TrafficTarget(STABLE, 100, "prev"),)), None, "the route to take up",
    ),
    "no share, while the route lags and a cause is known": (
        seen(canary(0, 0, **GREEN), traffic=LAGGING, message="busy"), None, "the route to take up version 2: busy",
    ),
    "no share in Standard mode, where a side is a Deployment by its name": (
        seen(canary(0, 0, **GREEN), traffic=(), mode="Standard"), BeginStep, "0 % are effective",
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


def test_a_step_begins_only_when_the_network_has_taken_its_share_up_unless_stable_is_what_keeps_it() -> None:
    waiting = seen(canary(10, 0), routed=False, message="IngressNotConfigured").decide()
    assert (waiting.action, waiting.stalled) == (None, "")
    assert waiting.waits_for == "the network to take up 10 % for version 2: IngressNotConfigured"
    assert waiting.look_again_at is not None, "its deadline runs on"
    ill = seen(canary(10, 0), routed=False, unready=frozenset({STABLE})).decide()
    assert isinstance(ill.action, BeginStep)


def test_nothing_is_held_up_that_takes_traffic_away_while_the_network_lags() -> None:
    late = seen(canary(10, 1, timedelta(hours=2)), routed=False)
    assert isinstance(late.decide().action, CutTraffic)


# What is measured.


def measured(scene: Scene, *times: timedelta, check: str = "answers", **changes: Any) -> tuple[Measurement, ...]:
    good = Side(20, 0, (5.0,) * 20)
    question = scene.question(check)
    made = Measurement(check, record(scene).release, record(scene).step, NOW, good, good, question=question)
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


LENIENT = {**CHECK, "probe": {**CHECK["probe"], "maxErrorRate": 1.0}}  # type: ignore[dict-item]  # a mapping
EDITED: dict[str, tuple[object, int]] = {
    "other requests are another check's": ({**CHECK, "probe": {**CHECK["probe"], "requests": 9}}, 0),  # type: ignore[dict-item]  # a mapping
    "limits alone may change": (LENIENT, 20),
}


@pytest.mark.parametrize("sentence", EDITED)
def test_a_check_that_git_changed_is_judged_by_what_it_asks_now(sentence: str) -> None:
    edited, samples = EDITED[sentence]
    before = canary(age=5 * MINUTE, **CHECKED)
    failed = measured(before, MINUTE, candidate=Side(20, 20))
    after = canary(age=5 * MINUTE, rollout={"steps": STEPS, "analysis": [edited]})
    decision = after.sees(memory=Memory(measurements=failed)).decide()
    assert [c.samples for c in decision.checks] == [samples]
    assert decision.action == (None if samples else Analyse(after.release(2), 1, "answers"))


def test_what_was_measured_before_questions_were_written_down_is_another_check_s() -> None:
    scene = canary(age=5 * MINUTE, **CHECKED)
    decision = scene.sees(memory=Memory(measurements=measured(scene, MINUTE, question=""))).decide()
    assert decision.action == Analyse(scene.release(2), 1, "answers")


def test_a_step_is_left_with_its_proof() -> None:
    scene = canary(age=10 * MINUTE, **CHECKED)
    decision = scene.sees(memory=Memory(measurements=measured(scene, MINUTE))).decide()
    assert decision.action == ShiftTraffic(scene.release(2), 50, STABLE)
    assert decision.reason.startswith("because step 1 passed (answers: error rate 0 % <= 1 %")
    assert [c.check for c in decision.checks] == ["answers"]


# A step whose checks take long.

SECOND = timedelta(seconds=1)
DRY = {**CHECK, "name": "dry", "dryRun": True}


def slow(*, ago: timedelta, took: timedelta = 3 * MINUTE, **changes: Any) -> Scene:
    """Let two checks be due after the hold; each was measured so long ago, and that took longer than its interval."""
    checks = [{**check, "interval": "1m"} for check in (SLOW, CHECK)]
    scene = canary(age=20 * MINUTE, rollout={"steps": STEPS, "analysis": checks})
    first = measured(scene, ago + 2 * took, check="slow", ended=NOW - ago - took)
    then = measured(scene, ago + took, ended=NOW - ago, **changes)
    return scene.sees(memory=Memory(measurements=(*first, *then)))


ROUNDS: dict[str, tuple[Scene, type]] = {
    "one round since the hold was over is enough": (slow(ago=2 * SECOND), ShiftTraffic),
    "what was measured before that is measured again": (slow(ago=2 * SECOND, took=5 * MINUTE), Analyse),
    "where the step cannot be left, the next round begins": (slow(ago=5 * MINUTE, took=2 * MINUTE), Analyse),
    "what is not sure is measured again": (slow(ago=2 * SECOND, candidate=Side(1, 0, (5.0,))), Analyse),
}


@pytest.mark.parametrize("sentence", ROUNDS)
def test_a_step_is_left_though_something_is_always_due(sentence: str) -> None:
    scene, action = ROUNDS[sentence]
    assert isinstance(scene.decide().action, action)


def test_a_dry_run_that_is_due_keeps_no_step_from_being_left() -> None:
    scene = canary(age=10 * MINUTE, rollout={"steps": STEPS, "analysis": [DRY, CHECK]})
    assert isinstance(scene.sees(memory=Memory(measurements=measured(scene, MINUTE))).decide().action, ShiftTraffic)
    due = scene.sees(memory=Memory(measurements=measured(scene, 3 * MINUTE))).decide()
    assert due.action == Analyse(scene.release(2), 1, "dry")


FREEZE = PolicySpec.model_validate({"freezes": [{"name": "fair", "start": "0 9 * * *", "duration": "2h"}]})


def test_a_freeze_keeps_a_step_and_its_checks_are_made_on() -> None:
    held = replace(slow(ago=2 * SECOND), policy=FREEZE).decide()
    assert (held.action, held.look_again_at) == (None, NOW + 3 * SECOND)
    assert "the freeze fair" in held.blocked_by
    later = replace(slow(ago=5 * MINUTE, took=2 * MINUTE), policy=FREEZE).decide()
    assert isinstance(later.action, Analyse)


@pytest.mark.parametrize("ago", [5 * SECOND, MINUTE])
def test_a_step_that_a_freeze_keeps_is_looked_at_again_when_a_check_is_due(ago: timedelta) -> None:
    scene = replace(canary(age=10 * MINUTE, **CHECKED), policy=FREEZE)
    held = scene.sees(memory=Memory(measurements=measured(scene, ago))).decide()
    assert (held.action, held.look_again_at) == (None, NOW + 2 * MINUTE - ago)


def test_checks_that_take_longer_than_their_interval_do_not_starve_a_rollout() -> None:
    checks = [{**CHECK, "name": name, "interval": "1s"} for name in ("one", "two", "three")]
    scene = canary(10, 1, timedelta(), rollout={"steps": [{"traffic": 10, "hold": "1m"}], "analysis": checks})
    now, made = NOW, list[Measurement]()
    while isinstance(action := scene.sees(memory=Memory(measurements=tuple(made))).decide(now).action, Analyse):
        (measurement,) = measured(scene, timedelta(), check=action.check, ended=now + timedelta(seconds=20))
        made.append(replace(measurement, at=now))
        now += timedelta(seconds=20)
    assert isinstance(action, RouteAll)
    assert now == NOW + timedelta(minutes=2)


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
        "revisions": {STABLE: canary(0, 0).release(1), "iris-predictor-00009": None},
    },
    "the candidate's revision is created and not ready": {"latest_ready": STABLE},
}


@pytest.mark.parametrize("sentence", STALE)
def test_ready_true_and_a_generation_prove_nothing_until_the_candidate_s_own_revision_is_the_ready_one(
    sentence: str,
) -> None:
    decision = seen(canary(0, 0), ready=True, message="", generation=99, **STALE[sentence]).decide()
    assert (decision.action, decision.waits_for) == (None, "candidate version 2 to become ready")


# Checks that nobody can measure.


RATE: dict[str, Any] = {"name": "rate", "interval": "2m", "prometheus": {"query": "up", "max": 1}}
NOBODY = "no Prometheus is known"


def measuring(*checks: dict[str, Any], unmetered: str = NOBODY, **changes: Any) -> Scene:
    rollout = {"steps": STEPS, "analysis": list(checks), **changes}
    return settled(rollout=rollout).version(2).sees(unmetered=unmetered)


MEASURABLE: dict[str, Scene] = {
    "somebody answers queries": measuring(RATE, unmetered=""),
    "no check asks a query": measuring(CHECK),
    "no check is asked for": measuring(),
    "a query that only tries itself out": measuring({**RATE, "dryRun": True}),
    "one such beside a probe": measuring({**RATE, "dryRun": True}, CHECK),
    "a rollout without steps": measuring(RATE, steps=[]),
}


@pytest.mark.parametrize("sentence", MEASURABLE)
def test_a_rollout_begins_where_all_that_counts_can_be_measured(sentence: str) -> None:
    scene = MEASURABLE[sentence]
    assert unmeasurable(facts_of(scene), scene.release(1), scene.release(2)) is None


def test_a_rollout_whose_checks_nobody_can_measure_does_not_begin_and_names_them() -> None:
    dry, other = {**RATE, "name": "dry", "dryRun": True}, {**RATE, "name": "errors"}
    decision = measuring(CHECK, RATE, dry, other).decide()
    assert decision.action is None
    assert decision.stalled == f"version 2 is not rolled out: rate, errors cannot be measured, as {NOBODY}"
    assert (decision.waits_for, decision.phase) == ("prometheus.url in the settings", Phase.DEPLOYING)


def test_what_callers_had_comes_back_though_nobody_can_measure_it() -> None:
    scene, stable = had_before(measuring(RATE))
    assert unmeasurable(facts_of(scene), stable, scene.release(1)) is None


# Going back.


def had_before(scene: Scene, release: Release | None = None, namespace: str = "models") -> tuple[Scene, Release]:
    """Let version 2 serve, and version 1 have served before; return the scene and version 2's release."""
    tag = release_to_tag(namespace, release or scene.release(1))
    return replace(scene, versions=()).version(1, **{TAG_RELEASE: tag}).version(2).serving(2), scene.release(2)  # type: ignore[arg-type]  # a tag by its name


GOES_ON: dict[str, tuple[tuple[Scene, Release], Release | None]] = {
    "an older version that never served": ((settled().version(2), settled().release(2)), None),
    "an older version that served by other fields": (had_before(settled(), Release(1, "other")), None),
    "an older version that served elsewhere": (had_before(settled(), namespace="elsewhere"), None),
    "an older version that nobody registered": (had_before(settled()), settled().release(0)),
    "the same version by other fields": (had_before(settled(), Release(1, "other")), Release(1, "other")),
    "an older version where Git asks for the steps": (had_before(settled(rollout={"onRevert": "steps"})), None),
}


def test_an_older_version_as_callers_had_it_goes_back() -> None:
    scene, stable = had_before(settled())
    assert reverts(facts_of(scene), stable, scene.release(1))


@pytest.mark.parametrize("sentence", GOES_ON)
def test_anything_else_takes_the_steps(sentence: str) -> None:
    (scene, stable), release = GOES_ON[sentence]
    if sentence.startswith("the same version"):
        stable = scene.release(1)
    assert reverts(facts_of(scene), stable, release or scene.release(1)) is False


def test_where_nothing_is_live_nobody_can_tell_what_callers_had() -> None:
    scene, stable = had_before(settled())
    assert reverts(facts_of(replace(scene, live=None)), stable, scene.release(1)) is False


def test_going_back_has_no_steps_to_be_in() -> None:
    scene, stable = had_before(settled())
    back = replace(record(canary()), release=scene.release(1), stable=stable)
    assert steps_of(facts_of(scene), back) == ()
    assert steps_of(facts_of(canary()), record(canary())) == canary().wanted.spec.rollout.course


# Steps that wait for a person.

ASKING_LAST: dict[str, Any] = {"rollout": {"steps": [STEPS[0], {"traffic": 50, "hold": "untilApproved"}]}}


@pytest.mark.parametrize(("step", "asks"), [(0, False), (1, False), (2, True), (3, False)])
def test_only_the_running_step_awaits_approval(step: int, *, asks: bool) -> None:
    scene = canary(50, step, **ASKING_LAST)
    facts, running = facts_of(scene), record(scene)
    assert awaits_approval(facts, running) is asks
    assert waits(facts, running) is asks
    assert (deadline_of(facts, running) is None) is asks


# Causes, and when it is looked again.


def test_a_cause_is_told_by_its_message_or_where_it_has_none_by_its_reason() -> None:
    assert cause(live(seen(canary(), failure=PULLING, message="loading"))) == ": pulling"
    assert cause(live(seen(canary(), failure=replace(PULLING, message=""), message="loading"))) == ": Slow"
    assert cause(live(seen(canary(), message="loading"))) == ": loading"
    assert cause(live(canary())) == ""


def test_a_paused_rollout_whose_step_is_over_is_looked_at_when_its_next_measurement_is_due() -> None:
    scene = canary(age=10 * MINUTE, **CHECKED)
    rollout = record(scene)
    pause = Order(OrderKind.PAUSE, "ana", "it looks odd", NOW, rollout.wanted, rollout.release, rollout.started)
    decision = scene.sees(memory=Memory(measurements=measured(scene, MINUTE), orders=(pause,))).decide()
    assert (decision.action, decision.look_again_at) == (None, NOW + MINUTE)


def test_a_paused_rollout_begins_no_step() -> None:
    scene = canary(0, 0)
    rollout = record(scene)
    pause = Order(OrderKind.PAUSE, "ana", "it looks odd", NOW, rollout.wanted, rollout.release, rollout.started)
    assert isinstance(scene.decide().action, ShiftTraffic)
    decision = scene.sees(memory=Memory(orders=(pause,))).decide()
    assert (decision.action, decision.blocked_by) == (None, "paused by ana: it looks odd")


def test_a_step_whose_share_went_is_not_left_for_the_next_one() -> None:
    passed = canary(10, 1, 11 * MINUTE)
    assert passed.decide().action == ShiftTraffic(passed.release(2), 50, STABLE)
    gone = seen(passed, traffic=split(0, 100))
    decision = gone.decide()
    assert (decision.action, decision.waits_for) == (None, "10 % of the traffic to reach version 2")
    last = seen(canary(50, 2, 11 * MINUTE), traffic=split(10, 90))
    assert (last.decide().action, last.decide().waits_for) == (None, "50 % of the traffic to reach version 2")
