"""Standard mode, where a canary is a second predictor: what is different from Knative mode, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.manifest import CANARY, serving_fields
from reconciler.observed import (
    STANDARD,
    TAG_RELEASE,
    Failure,
    HeldField,
    InferenceService,
    Known,
    Memory,
    Rejection,
    Release,
    ReleaseRecord,
    Stage,
    TrafficTarget,
)
from reconciler.plan.action import (
    Action,
    BeginStep,
    CutTraffic,
    Deploy,
    Promote,
    PutBack,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
)
from reconciler.plan.course import goes_back_by
from reconciler.plan.decision import act
from reconciler.plan.facts import unroutable, wanted_digest
from reconciler.plan.marks import RolloutRecord, release_to_tag
from reconciler.plan.ownership import respect_owners
from reconciler.plan.serve import other_mode
from reconciler.status import Health, Phase, Sync
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, Scene, settled, spec, wanting
from tests.plan.test_ordering import facts_of

MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
STEPS = [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]
SECOND = timedelta(seconds=1)


def serving(**changes: Any) -> dict[str, Any]:
    return {"namespace": "models", "mode": "Standard", "predictor": {"model": MODEL}, **changes}


def split(newest: int) -> tuple[TrafficTarget, ...]:
    return TrafficTarget(CANDIDATE, newest, "latest", latest=True), TrafficTarget(STABLE, 100 - newest, "prev")


def seen(scene: Scene, **changes: Any) -> Scene:
    assert scene.live is not None
    return replace(scene, live=replace(scene.live, **changes))


def live(scene: Scene) -> InferenceService:
    assert scene.live is not None
    return scene.live


def one(**changes: Any) -> Scene:
    """Let version 1 serve in Standard mode."""
    return seen(settled(**{"serving": serving(), **changes}), mode=STANDARD)


def canary(percent: int | None, step: int = 1, age: timedelta = MINUTE, /, **changes: Any) -> Scene:
    """Let version 2 stand beside version 1 with this share, which shows."""
    made = wanting(serving=serving()).version(1, Stage.PRODUCTION).rolling(percent, step, age)
    beside = None if percent is None else made.release(1)
    return seen(made, **{"mode": STANDARD, "beside": beside, "applied_at": NOW - SECOND, **changes})


def record(scene: Scene) -> RolloutRecord:
    found = RolloutRecord.from_tag(scene.versions[-1].tags["reconciler.dev/rollout"])
    assert found is not None
    return found


def recorded(scene: Scene, **changes: Any) -> Scene:
    """Change what is on record of the rollout."""
    tag = replace(record(scene), **changes).to_tag()
    return replace(scene, versions=scene.versions[:-1]).version(2, Stage.STAGING, rollout=tag)


def against(scene: Scene, wanted: str = "") -> Scene:
    """Let the ledger remember that this very rollout was decided against."""
    rollout, wishes = record(scene), wanted or wanted_digest(scene.wanted.spec)
    return scene.sees(memory=Memory(rejections=(Rejection(rollout.release, wishes, "bad", NOW, rollout.started),)))


# A rollout that would get no callers, or try what is not promoted.


def test_where_nothing_splits_a_canary_does_not_begin() -> None:
    decision = seen(one().version(2), splits=False).decide()
    assert (decision.action, decision.cause) == (None, "TrafficNotRouted")
    assert decision.stalled == "version 2 would never get its share of the traffic: no HTTPRoute leads to its service"
    newer = "a KServe newer than v0.20.0 with ingress.enableGatewayApi: true"
    assert decision.waits_for == f"strategy: blueGreen in Git, or {newer}"
    assert decision.phase is Phase.DEPLOYING


def test_where_kserve_keeps_no_canary_nothing_is_rolled_out() -> None:
    for rollout in ({"strategy": "blueGreen", "hold": "10m"}, {}, {"steps": STEPS}):
        decision = seen(one(rollout=rollout).version(2), canaries=False).decide()
        assert (decision.action, decision.cause, decision.phase) == (None, "TrafficNotRouted", Phase.DEPLOYING)
    unsettled = seen(one().version(2), canaries=False, latest_ready=None).decide()
    assert unsettled.cause == "TrafficNotRouted"
    old = canary(None).release(1)
    whole = (TrafficTarget(STABLE, 100, "latest", latest=True),)
    alone = {"latest_created": STABLE, "latest_ready": STABLE, "release": old, "revisions": {STABLE: old}}
    scene = canary(None, 0, MINUTE, traffic=whole, **alone)
    assert isinstance(scene.decide().action, StartCanary)
    staged = seen(scene, canaries=False).decide()
    assert (staged.action, staged.cause, staged.phase) == (None, "TrafficNotRouted", Phase.CANARY)
    assert staged.stalled == "version 2 cannot be rolled out in Standard mode: this KServe has no spec.canary"
    assert staged.waits_for == "a KServe from v0.20.0 on with its definitions"


def test_drift_is_put_back_also_where_no_rollout_can_begin() -> None:
    drifted = seen(one().version(2), splits=False).sees(drift=Known(("spec.x",), NOW))
    assert drifted.decide().action == PutBack(drifted.release(1), ("spec.x",))


def test_where_nothing_splits_what_needs_no_shares_begins() -> None:
    blue = {"strategy": "blueGreen", "hold": "10m"}
    for scene in (one(rollout=blue), one(rollout={})):
        assert isinstance(seen(scene.version(2), splits=False).decide().action, StageCandidate)
    assert isinstance(one().version(2).decide().action, StageCandidate)
    before = one()
    tags: dict[str, Any] = {TAG_RELEASE: release_to_tag("models", before.release(1))}
    pinned = one(promotion={"version": "1"})
    back = replace(pinned, versions=()).version(1, **tags).version(2, Stage.PRODUCTION).serving(2)
    assert isinstance(seen(back, mode=STANDARD, splits=False).decide().action, StageCandidate)


def beside_record(**predictor: Any) -> Scene:
    """Let it be known how version 1 was applied."""
    scene = one()
    fields = {**serving(), "predictor": {"model": MODEL, **predictor}}
    return scene.version(2).sees(records={scene.release(1): ReleaseRecord(scene.release(1), "s3://m/1", fields)})


def test_what_a_canary_would_inherit_is_named_and_it_does_not_begin() -> None:
    decision = beside_record(serviceAccountName="reader", nodeSelector={"gpu": "yes"}).decide()
    assert (decision.action, decision.cause, decision.phase) == (None, "CanaryInherits", Phase.DEPLOYING)
    assert "its canary would inherit nodeSelector, serviceAccountName from 1-" in decision.stalled
    assert decision.waits_for.startswith("a commit that says what nodeSelector is to be")


def test_going_back_to_what_has_not_what_it_would_inherit_says_which_commit_goes_back_at_once() -> None:
    pinned = one(promotion={"version": "1"})
    tags: dict[str, Any] = {TAG_RELEASE: release_to_tag("models", pinned.release(1))}
    back = seen(replace(pinned, versions=()).version(1, **tags).version(2, Stage.PRODUCTION).serving(2), mode=STANDARD)
    newer = {**serving(), "predictor": {"model": MODEL, "serviceAccountName": "reader"}}
    applied = ReleaseRecord(pinned.release(2), "s3://m/2", newer)
    decision = back.sees(records={pinned.release(2): applied}).decide()
    assert (decision.action, decision.cause) == (None, "CanaryInherits")
    assert decision.waits_for == (
        "a commit that says what serviceAccountName is to be: KServe cannot unset it in a canary. "
        'To go back at once, commit version: "1", serviceAccountName as it is now and strategy: immediate'
    )


def test_in_knative_mode_nothing_is_inherited() -> None:
    scene = settled()
    fields = {**serving(mode="Knative"), "predictor": {"model": MODEL, "serviceAccountName": "reader"}}
    applied = ReleaseRecord(scene.release(1), "s3://m/1", fields)
    decision = scene.version(2).sees(records={scene.release(1): applied}).decide()
    assert isinstance(decision.action, StageCandidate)


def test_what_a_canary_has_itself_or_never_gets_is_not_inherited() -> None:
    assert isinstance(beside_record().decide().action, StageCandidate)
    assert isinstance(beside_record(maxReplicas=4, minReplicas=2, name="v1").decide().action, StageCandidate)


# Shares that do not show.


@pytest.mark.parametrize(("since", "unrouted"), [(59 * SECOND, False), (MINUTE, True), (None, False)])
def test_a_share_has_a_minute_to_show(since: timedelta | None, *, unrouted: bool) -> None:
    at = None if since is None else NOW - since
    asked = replace(live(canary(10)), applied_at=at)
    assert unroutable(asked, NOW) is unrouted
    assert unroutable(replace(asked, splits=False), NOW)
    assert not unroutable(replace(asked, mode="Knative"), NOW)
    assert not unroutable(replace(asked, listed=True), NOW)


def test_a_share_that_does_not_show_is_waited_for_and_then_told() -> None:
    hidden: dict[str, Any] = {"traffic": split(0)}
    waiting = canary(10, 0, applied_at=NOW - 20 * SECOND, **hidden).decide()
    assert (waiting.action, waiting.stalled) == (None, "")
    assert waiting.waits_for == "10 % of the traffic to reach version 2"
    assert waiting.look_again_at == NOW + 40 * SECOND
    followed = canary(10, 0, applied_at=NOW - 20 * SECOND, listed=True, **hidden).decide()
    assert followed.waits_for == waiting.waits_for
    assert followed.look_again_at != waiting.look_again_at
    told = canary(10, 0, applied_at=NOW - MINUTE, **hidden).decide()
    assert (told.action, told.cause, told.phase) == (None, "TrafficNotRouted", Phase.CANARY)
    assert told.stalled == "version 2 would never get 10 % of the traffic: the HTTPRoute sends it 0 %"
    none = canary(10, 0, splits=False, **hidden).decide()
    assert none.stalled == "version 2 would never get 10 % of the traffic: there is no HTTPRoute"
    unknown = canary(10, 0, applied_at=None, **hidden).decide()
    assert (unknown.stalled, unknown.look_again_at) == ("", NOW - MINUTE + timedelta(hours=1))
    assert isinstance(canary(10, 0, applied_at=NOW - MINUTE).decide().action, BeginStep)
    knative = seen(wanting().version(1, Stage.PRODUCTION).rolling(10), traffic=split(0), applied_at=NOW - SECOND)
    assert knative.decide().look_again_at == NOW - MINUTE + timedelta(hours=1)


# The way from the last step to the promotion.


def test_after_the_last_step_everything_is_asked_for_before_the_stable_predictor_goes() -> None:
    over = canary(50, 2, 10 * MINUTE)
    asked = over.decide()
    assert asked.action == ShiftTraffic(over.release(2), 100, STABLE)
    assert asked.reason.startswith("because every step passed (")
    assert asked.phase is Phase.PROMOTING
    assert canary(100, 2, 10 * MINUTE).decide().action == RouteAll(over.release(2), STABLE)


def test_everything_has_to_show_before_the_promotion_unless_nothing_routes_it() -> None:
    waiting = canary(100, 2, 10 * MINUTE, traffic=split(50), applied_at=NOW - 20 * SECOND).decide()
    assert (waiting.action, waiting.waits_for) == (None, "all traffic to reach version 2")
    assert (waiting.look_again_at, waiting.phase) == (NOW + 40 * SECOND, Phase.PROMOTING)
    for changes in ({"applied_at": NOW - MINUTE}, {"splits": False}):
        decision = canary(100, 2, 10 * MINUTE, traffic=split(50), **changes).decide()
        assert isinstance(decision.action, RouteAll)


def short_of(scene: Scene, **changes: Any) -> Scene:
    """Let stable have some pods too few."""
    return seen(scene, short={STABLE: "1 of 2 pods"}, **changes)


def test_what_was_routed_before_is_not_promoted_because_the_route_is_late() -> None:
    late = recorded(canary(100, 2, 10 * MINUTE, traffic=split(50), applied_at=NOW - MINUTE), percent=50)
    decision = late.decide()
    assert (decision.action, decision.phase) == (None, Phase.PROMOTING)
    assert decision.stalled == "version 2 gets 50 % of the traffic, not 100 %: the HTTPRoute does not follow"
    assert isinstance(recorded(late, percent=0).decide().action, RouteAll)
    assert short_of(recorded(late, percent=0)).decide().cause == "StableNotReady"


def test_a_share_that_does_not_show_as_stable_has_too_few_pods_is_never_due_in_the_past_and_told() -> None:
    over = canary(10, 1, 20 * MINUTE, traffic=split(0), applied_at=NOW - 5 * MINUTE)
    for scene, cause in ((short_of(over), "StableNotReady"), (over, "TrafficNotRouted")):
        decision = scene.decide()
        assert (decision.action, decision.cause) == (None, cause)
        assert decision.look_again_at is None or decision.look_again_at > NOW


def test_a_deadline_blames_nobody_while_stable_has_too_few_pods_and_counts_anew_once_it_has_them() -> None:
    late = canary(10, 1, 2 * (60 * MINUTE), latest_ready=STABLE)
    assert isinstance(late.decide().action, CutTraffic)
    assert not isinstance(short_of(late).decide().action, CutTraffic)
    back = seen(late, steady_since={STABLE: NOW - 20 * MINUTE})
    assert (back.decide().action, back.decide().look_again_at) == (None, NOW + 40 * MINUTE)
    before = seen(late, steady_since={STABLE: NOW - 5 * (60 * MINUTE)})
    assert isinstance(before.decide().action, CutTraffic)


def test_a_canary_of_one_step_is_promoted_as_well_and_in_knative_mode_nothing_is_asked_for_beyond_the_steps() -> None:
    scene = canary(100, 1, 10 * MINUTE)
    alone = scene.wants(spec=spec(serving=serving(), rollout={"steps": STEPS[:1]}))
    assert alone.decide().action == RouteAll(scene.release(2), STABLE)
    knative = wanting().version(1, Stage.PRODUCTION).rolling(100, 2, 10 * MINUTE)
    assert knative.decide().action == ShiftTraffic(knative.release(2), 50, STABLE)


def test_everything_that_was_asked_for_in_another_step_is_lowered_to_that_step() -> None:
    scene = canary(100, 1, 10 * MINUTE)
    assert scene.decide().action == ShiftTraffic(scene.release(2), 10, STABLE)


# A release with the artifact of the stable one: the stable predictor becomes what the canary is.


def succeeded(percent: int, **changes: Any) -> Scene:
    scene = canary(percent, 2, 10 * MINUTE)
    return seen(scene, **{"beside": scene.release(2), **changes})


def test_the_stable_predictor_takes_over_once_it_is_ready_and_the_canary_goes_last() -> None:
    release = canary(0).release(2)
    coming = succeeded(100, ready=False, message="loading").decide()
    assert (coming.action, coming.phase) == (None, Phase.PROMOTING)
    assert coming.waits_for == "version 2 to come up as the stable predictor: loading"
    slow = succeeded(100, ready=False, failure=Failure("Slow", "pulling", terminal=False)).decide()
    assert (slow.stalled, slow.health) == ("Slow: pulling", Health.DEGRADED)
    ready = succeeded(100).decide()
    assert (ready.action, ready.phase) == (ShiftTraffic(release, 0, STABLE), Phase.PROMOTING)
    assert ready.reason == "because the stable predictor is version 2 as well, and ready"
    lowered = succeeded(0, traffic=split(5)).decide()
    assert (lowered.action, lowered.waits_for) == (None, "the canary to have no callers any more")
    assert lowered.phase is Phase.PROMOTING
    done = succeeded(0).decide()
    assert (done.action, done.phase) == (RouteAll(release, STABLE), Phase.PROMOTING)
    assert done.reason == "because callers get version 2 of the stable predictor"


@pytest.mark.parametrize("applied", [NOW, None])
def test_a_stable_predictor_that_does_not_take_over_in_time_is_told_and_callers_keep_the_canary(
    applied: datetime | None,
) -> None:
    scene = succeeded(100, ready=False, message="loading", applied_at=applied)
    late = (applied or NOW - 10 * MINUTE) + timedelta(hours=1)
    waiting = scene.decide(late - SECOND)
    assert (waiting.stalled, waiting.health, waiting.look_again_at) == ("", Health.PROGRESSING, late)
    decision = scene.decide(late)
    assert decision.stalled == "it did not come up within 1h: loading"
    assert decision.waits_for == (
        f"version 2 to come up as the stable predictor, or `reconciler abort`, which gives callers back to "
        f"{scene.release(1)}; the canary serves until then"
    )
    assert (decision.action, decision.phase, decision.health) == (None, Phase.PROMOTING, Health.DEGRADED)
    assert decision.look_again_at is None


def test_what_took_over_is_not_taken_back_nor_superseded_on_its_way() -> None:
    release, pinned = canary(0).release(2), spec(serving=serving(), promotion={"version": "1"})
    for scene in (succeeded(100).version(3), succeeded(100).wants(spec=pinned)):
        assert scene.decide().action == ShiftTraffic(release, 0, STABLE)
    assert succeeded(0).wants(spec=pinned).decide().action == RouteAll(release, STABLE)


# Taking back.


def test_a_promotion_is_final_though_it_was_decided_against() -> None:
    scene = against(canary(None))
    whole = seen(scene, traffic=(TrafficTarget(CANDIDATE, 100, "latest", latest=True),))
    assert isinstance(whole.decide().action, Promote)
    assert isinstance(seen(whole, mode="Knative").decide().action, RestoreStable)


def test_a_canary_that_was_decided_against_loses_its_callers_before_it_goes() -> None:
    assert isinstance(against(canary(10)).decide().action, CutTraffic)
    assert isinstance(against(canary(10), wanted="before Git changed").decide().action, CutTraffic)
    still = against(canary(0, traffic=split(10))).decide()
    assert (still.action, still.waits_for) == (None, "0 % of the traffic to reach version 2")
    assert still.phase is Phase.ROLLING_BACK
    alike = {STABLE: canary(0).release(2), CANDIDATE: canary(0).release(2)}
    assert isinstance(against(canary(0, revisions=alike)).decide().action, RestoreStable), "stable may be of it as well"
    gone = against(canary(0)).decide()
    assert gone.action == RestoreStable(canary(0).release(1))
    assert isinstance(seen(against(canary(0)), mode="Knative", traffic=split(10)).decide().action, RestoreStable)


# Another mode than Git asks for.


def test_a_mode_is_never_changed_and_what_serves_is_kept() -> None:
    scene = seen(settled(), mode=STANDARD)
    decision = scene.decide()
    assert (decision.action, decision.health, decision.phase) == (None, Health.HEALTHY, Phase.IDLE)
    assert decision.stalled == "it runs in Standard mode, which KServe never changes, and Git asks for Knative"
    assert decision.waits_for == (
        "serving.mode: Standard in Git, another namespace or name, or the object to be deleted"
    )
    newer = scene.version(2).decide()
    assert (newer.action, newer.stalled) == (None, decision.stalled)
    ill = frozenset({STABLE})
    assert seen(scene, ready=False, unready=ill).decide().health is Health.DEGRADED


def test_in_another_mode_what_is_on_its_way_goes_on_and_what_serves_is_promoted() -> None:
    unpromoted = seen(wanting().version(1).serving(1), mode=STANDARD)
    assert isinstance(unpromoted.decide().action, Promote)
    rolling = seen(wanting().version(1, Stage.PRODUCTION).rolling(10, 1, 20 * MINUTE), mode=STANDARD)
    assert "which KServe never changes" not in rolling.decide().stalled
    holding = seen(wanting().version(1, Stage.PRODUCTION).rolling(10, 1), mode=STANDARD).decide()
    assert (holding.action, holding.stalled) == (None, "")


def test_in_another_mode_what_never_came_up_is_waited_for() -> None:
    scene = seen(wanting().version(1).serving(1), mode=STANDARD, traffic=(), latest_ready=None, latest_rolledout=None)
    decision = scene.decide()
    assert decision.action is None
    assert "which KServe never changes" in decision.stalled
    assert decision.health is Health.MISSING
    other = seen(
        wanting().version(1, Stage.PRODUCTION).version(2).serving(2),
        mode=STANDARD, traffic=(), latest_ready=None, latest_rolledout=None,
    )  # fmt: skip
    stray = replace(live(settled()), namespace="before", uid="stray")
    for scene in (other, other.sees(strays=(stray,))):
        assert scene.decide().action is None, "nor is what callers had deployed in the mode that Git asks for"


@pytest.mark.parametrize("changes", [{"ours": False}, {"namespace": "elsewhere"}, {"mode": "Knative"}])
def test_only_our_object_where_git_wants_it_has_another_mode(changes: dict[str, Any]) -> None:
    scene = seen(settled(), **{"mode": STANDARD, **changes})
    assert "which KServe never changes" not in scene.decide().stalled
    assert other_mode(facts_of(scene)) is False


# What the route does not tell, and what somebody split.


def test_a_route_that_tells_nothing_yet_is_waited_for() -> None:
    decision = seen(one(), traffic=()).decide()
    assert (decision.action, decision.stalled) == (None, "")
    assert (decision.waits_for, decision.phase) == ("the HTTPRoute to tell who gets how much", Phase.DEPLOYING)
    odd = seen(one(), traffic=(TrafficTarget("by-hand", 100),)).decide()
    assert "no rollout on record explains" in odd.stalled
    fresh = seen(one(), traffic=(), latest_rolledout=None).decide()
    assert "HTTPRoute" not in fresh.waits_for
    assert "HTTPRoute" not in seen(settled(), traffic=()).decide().waits_for


def test_a_split_by_hand_is_told_in_the_words_of_the_mode() -> None:
    decision = seen(one(), canary_percent=10).decide()
    assert decision.stalled == "the share in spec.canary is 10, but no rollout is on record"
    assert decision.waits_for.startswith("somebody to remove the share in spec.canary from")
    assert decision.sync is Sync.OUT_OF_SYNC
    assert seen(settled(), canary_percent=10).decide().stalled.startswith("canaryTrafficPercent is 10")


# Whose field the canary is.


def test_a_canary_that_somebody_else_holds_is_not_removed_nor_taken() -> None:
    scene = canary(10)
    fields = scene.wanted.spec.serving
    assert fields is not None
    records = {r: ReleaseRecord(r, "s3://m", serving_fields(fields)) for r in (scene.release(1), scene.release(2))}
    held = seen(scene, held=(HeldField(CANARY, "kubectl", []),)).sees(records=records)

    def left(action: Action, of: Scene = held) -> str:
        return respect_owners(facts_of(of), act(action, "because", Phase.CANARY)).cause

    release, stable = scene.release(2), scene.release(1)
    # All of these write or drop spec.canary.
    dropping = (RouteAll(release, STABLE), RestoreStable(stable))
    for action in (*dropping, ShiftTraffic(release, 50, STABLE), StartCanary(release), PutBack(release, ())):
        assert left(action) == "FieldsHeld", action
    assert left(CutTraffic(release, "w", NOW)) == "FieldsHeld", "a cut is a write of that very field"
    unknown = held.sees(records={release: records[release]})
    assert left(ShiftTraffic(release, 50, STABLE), unknown) == "NeedsChange", "nobody knows what stands beside"
    assert left(Deploy(release), seen(held, held=())) == "NeedsChange"
    for action in dropping:
        assert left(action, held.sees(records={})) == "FieldsHeld", "whoever drops it need not know what is in it"


def test_a_canary_that_somebody_else_holds_is_not_begun_either() -> None:
    scene = one().version(2)
    fields = scene.wanted.spec.serving
    assert fields is not None
    records = {r: ReleaseRecord(r, "s3://m", serving_fields(fields)) for r in (scene.release(1), scene.release(2))}
    held = seen(scene, held=(HeldField(CANARY, "kubectl", []),)).sees(records=records)
    decided = act(StartCanary(scene.release(2)), "because", Phase.CANARY)
    assert respect_owners(facts_of(held), decided).cause == "FieldsHeld"


def test_a_promotion_takes_no_field_of_others_though_nobody_knows_what_stands_beside() -> None:
    scene = canary(100)
    asked = {**serving(), "predictor": {"model": MODEL, "minReplicas": 1}}
    replicas = HeldField(("f:spec", "f:predictor", "f:minReplicas"), "kubectl", 7)
    records = {scene.release(2): ReleaseRecord(scene.release(2), "s3://m", asked)}
    held = seen(scene, held=(replicas,)).sees(records=records)
    decided = act(RouteAll(scene.release(2), STABLE), "because", Phase.PROMOTING)
    assert respect_owners(facts_of(held), decided).cause == "FieldsHeld"


# Going back to what callers had, as a reverted commit asks.


def test_which_actions_are_steps_of_going_back() -> None:
    scene = one(promotion={"version": "1"})
    tags: dict[str, Any] = {TAG_RELEASE: release_to_tag("models", scene.release(1))}
    back = replace(scene, versions=()).version(1, **tags).version(2, Stage.PRODUCTION).serving(2)
    old, new = scene.release(1), scene.release(2)
    facts = facts_of(back)
    assert goes_back_by(facts, StageCandidate(old, new, STABLE))
    assert goes_back_by(facts, StageCandidate(new, old, STABLE)) is False
    steps: tuple[Action, ...] = (
        StartCanary(old), ShiftTraffic(old, 10, STABLE), RouteAll(old, STABLE), Promote(1, old),
    )  # fmt: skip
    rollout = RolloutRecord(old, new, STABLE, 0, NOW, NOW, facts.wanted)
    under_way = replace(facts, rollout=rollout)
    onward = replace(facts, rollout=replace(rollout, release=new, stable=old))
    for action in steps:
        assert goes_back_by(under_way, action)
        assert not goes_back_by(facts, action)
        assert not goes_back_by(onward, action)
    assert goes_back_by(under_way, Deploy(old)) is False
    assert goes_back_by(under_way, BeginStep(Release(1, "x"), 1, NOW)) is False
