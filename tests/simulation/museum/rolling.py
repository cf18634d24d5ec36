"""Bugs on the way of a release: canary, promotion, rollback, drift."""

# ruff: noqa: ARG005  what is planted keeps the signature of what it replaces

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from reconciler import observe
from reconciler.analysis.verdict import due_at, judge
from reconciler.ensure import registry, scene, serving
from reconciler.observed import Release, ReleaseRecord, Stage
from reconciler.plan import facts, rollback, rollout, serve
from reconciler.plan.action import FinishRollback, Promote, Reject, RestoreStable, RouteAll, ShiftTraffic
from reconciler.plan.decision import act, wait
from reconciler.status import Phase
from tests.simulation.museum.planting import Bug, Patch


def _share_at_once(_: Any) -> Any:
    def start(action: Any, scene: Any) -> Any:
        first = next(iter(scene.desired.spec.rollout.course), None)
        return serving._apply(
            scene,
            serving._kept(scene, serving._beside(scene, scene.release_record(action.release))),
            first.traffic if first else 0,
        )

    return start


def _inherited(_: Any) -> Any:
    def start(action: Any, scene: Any) -> Any:
        return serving._apply(
            scene,
            serving._kept(scene, serving._beside(scene, scene.release_record(action.release))),
            scene.live().canary_percent or 0,
        )

    return start


def _lowered(sound: Any) -> Any:
    def rolling(seen: Any, live: Any, record: Any, release: Any) -> Any:
        if live.release == record.release and live.canary_percent is None:
            return act(ShiftTraffic(record.release, 0, record.stable_revision), "it is over", Phase.CANARY)
        return sound(seen, live, record, release)

    return rolling


def _own_template(sound: Any) -> Any:
    def leave(seen: Any, live: Any, record: Any) -> Any:
        decided = sound(seen, live, record)
        if not isinstance(decided.action, RestoreStable):
            return decided
        return replace(decided, action=RestoreStable(Release(record.stable.version, record.release.template)))

    return leave


def _paused_is_done(sound: Any) -> Any:
    def wrong(seen: Any, live: Any, record: Any) -> Any:
        decided = sound(seen, live, record)
        if decided is None or not decided.stalled:
            return decided
        return act(RouteAll(record.release, record.stable_revision), "it is paused long enough", Phase.PROMOTING)

    return wrong


def _closed_early(sound: Any) -> Any:
    def back(seen: Any, live: Any, record: Any) -> Any:
        if rollback.rolled_back(seen, record) is None or live.release != record.release:
            return sound(seen, live, record)
        stage = Stage.ARCHIVED
        return act(Reject(record.release, seen.wanted, stage), "it was rolled back", Phase.ROLLING_BACK)

    return back


def _unready(sound: Any) -> Any:
    def back(seen: Any, live: Any, record: Any) -> Any:
        decided = sound(seen, live, record)
        if decided.action is None and live.release == record.stable and live.canary_percent is not None:
            return act(FinishRollback(record.stable), "it was applied", Phase.ROLLING_BACK)
        return decided

    return back


def _always_archived(sound: Any) -> Any:
    def close(seen: Any, record: Any, why: str) -> Any:
        decided = sound(seen, record, why)
        return replace(decided, action=replace(decided.action, stage=Stage.ARCHIVED))

    return close


def _promoted_early(sound: Any) -> Any:
    def rolling(seen: Any, live: Any, record: Any, release: Any) -> Any:
        if live.release == record.release and live.canary_percent is None:
            return act(Promote(record.release.version, record.release), "all is asked for", Phase.PROMOTING)
        return sound(seen, live, record, release)

    return rolling


def _promoted_at_first_step(sound: Any) -> Any:
    def hold(seen: Any, live: Any, record: Any, step: Any, number: int) -> Any:
        holder = seen.holders(Stage.PRODUCTION)
        if record.release.version not in [v.version for v in holder]:
            return act(Promote(record.release.version, record.release), "it gets traffic", Phase.PROMOTING)
        return sound(seen, live, record, step, number)

    return hold


def _git_instead(_: Any) -> Any:
    def put_back(action: Any, scene: Any) -> Any:
        wanted = scene.desired.spec.serving
        release = Release(action.release.version, wanted.digest) if wanted else action.release
        return serving._apply(scene, scene.release_record(release), None)

    return put_back


def _unkept(_: Any) -> Any:
    return lambda scene, record: record


def _as_git_says(_: Any) -> Any:
    def record(self: Any, release: Any) -> Any:
        fields = self.desired.spec.serving
        return ReleaseRecord(release, self._storage_uri(release.version), fields.content() if fields else {})

    return record


def _no_hold(sound: Any) -> Any:
    def hold(seen: Any, live: Any, record: Any, step: Any, number: int) -> Any:
        return sound(
            seen, live, replace(record, since=record.since), step.model_copy(update={"hold": timedelta()}), number
        )

    return hold


def _no_deadline(sound: Any) -> Any:
    def wrong(seen: Any, live: Any, record: Any) -> Any:
        why = sound(seen, live, record)
        return None if why and why.startswith("the rollout did not end") else why

    return wrong


def _old_measurements(_: Any) -> Any:
    def verdicts(seen: Any, record: Any) -> Any:
        made = [m for m in seen.observed.memory.measurements if m.release == record.release]
        return tuple(judge(check, made) for check in seen.spec.rollout.analysis)

    return verdicts


def _old_due(_: Any) -> Any:
    def due(seen: Any, record: Any, check: Any) -> Any:
        return due_at(
            check, record.since, [m for m in seen.observed.memory.measurements if m.release == record.release]
        )

    return due


def _all_measurements(sound: Any) -> Any:
    return lambda ledger, name, rollout, before: sound(ledger, name, replace(rollout, since=rollout.started), before)


def _nothing_due(_: Any) -> Any:
    return lambda seen, record, check: seen.now.replace(year=2100)


def _no_record(sound: Any) -> Any:
    def staged(action: Any, scene: Any) -> Any:
        if scene.facts.rollout is not None:
            return {}
        return sound(action, scene)

    return staged


def _blind_promotion(_: Any) -> Any:
    return lambda seen, live: serve._strays(seen)


BUGS = (
    Bug("share-before-proof", "A candidate is applied with the share of its first step instead of 0 %.", "I2",
        (Patch(serving, "ensure_canary_started", _share_at_once),)),
    Bug("share-inherited", "A new candidate gets the share of the one that it supersedes.", "I2",
        (Patch(rollback, "_supersede", lambda _: lambda *_seen: None),
         Patch(serving, "ensure_canary_started", _inherited))),
    Bug("lowered-after-the-end", "A finished rollout is lowered to 0 %, which wakes an older revision.", "I2 liveness",
        (Patch(serve, "_rolling", _lowered),)),
    Bug("wrong-release-restored", "What was stable is restored with the serving fields of the candidate.",
        "I2 liveness", (Patch(rollback, "_leave_candidate", _own_template),)),
    Bug("pause-taken-for-the-end", "A rollout that is paused because it fails is given all traffic.", "I2",
        (Patch(rollback, "_going_wrong", _paused_is_done),)),
    Bug("rejected-with-traffic", "A candidate is archived before callers have left it.", "I3 I2 liveness",
        (Patch(rollback, "_take_back", _closed_early),)),
    Bug("rollback-not-awaited", "A rollback ends before what is restored is ready.", "I2 I3 I7 liveness",
        (Patch(rollback, "_take_back", _unready),)),
    Bug("stable-archived-with-candidate", "Rolling back serving fields archives the version that serves.", "I3",
        (Patch(rollback, "_close", _always_archived),)),
    Bug("rollout-closed-on-the-spot", "A rollout that is not wanted is closed without giving callers back.",
        "I2 I3 liveness", (Patch(rollback, "_take_back", lambda _: lambda seen, live, record: rollback._close(
            seen, record, "it is not wanted")),)),
    Bug("promoted-before-traffic", "A version is promoted, and the old one archived, when traffic is only asked for.",
        "I3", (Patch(serve, "_rolling", _promoted_early),)),
    Bug("promoted-at-first-step", "A candidate is promoted as soon as it has any callers.", "I3",
        (Patch(rollout, "_hold", _promoted_at_first_step),)),
    Bug("hold-skipped", "A step ends as soon as its checks pass.", "I2", (Patch(rollout, "_hold", _no_hold),)),
    Bug("deadline-ignored", "A rollout goes on after its deadline.", "I2", (Patch(rollback, "_wrong", _no_deadline),)),
    Bug("old-measurements-count", "What was measured in another step or rollout proves this one.", "I2",
        (Patch(rollout, "check_verdicts", _old_measurements),
         Patch(rollout, "_due", _old_due), Patch(observe, "measured", _all_measurements))),
    Bug("nothing-is-measured", "No check is ever due, and none is missed.", "I2",
        (Patch(rollout, "_due", _nothing_due),
         Patch(rollout, "check_verdicts", lambda _: lambda seen, record: ()))),
    Bug("failing-candidate-goes-on", "Failed checks end no rollout; it waits for its deadline.", "I2 liveness",
        (Patch(rollback, "_wrong", lambda _: lambda seen, live, record: None),)),
    Bug("unready-is-ready", "A candidate gets traffic before its revision is ready.", "I2 I3 I7 liveness",
        (Patch(rollout, "candidate_ready", lambda _: lambda live, record: True),)),
    Bug("always-settled", "The newest revision is believed to be up as soon as it is asked for.", "I2 I3 I7 liveness",
        (Patch(facts, "settled", lambda _: lambda live: True),)),
    Bug("split-anywhere", "A rollout begins whatever the live service does meanwhile.", "I2 I3 I7 liveness",
        (Patch(facts, "settled", lambda _: lambda live: True),
         Patch(facts, "unchallenged", lambda _: lambda live, stable: True))),
    Bug("previous-not-checked", "Traffic is shifted without a look at who gets the rest.", "I2 I3",
        (Patch(serving, "_check_previous", lambda _: lambda scene, revision: None),
         Patch(rollback, "_previous_moved", lambda _: lambda live, record: None))),
    Bug("put-back-applies-git", "Drift is put back with what Git says now, past every canary.", "I2",
        (Patch(serving, "ensure_put_back", _git_instead),)),
    Bug("put-back-at-once", "Drift is put back again and again, without a pause.", "I10",
        (Patch(observe, "put_backs", lambda _: lambda ledger, name, now: ()),)),
    Bug("releases-not-kept", "What is applied is not remembered, so that it cannot be restored.", "liveness I2",
        (Patch(serving, "_kept", _unkept),)),
    Bug("restored-from-git", "A release is restored with what Git says by now.", "I2 I3 I7 liveness",
        (Patch(scene.Scene, "release_record", _as_git_says),)),
    Bug("strays-first", "A model that moves is taken down before it is served in its new place.", "I2",
        (Patch(serve, "_leave_strays", _blind_promotion),
         Patch(serve, "_missing", lambda sound: lambda seen, wanted: serve._strays(seen) or sound(seen, wanted)))),
    Bug("restaged-without-record", "A second candidate is not put on record while the first one's rollout is open.",
        "liveness I2", (Patch(registry, "ensure_staged", _no_record),)),
    Bug("candidates-left-staged", "Only one version's rollout is cleared when another one is promoted.",
        "liveness", (Patch(registry, "_clear_rollouts", lambda _: lambda scene, keep=0: None),)),
    Bug("rejection-unmarked", "A rolled-back version is archived, but not marked.", "I7 liveness",
        (Patch(registry, "rejection_to_tag", lambda _: lambda rejection: "{}"),)),
    Bug("waits-for-ever", "A restored release is awaited without a second look.", "liveness",
        (Patch(rollback, "_take_back", lambda sound: lambda seen, live, record: (
            wait("the end", Phase.ROLLING_BACK) if live.release == record.stable else sound(seen, live, record))),)),
)  # fmt: skip
