"""From the wanted version to what callers get: deploy, roll out, promote, keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.observed import TAG_RELEASE, InferenceService, Known, ModelVersion, Release, Stage, Unknown
from reconciler.plan.action import Archive, Deploy, FinishRollback, Promote, PutBack, StageCandidate, TakeDown
from reconciler.plan.adoption import decide_adoption
from reconciler.plan.begin import begin_rollout, deploy_first, unmeasurable, unsplittable
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import (
    Facts,
    hangs_above,
    previous_target,
    revision_release,
    settled,
    sole_release,
    unchallenged,
)
from reconciler.plan.marks import RolloutRecord, release_from_tag
from reconciler.plan.progress import cause, ill, settling
from reconciler.plan.rollout import continue_rollout
from reconciler.plan.selection import production_of
from reconciler.registry_roles import CHAMPION
from reconciler.status import Health, Phase, Sync

PUT_BACK_FIRST, PUT_BACK_MOST = timedelta(seconds=5), timedelta(minutes=15)
# What stayed as Git says for so long is at peace; a shorter calm is a pause of the same fight.
PUT_BACK_CALM = 2 * PUT_BACK_MOST
_SHARE = "f:canaryTrafficPercent"


def decide_serving(facts: Facts, wanted: ModelVersion | None) -> Decision:
    """Decide what to do so that callers get the wanted version; `wanted` None keeps what serves."""
    serving, live = facts.spec.serving, facts.live
    if serving is None:
        return _registry_only(facts, wanted)
    if live is None:
        return _missing(facts, wanted)
    if not live.ours:
        return decide_adoption(facts, live)
    if live.deleting:
        return wait("the InferenceService to be deleted", Phase.DEPLOYING)
    release = facts.release(wanted.version, serving) if wanted else None
    decision = _toward(facts, live, release)
    if not other_mode(facts) or decision.action is not None or facts.rollout is not None:
        return decision
    what = f"it runs in {live.mode} mode, which KServe never changes, and Git asks for {serving.mode}"
    waits = f"serving.mode: {live.mode} in Git, another namespace or name, or the object to be deleted"
    return replace(stall(what, Phase.IDLE, waits), health=decision.health).sooner(decision.look_again_at)


def other_mode(facts: Facts) -> bool:
    """Return whether Git asks for another mode than that of the object that is there."""
    live, serving = facts.live, facts.spec.serving
    if live is None or serving is None or not live.ours or live.namespace != serving.namespace:
        return False
    return live.mode != serving.mode


def _toward(facts: Facts, live: InferenceService, release: Release | None) -> Decision:
    record = facts.rollout
    if record is not None:
        return _rolling(facts, live, record, release)
    stable = sole_release(live, None)
    if stable is None:
        return _no_stable(live) or _first(facts, release)
    if live.canary_percent is not None:
        return _unrecorded(facts, live, stable) or _unfinished(facts, live, stable, release) or _split_by_hand(live)
    if release is not None and release != stable:
        return (
            _leave_strays(facts, live) or _stable_first(facts, live, stable) or _replace(facts, live, stable, release)
        )
    return keep(facts, live, stable)


def _stable_first(facts: Facts, live: InferenceService, stable: Release) -> Decision | None:
    """Promote what serves before another version sets out to replace it.

    What is not ready any more is promoted only where callers had it, or it is staged: staging another version would
    archive it, and callers are sent to it.
    """
    version = facts.version(stable.version)
    if version is None or not facts.proven(version) or not unchallenged(live, stable):
        return None
    lost = settled(live) and not live.ready and not facts.had(stable)
    if lost and version not in facts.holders(Stage.STAGING):
        return None
    holders = facts.holders(Stage.PRODUCTION)
    return None if holders == (version,) else _promote(version, stable)


def _replace(facts: Facts, live: InferenceService, stable: Release, release: Release) -> Decision:
    if live.release == release:
        return deploy_first(facts, release)  # applied while nothing served yet, and not ready so far
    if live.release == stable and not settled(live) and not hangs_above(live, stable) and live.canaries:
        return _drifted(facts, live, stable) or settling(live, "a rollout", Phase.DEPLOYING)
    blocked = unmeasurable(facts, stable, release) or unsplittable(facts, live, stable, release)
    if blocked is not None:
        return _drifted(facts, live, stable) or blocked
    return begin_rollout(live, stable, release)


def _rolling(facts: Facts, live: InferenceService, record: RolloutRecord, release: Release | None) -> Decision:
    routed = live.release == record.release and (live.canary_percent is None or live.succeeded)
    if live.canary_percent is None and routed and sole_release(live, record) == record.release:
        return keep(facts, live, record.release)
    if release is None or release == record.release or routed:
        return continue_rollout(facts, live, record)
    if (blocked := unsplittable(facts, live, record.stable, release)) is not None:
        return blocked
    action = StageCandidate(release, record.stable, record.stable_revision)
    return act(action, f"because Git now wants {release} instead of {record.release}", Phase.CANARY)


def keep(facts: Facts, live: InferenceService, stable: Release) -> Decision:
    """Keep what serves: the registry says so, nothing else claims it, no drift."""
    version = facts.version(stable.version)
    if version is None:
        what = f"version {stable.version} serves, but is not in the registry"
        return stall(what, Phase.IDLE, f"version {stable.version} to be registered again, or another one to be wanted")
    if live.release != stable:
        why = f"because {stable} serves, and what was applied over it is not wanted"
        return act(Deploy(stable), why, Phase.DEPLOYING)
    # It was ready when it got everything, whatever became of it.
    served = facts.had(stable) or (facts.rollout is not None and facts.rollout.release == stable)
    if settled(live) and not live.ready and not served and version not in facts.holders(Stage.PRODUCTION):
        return deploy_first(facts, stable)
    if not unchallenged(live, stable):
        return wait(f"{stable} to come up above what was applied in between", Phase.DEPLOYING)
    return (
        _leave_strays(facts, live)
        or _once_routed(live, _roles(facts, version, stable))
        or _drifted(facts, live, stable)
        or _uncompared(facts, live)
        or _in_sync(live)
    )


def _roles(facts: Facts, version: ModelVersion, release: Release | None) -> Decision | None:
    holders = {v.version for v in facts.holders(Stage.PRODUCTION)}
    misled = any(CHAMPION in other.aliases for other in facts.versions if other.version != version.version)
    if holders != {version.version} or misled or (facts.rollout is not None and facts.rollout.release == release):
        return _promote(version, release) if facts.proven(version) else _unproven(version)
    for other in facts.holders(Stage.STAGING):
        why = f"because it is staged, but version {version.version} is what is wanted"
        return act(Archive(other.version), why, Phase.ARCHIVING)
    return None


def _once_routed(live: InferenceService, roles: Decision | None) -> Decision | None:
    """Record who serves, and archive who does not, only when callers are sent so: shares are written before that."""
    if roles is None or roles.action is None or live.routed:
        return roles
    return wait(f"the network to send all callers to the new revision{cause(live)}", Phase.PROMOTING)


def _promote(version: ModelVersion, release: Release | None) -> Decision:
    why = f"because version {version.version} serves all traffic" if release else "because it passed its gates"
    return act(Promote(version.version, release), why, Phase.PROMOTING)


def _unproven(version: ModelVersion) -> Decision:
    what = f"version {version.version} serves, but has no passed gates on record, so it is not promoted"
    return stall(what, Phase.IDLE, "a version that passes its gates, or a commit that changes them")


def _leave_strays(facts: Facts, live: InferenceService) -> Decision | None:
    """Take the model down where it was before, once callers are served where Git wants it."""
    return _strays(facts) if live.ready and settled(live) else None


def _strays(facts: Facts) -> Decision | None:
    for stray in facts.observed.strays:
        if stray.deleting:
            return wait(f"the InferenceService in namespace {stray.namespace} to be deleted", Phase.ARCHIVING)
        serving = facts.spec.serving
        moved = f"the model moved to namespace {serving.namespace}" if serving else "the spec has no serving any more"
        if not facts.spec.retention.prune:
            return _not_pruned(stray, moved)
        why = f"because {moved}"
        return act(TakeDown(stray.namespace, stray.uid), why, Phase.ARCHIVING)
    return None


def _drifted(facts: Facts, live: InferenceService, stable: Release) -> Decision | None:
    drift = facts.observed.drift
    if not isinstance(drift, Known) or not drift.value:
        return None
    fields = ", ".join(drift.value)
    again = _put_back_again(facts.observed.memory.put_backs, facts.now)
    if facts.now < again:
        return wait(f"a pause before putting {fields} back again", Phase.DEPLOYING, Health.DEGRADED, again)
    return act(PutBack(live.release or stable, drift.value), f"because {fields} drifted from Git", Phase.DEPLOYING)


def _put_back_again(times: Iterable[datetime], now: datetime) -> datetime:
    """Return from when drift may be put back again; each time without a calm in between the pause grows."""
    newest = before = now
    count = 0
    for at in sorted(times, reverse=True):
        if before - at > PUT_BACK_CALM:
            break
        newest, before, count = newest if count else at, at, count + 1
    return newest + min(PUT_BACK_FIRST * 2 ** min(count - 1, 20), PUT_BACK_MOST) if count else now


def _uncompared(facts: Facts, live: InferenceService) -> Decision | None:
    """Claim nothing of fields that could not be compared."""
    drift = facts.observed.drift
    if not isinstance(drift, Unknown):
        return None
    health = _in_sync(live).health
    return Decision(Phase.IDLE, Sync.UNKNOWN, health, waits_for=f"a comparison with the live object: {drift.why}")


def _in_sync(live: InferenceService) -> Decision:
    if live.ready and live.failure is None:
        return Decision(Phase.IDLE, Sync.SYNCED, Health.HEALTHY, reason="everything is as Git says")
    said = live.failure.message if live.failure else live.message
    health = Health.DEGRADED if ill(live) else Health.PROGRESSING
    return Decision(Phase.IDLE, Sync.SYNCED, health, waits_for=f"the service to become ready: {said}")


def _not_pruned(live: InferenceService, why: str) -> Decision:
    what = f"{why}, but retention.prune: false keeps the InferenceService in namespace {live.namespace}"
    kept = stall(what, Phase.IDLE, "prune: true in Git, or somebody to delete that object", Health.UNKNOWN)
    return replace(kept, cause="NotPruned")


def _missing(facts: Facts, wanted: ModelVersion | None) -> Decision:
    """Deploy; where a proven version is in Production, that one first: callers had it, the newer one is unproven."""
    serving = facts.spec.serving
    before = _before(facts)
    version = before or wanted
    if version is None or serving is None:
        return wait("a version that passes its gates", Phase.GATING, Health.MISSING)
    release = facts.release(version.version, serving)
    if facts.rejected(release) is not None:
        # The version is good, these serving fields are not: it served by others before.
        served_before = release_from_tag(version.tags.get(TAG_RELEASE), serving.namespace)
        if served_before is None or served_before == release:
            what = f"nothing is served, and {release} was rolled back"
            return stall(what, Phase.GATING, "a commit that changes what is wanted", Health.MISSING)
        release = served_before
    why = "because it is what callers have" if version is before else "because it passed its gates"
    return act(Deploy(release), f"{why} and nothing is served", Phase.DEPLOYING, Health.MISSING)


def _before(facts: Facts) -> ModelVersion | None:
    """Return the proven version that callers have, or had: what serves where the model was, or Production."""
    elsewhere = [sole_release(stray, None) for stray in facts.observed.strays]
    found = [facts.version(release.version) for release in elsewhere if release is not None]
    return next((v for v in (*found, production_of(facts.registered)) if v is not None and facts.proven(v)), None)


def _first(facts: Facts, release: Release | None) -> Decision:
    """Serve here for the first time: the version that callers have, or had, as long as it may still come up."""
    serving, live = facts.spec.serving, facts.live
    version = _before(facts)
    if other_mode(facts):
        return wait("what was applied to come up", Phase.DEPLOYING, Health.MISSING)
    if version is not None and serving is not None:
        before = facts.release(version.version, serving)
        coming_up = live is not None and live.release == before and live.failure is None
        release = before if coming_up or facts.observed.strays else release
    if release is None:
        return wait("a version that passes its gates", Phase.GATING, Health.MISSING)
    return deploy_first(facts, release)


def _no_stable(live: InferenceService) -> Decision | None:
    if live.standard and live.latest_rolledout and not live.traffic:
        what = "the HTTPRoute to tell who gets how much" if live.splits else "KServe to clear older Deployments away"
        return wait(what, Phase.DEPLOYING)
    if not live.latest_rolledout or not live.traffic:
        return None
    if _just_adopted(live):
        said = f": {live.message}" if live.message else ""
        return wait(f"release {live.release} to come up as ours{said}", Phase.DEPLOYING)
    split = ", ".join(f"{t.percent} % to {t.revision}" for t in live.traffic)
    what = f"traffic goes to revisions that no rollout on record explains: {split}"
    return stall(what, Phase.IDLE, "somebody to undo the change that was made by hand, or to delete the object")


def _just_adopted(live: InferenceService) -> bool:
    """Tell whether callers are still sent to the one revision that stood before the object became ours."""
    serving = [target for target in live.traffic if target.percent]
    labels = live.revisions or {}
    oldest = min(labels, default="")
    return live.release is not None and [t.revision for t in serving] == [oldest] and labels[oldest] is None


def _unrecorded(facts: Facts, live: InferenceService, stable: Release) -> Decision | None:
    """Put a rollout of ours on record again whose record was lost: from there it is continued, or taken back."""
    previous, candidate = previous_target(live), live.release
    if previous is None or candidate is None or candidate == stable or live.canary_percent:
        return None
    known = facts.version(candidate.version)
    if known is None or not facts.proven(known) or revision_release(live, previous.revision, None) != stable:
        return None
    why = f"because a split of releases {candidate} and {stable} stands, and no rollout is on record"
    return act(StageCandidate(candidate, stable, previous.revision), why, Phase.CANARY)


def _unfinished(facts: Facts, live: InferenceService, stable: Release, release: Release | None) -> Decision | None:
    """Go on from a rollback that was closed before the restored stable release came up: `prev` serves it."""
    previous, newest = previous_target(live), live.latest_created
    by_hand = live.canary_percent or any(field.path[-1] == _SHARE for field in live.held)
    if live.standard or by_hand or previous is None or newest is None or newest == previous.revision:
        return None
    if stable != live.release or stable != revision_release(live, newest, None):
        return None
    if release is not None and release != stable:
        why = f"because Git wants {release}, and {stable} did not come up again beside {previous.revision}"
        blocked = unmeasurable(facts, stable, release) or unsplittable(facts, live, stable, release)
        return blocked or act(StageCandidate(release, stable, previous.revision), why, Phase.CANARY)
    if settled(live) and newest not in live.unready:
        return act(FinishRollback(stable), f"because {stable} is ready again", Phase.ROLLING_BACK)
    return wait(f"{stable} to be ready again", Phase.ROLLING_BACK, Health.DEGRADED)


def _split_by_hand(live: InferenceService) -> Decision:
    field = "the share in spec.canary" if live.standard else "canaryTrafficPercent"
    what = f"{field} is {live.canary_percent}, but no rollout is on record"
    return stall(what, Phase.IDLE, f"somebody to remove {field} from the InferenceService")


def _registry_only(facts: Facts, wanted: ModelVersion | None) -> Decision:
    if facts.live is not None and facts.live.ours:
        if facts.live.deleting:
            # Until its finalizers are done it serves, and what serves is not archived.
            return wait("the InferenceService to be deleted", Phase.ARCHIVING)
        if not facts.spec.retention.prune:
            return _not_pruned(facts.live, "the spec has no serving any more")
        take_down = TakeDown(facts.live.namespace, facts.live.uid)
        return act(take_down, "because the spec has no serving any more", Phase.ARCHIVING)
    if (stray := _strays(facts)) is not None:
        return stray
    if wanted is None:
        return wait("a version that passes its gates", Phase.GATING, Health.MISSING)
    done = Decision(Phase.IDLE, Sync.SYNCED, Health.HEALTHY, reason="everything is as Git says")
    return _roles(facts, wanted, None) or done
