"""Taking a candidate back: which step comes when, who may interrupt it, and where the version ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.observed import (
    Failure,
    Measurement,
    Memory,
    Order,
    OrderKind,
    Rejection,
    Release,
    Side,
    Stage,
    TrafficTarget,
)
from reconciler.plan.action import (
    Action,
    CutTraffic,
    FinishRollback,
    Reject,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    Withdraw,
)
from reconciler.plan.decision import act, wait
from reconciler.plan.facts import beyond_help, wanted_digest
from reconciler.plan.marks import RolloutRecord, rejection_to_tag
from reconciler.plan.rollback import _hold_while_stable_is_ill
from reconciler.plan.rollout import _judged_at
from reconciler.status import Health, Phase
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, Scene, settled, spec, wanting
from tests.plan.test_rollout import recorded, seen
from tests.plan.test_rules import facts_of

CHECK = {"name": "answers", "interval": "2m", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
STEPS = [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]
CHECKED: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK]}}
PAUSED: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK], "onFailure": "pause"}}
RESTORED = "iris-predictor-00003"


def canary(
    percent: int | None = 10,
    step: int = 1,
    age: timedelta = MINUTE,
    unready: frozenset[str] = frozenset(),
    **changes: object,
) -> Scene:
    return wanting(**changes).version(1, Stage.PRODUCTION).rolling(percent, step, age, unready=unready)


def record(scene: Scene) -> RolloutRecord:
    found = RolloutRecord.from_tag(scene.versions[-1].tags["reconciler.dev/rollout"])
    assert found is not None
    return found


def against(scene: Scene, reason: str = "too many errors") -> Scene:
    """Let the ledger remember that this very rollout was decided against."""
    rollout = record(scene)
    wanted = wanted_digest(scene.wanted.spec)
    return scene.sees(memory=Memory(rejections=(Rejection(rollout.release, wanted, reason, NOW, rollout.started),)))


def restored(percent: int | None, **changes: Any) -> Scene:
    """Let the stable template be applied again over the candidate."""
    scene = canary(0)
    live = scene.live
    assert live is not None
    revisions = {**(live.revisions or {}), RESTORED: scene.release(1)}
    back = replace(
        live, release=scene.release(1), canary_percent=percent, latest_created=RESTORED, latest_ready=RESTORED,
        revisions=revisions, traffic=(TrafficTarget(RESTORED, 100, "latest", latest=True),),
    )  # fmt: skip
    return against(replace(scene, live=replace(back, **changes)))


def failing(scene: Scene) -> Scene:
    side, stable = Side(20, 20), Side(20, 0, (5.0,) * 20)
    question = scene.question("answers")
    made = Measurement("answers", record(scene).release, 1, NOW, side, stable, question=question)
    return scene.sees(memory=Memory(measurements=(made,)))


def test_a_rollout_that_was_decided_against_loses_its_traffic_whatever_its_checks_say_by_now() -> None:
    scene = against(canary())
    decision = scene.decide()
    assert decision.action == CutTraffic(scene.release(2), wanted_digest(scene.wanted.spec), record(scene).started)
    assert decision.reason == "because too many errors"
    assert (decision.phase, decision.health) == (Phase.ROLLING_BACK, Health.DEGRADED)


def test_an_earlier_rollout_of_the_release_that_was_decided_against_does_not_count() -> None:
    scene = canary()
    earlier = Rejection(scene.release(2), wanted_digest(scene.wanted.spec), "bad", NOW, NOW - timedelta(days=1))
    assert not isinstance(scene.sees(memory=Memory(rejections=(earlier,))).decide().action, CutTraffic)


def test_a_candidate_without_traffic_gives_way_to_the_stable_template() -> None:
    for percent in (0, None):
        scene = against(canary(percent))
        decision = scene.decide()
        assert decision.action == RestoreStable(scene.release(1))
        assert decision.health is Health.DEGRADED


TAKEN_BACK: dict[str, tuple[Scene, object, str]] = {
    "the stable release is not ready yet": (
        restored(0, latest_ready=CANDIDATE), None, "version 1 to be ready again",
    ),
    "the stable release is ready": (restored(0), FinishRollback, "version 1 is ready again"),
    "the newest revision is another one": (
        restored(0, revisions={RESTORED: Release(7, "x")}), None, "version 1 to be ready again",
    ),
    "nothing was created": (restored(0, latest_created=None, latest_ready=None), None, "version 1 to be ready again"),
    "the split is gone and not all traffic is back": (
        restored(None, traffic=(TrafficTarget(RESTORED, 50), TrafficTarget(CANDIDATE, 50))), None,
        "all traffic to reach version 1",
    ),
    "the split is gone and the stable release is not ready": (
        restored(None, latest_ready=CANDIDATE), None, "all traffic to reach version 1",
    ),
    "the split is gone and all traffic is back": (restored(None), Reject, "because too many errors"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TAKEN_BACK)
def test_the_second_half_of_a_rollback(sentence: str) -> None:
    scene, action, words = TAKEN_BACK[sentence]
    decision = scene.decide()
    assert (type(decision.action) if decision.action else None) is action
    assert words in decision.reason + decision.waits_for
    assert (decision.phase, decision.health) == (Phase.ROLLING_BACK, Health.DEGRADED)


def test_a_version_that_was_taken_back_is_archived_but_its_own_other_template_leaves_it_in_production() -> None:
    rejected = restored(None).decide().action
    assert isinstance(rejected, Reject)
    assert rejected.stage is Stage.ARCHIVED
    scene = settled()
    other = RolloutRecord(
        Release(1, "other"), scene.release(1), STABLE, 0, NOW, NOW, wanted_digest(scene.wanted.spec), 0, "models"
    )
    own = replace(scene, versions=()).version(1, Stage.PRODUCTION, rollout=other.to_tag())
    withdrawn = own.decide().action
    assert withdrawn == Withdraw(Release(1, "other"), Stage.PRODUCTION)


def test_a_rollout_is_left_alone_where_the_object_belongs_to_somebody_else() -> None:
    foreign = replace(canary().live, ours=False, owner="argocd")  # type: ignore[type-var]  # it is there
    decision = against(replace(canary(), live=foreign)).decide()
    assert decision.action is None
    assert "belongs to argocd" in decision.stalled


def test_a_rollout_whose_object_is_gone_is_rejected_if_it_was_decided_against_and_else_withdrawn() -> None:
    scene = replace(canary(), live=None)
    assert scene.decide().action == Withdraw(scene.release(2), Stage.ARCHIVED)
    assert isinstance(against(scene).decide().action, Reject)


def test_a_candidate_that_has_all_traffic_already_is_promoted_and_not_taken_back() -> None:
    scene = canary(None, 2, promotion={"version": "1"})
    assert scene.live is not None
    routed = replace(scene.live, traffic=(TrafficTarget(CANDIDATE, 100, "latest", latest=True),))
    decision = replace(scene, live=routed).decide()
    assert decision.phase is Phase.PROMOTING


@pytest.mark.parametrize("serving", [None, {"namespace": "elsewhere"}])
def test_a_rollout_is_taken_back_where_git_wants_the_model_elsewhere_or_nowhere(serving: dict[str, Any] | None) -> None:
    scene = canary()
    told = replace(record(scene), namespace="models").to_tag()
    scene = replace(scene, versions=scene.versions[:1]).version(2, Stage.STAGING, rollout=told)
    fields = scene.wanted.spec.serving
    assert fields is not None
    changed = spec(serving=serving and {"namespace": "elsewhere", "predictor": fields.predictor})
    assert isinstance(scene.wants(spec=changed).decide().action, ShiftTraffic)
    assert not isinstance(scene.decide().action, ShiftTraffic)


def test_a_candidate_that_git_wants_no_more_loses_its_traffic_while_nothing_else_is_to_be_had() -> None:
    scene = canary(promotion={"version": "9"})
    decision = scene.decide()
    assert decision.action == ShiftTraffic(scene.release(2), 0, STABLE)


def test_another_version_takes_over_only_after_the_candidate_has_lost_its_traffic() -> None:
    newer = canary().version(3)
    assert newer.decide().action == ShiftTraffic(newer.release(2), 0, STABLE)
    assert "because Git now wants 3-" in newer.decide().reason
    asked = canary(0)
    assert asked.live is not None
    shares = (TrafficTarget(CANDIDATE, 10, "latest", latest=True), TrafficTarget(STABLE, 90, "prev"))
    still = replace(asked.live, traffic=shares)
    assert replace(asked, live=still).version(3).decide().waits_for == "0 % of the traffic to reach version 2"
    gone = canary(0).version(3)
    assert gone.decide().action == StageCandidate(gone.release(3), gone.release(1), STABLE)


# What goes wrong.


def test_a_deadline_is_over_when_it_is_reached_and_not_before() -> None:
    hour = timedelta(hours=1)
    assert isinstance(canary(age=hour).decide().action, CutTraffic)
    assert not isinstance(canary(age=hour - timedelta(seconds=1)).decide().action, CutTraffic)


def test_a_deadline_names_what_held_the_rollout_up() -> None:
    held = canary(age=timedelta(hours=1), **CHECKED).decide()
    assert held.reason == "because the rollout did not end within 1h; answers: 0 of 20 samples, not counted yet"
    assert [c.check for c in held.checks] == ["answers"]
    said = canary(0, 0, timedelta(hours=1)).rolling(0, 0, timedelta(hours=1), message="image not found").decide()
    assert said.reason == "because the rollout did not end within 1h; image not found"


def test_a_candidate_that_gets_more_than_was_asked_for_is_taken_back_once_it_has_had_time_to_show() -> None:
    scene = astray(canary(10, 1))
    decision = scene.decide()
    assert isinstance(decision.action, CutTraffic)
    assert decision.reason == "because version 2 gets 100 % of the traffic, though only 10 % was asked for"
    paused = canary(10, 1, rollout={"steps": [{"traffic": 10, "hold": "30m"}], "onFailure": "pause"})
    assert isinstance(astray(paused).decide().action, CutTraffic)
    assert scene.decide(NOW - timedelta(microseconds=1)).action is None
    assert not isinstance(recorded(scene, percent=100).decide().action, CutTraffic)
    harmless: list[dict[str, Any]] = [
        {"canary_percent": 100}, {"applied_at": None}, {"latest_ready": STABLE}, {"mode": "Standard"},
    ]  # fmt: skip
    for changes in harmless:
        assert not isinstance(astray(canary(10, 1), **changes).decide().action, CutTraffic), changes


def test_a_candidate_that_has_the_stable_revision_s_name_is_taken_back_before_another_version_is_staged() -> None:
    scene = canary(10, 1, rollout={"steps": STEPS, "onFailure": "pause"})
    both = (TrafficTarget(STABLE, 10, "latest", latest=True), TrafficTarget(STABLE, 90, "prev"))
    again: dict[str, Any] = {"latest_created": STABLE, "latest_ready": STABLE, "revisions": {STABLE: scene.release(2)}}
    said = f"because the stable revision {STABLE} is gone: the one that has its name now is of release 2-"
    for found in (seen(scene, traffic=both, **again), seen(scene.version(3), traffic=both, **again)):
        decision = found.decide()
        assert isinstance(decision.action, CutTraffic)
        assert decision.reason.startswith(said)
    alone = astray(scene.version(3), **again, traffic=(TrafficTarget(STABLE, 100, "latest", latest=True),)).decide()
    assert isinstance(alone.action, CutTraffic)
    assert "gets 100 % of the traffic" in alone.reason
    unread = seen(scene, traffic=both, **{**again, "revisions": None}).decide()
    assert not isinstance(unread.action, CutTraffic)


def test_a_deployment_of_the_stable_predictor_keeps_its_name_whatever_is_promoted_in_it() -> None:
    scene = seen(canary(10, 1), mode="Standard")
    assert scene.live is not None
    both = {STABLE: scene.release(2), CANDIDATE: scene.release(2)}
    assert not isinstance(seen(scene, revisions=both).decide().action, CutTraffic)


def astray(scene: Scene, **changes: Any) -> Scene:
    """Let the candidate have everything for a minute."""
    alone = (TrafficTarget(CANDIDATE, 100, "latest", latest=True),)
    return seen(scene, **{"traffic": alone, "applied_at": NOW - timedelta(minutes=1), **changes})


def test_a_failure_that_may_pass_cuts_nothing_and_a_terminal_one_only_while_the_candidate_is_not_ready() -> None:
    gone: dict[str, Any] = {"latest_created": RESTORED, "latest_ready": STABLE}
    passing = Failure("Slow", "pulling", terminal=False)
    assert canary(0).rolling(0, failure=passing, **gone).decide().action is None
    final = Failure("NoRuntime", "none", terminal=True)
    decision = canary(0).rolling(0, failure=final, **gone).decide()
    assert decision.reason == "because the candidate cannot be served: NoRuntime: none"
    assert not isinstance(canary(0).rolling(0, failure=final).decide().action, CutTraffic)


def test_what_kserve_says_right_after_an_apply_may_be_of_the_spec_before() -> None:
    final = Failure("NoRuntime", "none", terminal=True)
    gone: dict[str, Any] = {"latest_created": RESTORED, "latest_ready": STABLE, "failure": final}
    fresh = canary(0).rolling(0, applied_at=NOW - timedelta(seconds=9), **gone).decide()
    assert (fresh.action, fresh.look_again_at) == (None, NOW + timedelta(seconds=1))
    assert fresh.stalled.startswith("NoRuntime")
    told = canary(0).rolling(0, applied_at=NOW - timedelta(seconds=10), **gone).decide()
    assert isinstance(told.action, CutTraffic)


def test_a_check_that_fails_before_any_traffic_is_none_of_the_running_step() -> None:
    before = canary(0, 0, **CHECKED)
    side, question = Side(20, 20), before.question("answers")
    stable = Side(20, 0, (5.0,) * 20)
    measured = Measurement("answers", record(before).release, 0, NOW, side, stable, question=question)
    assert not isinstance(before.sees(memory=Memory(measurements=(measured,))).decide().action, CutTraffic)


def test_a_check_that_fails_cuts_with_its_numbers_and_shows_its_verdict() -> None:
    decision = failing(canary(**CHECKED)).decide()
    assert decision.reason == "because answers failed at 10 %: error rate 100 % > 1 % (20 requests, stable 0 %)"
    assert [c.check for c in decision.checks] == ["answers"]


def test_a_paused_rollout_asks_for_a_commit_and_shows_why() -> None:
    decision = failing(canary(**PAUSED)).decide()
    assert decision.stalled.startswith("the rollout is paused: answers failed at 10 %")
    assert decision.phase is Phase.CANARY
    assert [c.check for c in decision.checks] == ["answers"]


def test_traffic_that_left_stable_is_cut_even_where_the_rollout_is_to_pause() -> None:
    scene = failing(canary(**PAUSED))
    assert scene.live is not None
    moved = (scene.live.traffic[0], TrafficTarget("iris-predictor-00000", 90, "prev"))
    assert isinstance(replace(scene, live=replace(scene.live, traffic=moved)).decide().action, CutTraffic)


def test_a_paused_rollout_begins_anew_when_git_changes_what_is_wanted() -> None:
    scene = failing(canary(**PAUSED))
    changed = replace(record(scene), wanted="before").to_tag()
    renewed = replace(scene, versions=scene.versions[:1]).version(2, Stage.STAGING, rollout=changed)
    decision = renewed.decide()
    assert decision.action == ShiftTraffic(scene.release(2), 0, STABLE)
    assert decision.reason == "because Git changed what is wanted since the rollout was paused"
    assert renewed.live is not None
    idle = (TrafficTarget(CANDIDATE, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
    without = replace(renewed, live=replace(renewed.live, canary_percent=0, traffic=idle))
    assert without.decide().action == StageCandidate(scene.release(2), scene.release(1), STABLE)


def test_a_version_that_was_rejected_before_git_changed_is_rolled_out_like_any_other() -> None:
    scene = canary()
    rejection = Rejection(scene.release(2), "before", "bad", NOW - timedelta(days=1))
    tag = record(scene).to_tag()
    marked = replace(scene, versions=scene.versions[:1]).version(
        2, Stage.STAGING, rollout=tag, rejected=rejection_to_tag(rejection)
    )
    assert marked.decide().waits_for == "the hold of step 1 of 2 to end"


def test_what_was_never_applied_is_not_cut_however_long_it_was_staged() -> None:
    staged = replace(canary(0, 0, timedelta(hours=2)), live=settled().live)
    assert staged.decide().action == StartCanary(staged.release(2))
    before = canary(0, 0, timedelta(hours=2))
    tag = replace(record(before), release=before.release(3)).to_tag()
    superseding = replace(before, versions=before.versions[:1]).version(3, Stage.STAGING, rollout=tag)
    assert superseding.decide().action == StartCanary(before.release(3))


def test_a_candidate_that_lost_gives_way_to_the_next_one_at_once_where_there_is_one() -> None:
    scene = canary(0, promotion={"version": "3"}).version(3)
    assert scene.decide().action == StageCandidate(scene.release(3), scene.release(1), STABLE)


# A stable that is ill itself.


ILL: dict[str, tuple[Scene, Any]] = {
    "a candidate whose stable is well loses its traffic": (against(canary()), CutTraffic),
    "a failing candidate whose stable is well loses its traffic": (failing(canary(**CHECKED)), CutTraffic),
    "a candidate that was decided against keeps its traffic while stable is ill": (
        against(canary(unready=frozenset({STABLE}))),
        None,
    ),
    "a candidate without traffic is taken back whatever stable is": (
        against(canary(0, unready=frozenset({STABLE}))),
        RestoreStable,
    ),
    "a candidate that is ill alone loses its traffic": (against(canary(unready=frozenset({CANDIDATE}))), CutTraffic),
}


@pytest.mark.parametrize("what", ILL)
def test_traffic_never_goes_back_to_a_stable_that_is_ill(what: str) -> None:
    scene, kind = ILL[what]
    decision = scene.decide()
    assert (type(decision.action) if decision.action else None) is kind
    if kind is None:
        assert (decision.cause, decision.health) == ("StableNotReady", Health.DEGRADED)
        assert "too many errors), but iris-predictor-00001 is not ready either" in decision.stalled


ILL_STABLE = canary(unready=frozenset({STABLE}))
CUT = CutTraffic(Release(2, "x"), "w", NOW)
NOT_HELD: dict[str, tuple[Scene, Action | None]] = {
    "a share that rises": (ILL_STABLE, ShiftTraffic(Release(2, "x"), 50, STABLE)),
    "an action that moves no traffic": (ILL_STABLE, StageCandidate(Release(3, "x"), Release(1, "x"), STABLE)),
    "no action": (ILL_STABLE, None),
    "a cut of what has no share": (canary(0, unready=frozenset({STABLE})), CUT),
    "a cut where nothing is live": (replace(canary(), live=None), CUT),
    "a cut where nothing is tagged prev": (
        canary().rolling(10, 1, unready=frozenset({STABLE}), traffic=(TrafficTarget(CANDIDATE, 100, "latest"),)), CUT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_HELD)
def test_an_ill_stable_holds_nothing_else_up(what: str) -> None:
    scene, action = NOT_HELD[what]
    decision = act(action, "because", Phase.CANARY) if action else wait("something", Phase.CANARY)
    assert _hold_while_stable_is_ill(facts_of(scene), decision) is decision


@pytest.mark.parametrize("version", ["auto", "9"])
def test_a_candidate_that_is_only_not_wanted_any_more_keeps_its_traffic_too_while_stable_is_ill(version: str) -> None:
    scene = canary(unready=frozenset({STABLE}), promotion={"version": version}).version(3)
    decision = scene.decide()
    assert (decision.action, decision.cause) == (None, "StableNotReady")
    assert decision.stalled.startswith("the candidate is to lose its 10 % (Git ")
    assert decision.waits_for == "iris-predictor-00001 to be ready again; the traffic stays as it is"


def test_a_failing_candidate_shows_its_verdict_also_while_stable_is_ill() -> None:
    scene = failing(canary(unready=frozenset({STABLE}), **CHECKED))
    decision = scene.decide()
    assert decision.cause == "StableNotReady"
    assert [c.check for c in decision.checks] == ["answers"]
    noted = replace(act(CUT, "because", Phase.CANARY), notes=("beside",))
    assert _hold_while_stable_is_ill(facts_of(scene), noted).notes == ("beside",)


# What is asked for and does not show yet.

TOO_LATE = timedelta(hours=1)


def hidden(age: timedelta = MINUTE, **changes: Any) -> Scene:
    """Ask for 10 % that callers are not sent to yet, and let Git want another version by now."""
    idle = (TrafficTarget(CANDIDATE, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
    return canary().rolling(10, 1, age, traffic=idle, **changes).version(3)


def test_a_share_that_was_asked_for_shows_before_it_is_lowered_until_the_deadline() -> None:
    decision = hidden().decide()
    assert (decision.action, decision.waits_for) == (None, "10 % to show before it is lowered")
    assert decision.look_again_at == NOW - MINUTE + TOO_LATE
    assert hidden(TOO_LATE - timedelta(seconds=1)).decide().action is None
    assert hidden(TOO_LATE).decide().action == ShiftTraffic(canary().release(2), 0, STABLE)


def test_a_share_that_cannot_show_as_the_candidate_is_not_ready_is_lowered_at_once() -> None:
    assert hidden(latest_ready=STABLE).decide().action == ShiftTraffic(canary().release(2), 0, STABLE)


# What a person promoted, and which check is to blame.


def test_a_check_that_fails_does_not_cut_what_a_person_promoted() -> None:
    scene = failing(canary(**CHECKED))
    rollout = record(scene)
    order = Order(OrderKind.PROMOTE, "ana", "it is fine", NOW, rollout.wanted, rollout.release, rollout.started)
    promoted = scene.sees(memory=replace(scene.seen["memory"], orders=(order,)))
    assert isinstance(scene.decide().action, CutTraffic)
    assert isinstance(promoted.decide().action, RouteAll)


def test_a_deadline_blames_the_check_that_holds_the_step_and_none_that_passed() -> None:
    passed = {**CHECK, "name": "quick"}
    scene = canary(age=timedelta(hours=1), rollout={"steps": STEPS, "analysis": [passed, CHECK]})
    good = Side(20, 0, (5.0,) * 20)
    made = Measurement("quick", record(scene).release, 1, NOW, good, good, question=scene.question("quick"))
    decision = scene.sees(memory=Memory(measurements=(made,))).decide()
    assert decision.reason == "because the rollout did not end within 1h; answers: 0 of 20 samples, not counted yet"


# What KServe says of the spec before is not said of this one.

FINAL, PASSING = Failure("NoRuntime", "none", terminal=True), Failure("Slow", "pulling", terminal=False)


@pytest.mark.parametrize(
    ("failure", "ago", "counts"),
    [(None, 60, False), (PASSING, 60, False), (FINAL, None, True), (FINAL, 10, True), (FINAL, 9, False)],
)
def test_a_failure_that_no_waiting_helps_counts_once_the_new_spec_was_looked_at(
    failure: Failure | None, ago: int | None, *, counts: bool
) -> None:
    live = canary().live
    assert live is not None
    at = None if ago is None else NOW - timedelta(seconds=ago)
    assert beyond_help(replace(live, failure=failure, applied_at=at), NOW) is counts


@pytest.mark.parametrize(
    ("failure", "ago", "looks"),
    [(FINAL, 4, 6), (FINAL, 9, 1), (PASSING, 4, 3540), (None, 4, 3540), (PASSING, None, 3540)],
)
def test_until_then_it_is_waited_for(failure: Failure | None, ago: int | None, looks: int) -> None:
    at = None if ago is None else NOW - timedelta(seconds=ago)
    scene = canary(0).rolling(0, failure=failure, applied_at=at, latest_created=RESTORED, latest_ready=STABLE)
    decision = scene.decide()
    assert (decision.action, decision.look_again_at) == (None, NOW + timedelta(seconds=looks))
    assert decision.waits_for.startswith("candidate version 2 to become ready")


@pytest.mark.parametrize("ago", [10, None])
def test_and_then_the_candidate_is_taken_back(ago: int | None) -> None:
    at = None if ago is None else NOW - timedelta(seconds=ago)
    scene = canary(0).rolling(0, failure=FINAL, applied_at=at, latest_created=RESTORED, latest_ready=STABLE)
    assert isinstance(scene.decide().action, CutTraffic)


def test_a_failure_that_counts_already_is_looked_at_at_no_time_gone_by() -> None:
    scene = canary(0).rolling(0, failure=FINAL, applied_at=NOW - timedelta(seconds=10))
    assert scene.live is not None
    assert _judged_at(facts_of(scene), scene.live) is None
    fresh = replace(scene.live, applied_at=NOW)
    assert _judged_at(facts_of(scene), fresh) == NOW + timedelta(seconds=10)
