"""From the wanted version to what callers get, where something is not as it should be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.observed import Failure, Known, Memory, Release, Stage, TrafficTarget, Unknown
from reconciler.plan.action import Archive, Deploy, Promote, PutBack, StageCandidate, TakeDown
from reconciler.plan.facts import wanted_digest
from reconciler.plan.marks import release_to_tag
from reconciler.plan.serve import _just_adopted
from reconciler.recall import PUT_BACK_MEMORY
from reconciler.registry_roles import CHAMPION
from reconciler.status import Health, Phase, Sync
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, UNKNOWN, Scene, settled, spec, wanting
from tests.plan.test_rules import rolled_back

DRIFT = Known(("spec.x", "spec.y"), NOW)
FAILED = Failure("Slow", "pulling", terminal=False)


def seen(scene: Scene, **changes: Any) -> Scene:
    assert scene.live is not None
    return replace(scene, live=replace(scene.live, **changes))


def left_behind(scene: Scene, **changes: Any) -> Scene:
    """Let the model still be served where it was before."""
    live = settled().live
    assert live is not None
    return scene.sees(strays=(replace(live, namespace="before", uid="stray", **changes),))


# Callers that do not come yet as the shares say.


def test_who_serves_is_recorded_and_who_does_not_archived_only_once_the_network_follows() -> None:
    rolling = wanting().version(1, Stage.PRODUCTION).rolling(None, 2)
    whole = (TrafficTarget(CANDIDATE, 100, "latest", latest=True),)
    behind = seen(rolling, traffic=whole, routed=False, message="IngressNotConfigured").decide()
    assert (behind.action, behind.phase) == (None, Phase.PROMOTING)
    assert behind.waits_for == "the network to send all callers to the new revision: IngressNotConfigured"
    assert seen(rolling, traffic=whole).decide().action == Promote(2, rolling.release(2))


def test_what_serves_already_is_kept_whatever_becomes_of_the_network() -> None:
    decision = seen(settled(), routed=False).decide()
    assert (decision.action, decision.sync) == (None, Sync.SYNCED)


# Putting back.


@pytest.mark.parametrize(
    ("times", "pause"),
    [
        ([0], timedelta(seconds=5)),
        ([9, 0], timedelta(seconds=10)),
        ([0, 9], timedelta(seconds=10)),
        ([0] * 3, timedelta(seconds=20)),
        ([0] * 8, timedelta(seconds=640)),
        ([0] * 9, timedelta(minutes=15)),
        ([0] * 60, timedelta(minutes=15)),
    ],
)
def test_the_pause_before_putting_back_doubles_up_to_a_quarter_of_an_hour(times: list[int], pause: timedelta) -> None:
    scene = settled().sees(drift=DRIFT, memory=Memory(put_backs=tuple(NOW - timedelta(seconds=s) for s in times)))
    waiting = scene.decide()
    assert (waiting.action, waiting.look_again_at) == (None, NOW + pause)
    assert waiting.waits_for == "a pause before putting spec.x, spec.y back again"
    assert waiting.health is Health.DEGRADED
    assert scene.decide(NOW + pause - timedelta(microseconds=1)).action is None
    assert scene.decide(NOW + pause).action == PutBack(scene.release(1), ("spec.x", "spec.y"))


def test_the_pause_stays_at_its_longest_until_there_was_a_calm_of_twice_that() -> None:
    now, times, gaps = NOW, [NOW], []
    while now < NOW + timedelta(hours=12):
        kept = tuple(at for at in times if at > now - PUT_BACK_MEMORY)
        decision = settled().sees(drift=DRIFT, memory=Memory(put_backs=kept)).decide(now)
        if decision.action is None:
            assert decision.look_again_at is not None
            now = decision.look_again_at
        else:
            gaps.append(now - times[-1])
            times.append(now)
    assert gaps == sorted(gaps)
    assert gaps[-1] == timedelta(minutes=15)


@pytest.mark.parametrize(("calm", "pause"), [(timedelta(minutes=30), 20), (timedelta(minutes=30, seconds=1), 5)])
def test_only_a_calm_of_more_than_half_an_hour_begins_the_pauses_anew(calm: timedelta, pause: int) -> None:
    times = (NOW, NOW - calm, NOW - calm - timedelta(seconds=9))
    scene = settled().sees(drift=DRIFT, memory=Memory(put_backs=times))
    assert scene.decide().look_again_at == NOW + timedelta(seconds=pause)
    after = scene.decide(NOW + timedelta(minutes=30, seconds=1))
    assert isinstance(after.action, PutBack)


def test_drift_that_is_none_or_not_known_puts_nothing_back() -> None:
    for drift in (Known((), NOW), None):
        assert settled().sees(drift=drift).decide().sync is Sync.SYNCED


def test_what_cannot_be_compared_is_not_called_synced() -> None:
    decision = settled().sees(drift=Unknown("the webhook does not answer", NOW)).decide()
    assert (decision.action, decision.sync, decision.health) == (None, Sync.UNKNOWN, Health.HEALTHY)
    assert decision.waits_for == "a comparison with the live object: the webhook does not answer"
    ill = seen(settled().sees(drift=UNKNOWN), ready=False, unready=frozenset({STABLE})).decide()
    assert ill.health is Health.DEGRADED


# Keeping.


def test_a_version_that_serves_and_is_not_in_the_registry_asks_for_a_person() -> None:
    decision = wanting(training=None).serving(7).decide()
    assert decision.action is None
    assert decision.stalled == "version 7 serves, but is not in the registry"


def test_in_sync_is_told_even_where_the_service_is_ill() -> None:
    ill = seen(settled(), ready=False, message="no pod", unready=frozenset({STABLE})).decide()
    assert (ill.sync, ill.health, ill.waits_for) == (
        Sync.SYNCED,
        Health.DEGRADED,
        "the service to become ready: no pod",
    )
    failing = seen(settled(), failure=FAILED).decide()
    assert (failing.health, failing.waits_for) == (Health.DEGRADED, "the service to become ready: pulling")


def test_a_service_that_scales_out_or_replaces_pods_while_others_serve_is_not_ill() -> None:
    scaling = seen(settled(), ready=False, message="3 of 5 replicas available", unready=frozenset({CANDIDATE})).decide()
    assert (scaling.sync, scaling.health) == (Sync.SYNCED, Health.PROGRESSING)
    assert scaling.waits_for == "the service to become ready: 3 of 5 replicas available"


def test_a_version_that_serves_is_promoted_only_when_it_is_ready() -> None:
    scene = wanting().version(1).serving(1, ready=False)
    assert scene.decide().action is None
    assert "version 1 to become ready" in scene.decide().waits_for
    assert wanting().version(1).serving(1).decide().action == Promote(1, wanting().release(1))


def test_what_was_applied_over_the_proven_release_and_is_not_wanted_is_taken_back() -> None:
    scene = seen(settled(), release=Release(9, "x"))
    decision = scene.decide()
    assert decision.action == Deploy(scene.release(1))
    assert "what was applied over it is not wanted" in decision.reason


def test_a_release_waits_to_come_up_above_what_was_applied_in_between() -> None:
    revisions = {STABLE: settled().release(1), CANDIDATE: Release(9, "x")}
    scene = seen(settled(), revisions=revisions)
    decision = scene.decide()
    assert decision.action is None
    assert "to come up above what was applied in between" in decision.waits_for


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION])
def test_nothing_else_holds_a_role_beside_what_serves(stage: Stage) -> None:
    beside = (
        replace(settled(), versions=()).version(1, Stage.PRODUCTION).version(2, stage, gates="failed x", key="other")
    )
    action = beside.decide().action
    assert action == (Archive(2) if stage is Stage.STAGING else Promote(1, beside.release(1)))


def test_an_alias_that_points_elsewhere_is_put_back() -> None:
    scene = settled().version(2, Stage.ARCHIVED, gates="failed x", key="other")
    misled = (*scene.versions[:1], replace(scene.versions[1], aliases=frozenset({CHAMPION})))
    assert replace(scene, versions=misled).decide().action == Promote(1, scene.release(1))
    right = (replace(scene.versions[0], aliases=frozenset({CHAMPION})), scene.versions[1])
    assert replace(scene, versions=right).decide().action is None


def test_a_version_that_serves_and_was_never_proven_is_not_promoted_but_told() -> None:
    scene = wanting().version(1, gates=None).serving(1).evidence(1, accuracy=0.5)
    decision = scene.decide()
    assert decision.action is None
    assert decision.stalled == "version 1 serves, but has no passed gates on record, so it is not promoted"
    assert [v.lost for v in decision.versions] == ["accuracy 0.5 < 0.9"]
    unread = wanting().version(1, gates=None).serving(1).decide()
    assert (unread.action, unread.waits_for) == (None, "the gates: metrics of version 1 are not read yet")


# Toward another version.


def test_what_serves_is_promoted_before_another_version_sets_out_to_replace_it() -> None:
    scene = wanting().version(1).version(2).serving(1)
    assert scene.decide().action == Promote(1, scene.release(1))
    assert isinstance(settled().version(2).decide().action, StageCandidate)


def test_what_serves_and_is_not_proven_or_not_sure_to_stay_is_not_promoted_first() -> None:
    unproven = wanting().version(1, gates="failed x").version(2).serving(1)
    assert isinstance(unproven.decide().action, StageCandidate)
    ill = wanting().version(1).version(2).serving(1, ready=False)
    assert isinstance(ill.decide().action, StageCandidate)


def test_a_service_that_has_not_settled_is_waited_for_or_put_back_before_a_rollout() -> None:
    scene = seen(settled().version(2), latest_created=CANDIDATE)
    assert scene.decide().waits_for == "the live service to settle before a rollout"
    assert isinstance(scene.sees(drift=DRIFT).decide().action, PutBack)


def hanging(version: int, **changes: Any) -> Scene:
    """Let a newer template of version 1 fail above what serves."""
    scene = settled().version(version)
    failure = Failure("RevisionFailed", "it ends; next: read its log", terminal=False)
    above: dict[str, Any] = {"revisions": {STABLE: scene.release(1), CANDIDATE: scene.release(1)}, "failure": failure}
    return seen(scene, **{"latest_created": CANDIDATE, "ready": False, **above, **changes})


def test_a_rollout_begins_below_a_newer_template_of_stable_that_fails() -> None:
    scene = hanging(2)
    assert scene.decide().action == StageCandidate(scene.release(2), scene.release(1), STABLE)
    assert isinstance(scene.sees(drift=DRIFT).decide().action, StageCandidate)


def test_what_keeps_the_live_service_from_settling_is_told_with_what_helps() -> None:
    decision = hanging(2, latest_rolledout=None).decide()
    assert (decision.action, decision.health) == (None, Health.DEGRADED)
    assert decision.stalled == "RevisionFailed: it ends; next: read its log"
    assert decision.waits_for == (
        "the live service to settle before a rollout: what changed its pods to be undone, as a label of the object or "
        "its serving runtime, or them to start"
    )


def test_a_live_service_that_has_not_settled_is_degraded_only_where_callers_go_to_what_is_not_ready() -> None:
    scene = hanging(2, failure=None, message="pulling the image")
    decision = scene.decide()
    assert (decision.stalled, decision.health) == ("", Health.PROGRESSING)
    assert decision.waits_for == "the live service to settle before a rollout: pulling the image"
    assert seen(scene, unready=frozenset({STABLE})).decide().health is Health.DEGRADED


def test_a_version_that_was_applied_while_nothing_served_yet_is_waited_for() -> None:
    scene = seen(settled().version(2), release=settled().release(2), message="loading")
    assert scene.decide().waits_for == "version 2 to become ready: loading"


def test_an_object_that_is_going_is_waited_for() -> None:
    assert seen(settled(), deleting=True).decide().waits_for == "the InferenceService to be deleted"


def test_traffic_that_no_rollout_explains_asks_for_a_person() -> None:
    targets = (TrafficTarget(STABLE, 50), TrafficTarget(CANDIDATE, 50))
    revisions = {STABLE: settled().release(1), CANDIDATE: Release(9, "x")}
    decision = seen(settled(), traffic=targets, revisions=revisions).decide()
    assert f"50 % to {STABLE}, 50 % to {CANDIDATE}" in decision.stalled
    first = seen(wanting().version(1).serving(1), traffic=targets, revisions=revisions, latest_rolledout=None)
    assert "to become ready" in first.decide().waits_for


# Where nothing is served.


def test_what_callers_had_comes_back_before_anything_newer() -> None:
    scene = replace(settled().version(2), live=None)
    decision = scene.decide()
    assert decision.action == Deploy(scene.release(1))
    assert decision.health is Health.MISSING
    unproven = replace(wanting().version(1, Stage.PRODUCTION, gates="failed x").version(2), live=None)
    assert unproven.decide().action == Deploy(scene.release(2))


def test_a_version_whose_serving_fields_were_rolled_back_comes_back_with_those_by_which_it_served() -> None:
    rejected = replace(rolled_back(settled(), 1), live=None)
    assert rejected.decide().action is None
    assert rejected.decide().stalled == "version 1 was rolled back: too many errors"
    for served, action in ((Release(1, "before"), Deploy(Release(1, "before"))), (rejected.release(1), None)):
        tags = {**rejected.versions[0].tags, "reconciler.dev/release": release_to_tag("models", served)}
        told = replace(rejected, versions=(replace(rejected.versions[0], tags=tags),))
        assert told.decide().action == action


def test_nothing_that_passes_is_waited_for() -> None:
    decision = wanting(training=None).decide()
    assert (decision.waits_for, decision.phase, decision.health) == (
        "a version that passes its gates", Phase.GATING, Health.MISSING,
    )  # fmt: skip


# A model that moved.


def test_a_model_that_moved_is_served_there_with_what_callers_have_before_it_is_taken_down_here() -> None:
    moving = left_behind(replace(settled().version(2), live=None))
    assert moving.decide().action == Deploy(moving.release(1))
    arrived = left_behind(settled())
    assert arrived.decide().action == TakeDown("before", "stray")
    assert "the model moved to namespace models" in arrived.decide().reason
    newer = left_behind(settled().version(2))
    assert newer.decide().action == TakeDown("before", "stray")


@pytest.mark.parametrize("changes", [{"ready": False}, {"latest_created": CANDIDATE}])
def test_what_is_left_behind_stays_until_callers_are_served_where_git_wants(changes: dict[str, Any]) -> None:
    assert not isinstance(seen(left_behind(settled()), **changes).decide().action, TakeDown)


def test_what_is_left_behind_and_going_already_is_not_taken_down_again() -> None:
    decision = left_behind(settled(), deleting=True).decide()
    assert (decision.action, decision.waits_for) == (None, "the InferenceService in namespace before to be deleted")


def test_a_model_that_is_served_nowhere_any_more_is_taken_down_everywhere() -> None:
    here = settled().wants(spec=spec(serving=None))
    assert here.decide().action == TakeDown("models", "uid")
    assert left_behind(replace(here, live=None)).decide().action == TakeDown("before", "stray")
    foreign = seen(here, ours=False)
    assert foreign.decide().action is None
    assert seen(here, deleting=True).decide().action is None
    done = replace(here, live=None).decide()
    assert (done.sync, done.health) == (Sync.SYNCED, Health.HEALTHY)


def test_a_model_that_is_only_registered_is_promoted_when_it_passes() -> None:
    scene = wanting().version(1).wants(spec=spec(serving=None))
    decision = scene.decide()
    assert (decision.action, decision.reason) == (Promote(1, None), "because it passed its gates")
    nothing = wanting().wants(spec=spec(serving=None, training=None)).decide()
    assert nothing.waits_for == "a version that passes its gates"
    assert wanted_digest(spec()) != wanted_digest(spec(serving=None))


def test_a_split_made_by_hand_asks_for_a_person_before_anything_is_rolled_out() -> None:
    decision = seen(settled().version(2), canary_percent=0).decide()
    assert decision.stalled == "canaryTrafficPercent is 0, but no rollout is on record"


def test_a_candidate_that_has_all_traffic_is_promoted_whatever_git_wants_by_then() -> None:
    rolling = wanting(promotion={"version": "1"}).version(1, Stage.PRODUCTION).rolling(None, 2, MINUTE)
    routed = seen(rolling, traffic=(TrafficTarget(CANDIDATE, 100, "latest", latest=True),))
    assert routed.decide().action == Promote(2, rolling.release(2))


# A rollout whose record was lost.


def unrecorded(**changes: Any) -> Scene:
    """Let version 2 be applied with 0 %, with nothing on record of its rollout."""
    applied = wanting().version(1, Stage.PRODUCTION).rolling(0, 0)
    return seen(replace(applied, versions=settled().version(2).versions), **changes)


def test_a_rollout_whose_record_was_lost_is_put_on_record_again() -> None:
    scene = unrecorded()
    assert scene.decide().action == StageCandidate(scene.release(2), scene.release(1), STABLE)


BY_HAND: dict[str, Scene] = {
    "the candidate gets traffic": unrecorded(canary_percent=10),
    "what stands there has no label of ours": unrecorded(release=None),
    "what stands there is the stable release": unrecorded(release=settled().release(1)),
    "its version is not registered": unrecorded(release=settled().release(9)),
    "its version never passed": replace(
        unrecorded(), versions=settled().version(2, gates="failed x", key="x").versions
    ),
    "no traffic is tagged prev": unrecorded(traffic=(TrafficTarget(STABLE, 100),)),
    "what is tagged prev is not what serves": unrecorded(
        traffic=(TrafficTarget(STABLE, 100), TrafficTarget("iris-predictor-00000", 0, "prev"))
    ),
}


@pytest.mark.parametrize("sentence", BY_HAND)
def test_any_other_split_asks_for_a_person(sentence: str) -> None:
    decision = BY_HAND[sentence].decide()
    assert decision.action is None
    assert "but no rollout is on record" in decision.stalled


# What comes up first.


def coming_up(scene: Scene, version: int, **changes: Any) -> Scene:
    """Let a version be applied and get no traffic yet."""
    return seen(scene.serving(version), traffic=(), latest_ready=None, latest_rolledout=None, **changes)


def test_what_callers_had_is_waited_for_as_long_as_it_may_still_come_up() -> None:
    scene = settled().version(2)
    assert coming_up(scene, 1).decide().waits_for == "version 1 to become ready"
    failed = coming_up(scene, 1, failure=FAILED)
    assert failed.decide().action == Deploy(scene.release(2))
    assert coming_up(scene, 2).decide().waits_for == "version 2 to become ready"


def test_where_callers_are_still_served_elsewhere_what_they_have_comes_first() -> None:
    scene = left_behind(settled().version(2))
    assert coming_up(scene, 1, failure=FAILED).decide().waits_for == "version 1 to become ready: pulling"
    assert coming_up(scene, 2).decide().action == Deploy(scene.release(1))


def test_where_nothing_passes_what_comes_up_is_not_what_is_wanted() -> None:
    scene = coming_up(wanting(training=None).version(1, gates="failed x"), 1).evidence(1, accuracy=0.1)
    rejected = scene.decide().action
    assert not isinstance(rejected, Deploy)
    nothing = coming_up(wanting(training=None), 1).decide()
    assert (nothing.waits_for, nothing.health) == ("a version that passes its gates", Health.MISSING)


def test_a_rollout_that_is_left_on_record_after_its_promotion_is_ended() -> None:
    rolling = wanting().version(1, Stage.ARCHIVED).rolling(None, 2)
    routed = seen(rolling, traffic=(TrafficTarget(CANDIDATE, 100, "latest", latest=True),))
    promoted = (rolling.versions[0], replace(rolling.versions[1], stage=Stage.PRODUCTION))
    assert replace(routed, versions=promoted).decide().action == Promote(2, rolling.release(2))


def test_what_callers_are_served_elsewhere_comes_first_even_before_it_is_in_production() -> None:
    scene = left_behind(wanting().version(1).version(2))
    assert scene.decide().action == Deploy(scene.release(1))
    unlabelled = left_behind(wanting().version(1).version(2), revisions={STABLE: None})
    assert unlabelled.decide().action == Deploy(scene.release(2))


def test_a_candidate_that_is_to_get_all_traffic_is_given_time_for_it_whatever_git_wants_by_then() -> None:
    rolling = wanting().version(1, Stage.PRODUCTION).rolling(None, 2)
    targets = (TrafficTarget(CANDIDATE, 50, "latest", latest=True), TrafficTarget(STABLE, 50, "prev"))
    decision = seen(rolling, traffic=targets).version(3).decide()
    assert (decision.action, decision.waits_for) == (None, "all traffic to reach the candidate")


def test_what_serves_is_promoted_while_a_newer_revision_of_it_comes_up() -> None:
    scene = wanting().version(1).serving(1, ready=False, latest_created=CANDIDATE)
    assert scene.decide().action == Promote(1, scene.release(1))
    assert scene.version(2).decide().action == Promote(1, scene.release(1))


def test_what_serves_is_not_promoted_where_another_release_may_take_its_place() -> None:
    scene = wanting().version(1).version(2).serving(1)
    assert seen(scene, release=scene.release(2)).decide().waits_for == "version 2 to become ready"


def test_a_version_that_nobody_registered_is_replaced_by_the_one_that_is_wanted() -> None:
    scene = wanting().version(2).serving(7)
    assert scene.decide().action == StageCandidate(scene.release(2), scene.release(7), STABLE)


def test_a_release_that_never_came_up_does_not_hold_a_rollout_up() -> None:
    scene = seen(settled().version(2), release=Release(9, "x"), latest_created=CANDIDATE)
    assert scene.decide().action == StageCandidate(scene.release(2), scene.release(1), STABLE)


# What stays because Git says so.


def test_what_is_left_behind_stays_where_nothing_is_pruned_and_that_is_told() -> None:
    decision = left_behind(settled(retention={"prune": False})).decide()
    assert (decision.action, decision.cause, decision.health) == (None, "NotPruned", Health.UNKNOWN)
    assert decision.stalled == (
        "the model moved to namespace models, but retention.prune: false keeps the InferenceService in namespace before"
    )
    assert decision.waits_for == "prune: true in Git, or somebody to delete that object"


def test_a_model_that_is_only_registered_by_now_keeps_its_service_where_nothing_is_pruned() -> None:
    decision = settled().wants(spec=spec(serving=None, retention={"prune": False})).decide()
    assert (decision.action, decision.cause) == (None, "NotPruned")
    assert decision.stalled.startswith("the spec has no serving any more, but ")


# What became ours just now.

OURS = "iris-predictor-00002"


def adopted(**changes: Any) -> Scene:
    """Let callers still be sent to the revision that stood before the object became ours."""
    release = settled().release(1)
    return seen(settled(), latest_created=OURS, revisions={STABLE: None, OURS: release}, **changes)


def test_a_release_that_became_ours_is_given_time_to_come_up() -> None:
    decision = adopted().decide()
    assert (decision.action, decision.stalled) == (None, "")
    assert decision.waits_for == f"release {settled().release(1)} to come up as ours"
    assert decision.phase is Phase.DEPLOYING
    assert adopted(message="loading").decide().waits_for.endswith(" to come up as ours: loading")


def test_an_address_without_a_share_does_not_split_what_became_ours() -> None:
    two = (TrafficTarget(OURS, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
    assert adopted(traffic=two).decide().waits_for.endswith(" to come up as ours")


NOT_ADOPTED: dict[str, dict[str, Any]] = {
    "it asks for no release of ours": {"release": None},
    "callers are sent to two revisions": {"traffic": (TrafficTarget(STABLE, 90), TrafficTarget(OURS, 10))},
    "callers are sent to the newer revision": {"traffic": (TrafficTarget(OURS, 100),)},
    "callers are sent nowhere": {"traffic": (TrafficTarget(STABLE, 0),)},
    "the older revision is ours as well": {"revisions": {STABLE: settled().release(9), OURS: None}},
    "its revisions cannot be read": {"revisions": None},
    "it has none": {"revisions": {}},
}  # fmt: skip


@pytest.mark.parametrize("sentence", NOT_ADOPTED)
def test_nothing_else_is_taken_for_what_became_ours(sentence: str) -> None:
    changes = NOT_ADOPTED[sentence]
    live = adopted().live
    assert live is not None
    assert _just_adopted(live)
    assert not _just_adopted(replace(live, **changes))


# A template that a person applied without a split, while a rollout is on record.


def applied_over(newest: int) -> Scene:
    """Let another template than the candidate's be asked for, while the candidate has this share."""
    scene = wanting().version(1, Stage.PRODUCTION).rolling(None, 2)
    traffic = (TrafficTarget(CANDIDATE, newest), TrafficTarget(STABLE, 100 - newest))
    return seen(scene, release=Release(7, "x"), traffic=traffic)


def test_another_version_supersedes_a_rollout_over_which_something_was_applied() -> None:
    scene = applied_over(0).version(3)
    assert scene.decide().action == StageCandidate(scene.release(3), scene.release(1), STABLE)


def test_a_candidate_with_all_traffic_over_which_something_was_applied_is_staged_against_what_serves() -> None:
    scene = applied_over(100)
    decision = scene.decide()
    assert not isinstance(decision.action, Deploy)
    assert decision.phase is not Phase.IDLE
