"""Take a candidate back: 0 % at once, then the stable release restored, then a clean object and a record.

Allowed at any time: no suspension, freeze or guard holds it up.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.desired.duration import format_duration
from reconciler.observed import InferenceService, Release, Stage
from reconciler.plan.action import (
    CutTraffic,
    FinishRollback,
    Reject,
    RestoreStable,
    ShiftTraffic,
    StageCandidate,
    Withdraw,
)
from reconciler.plan.course import deadline_of
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import (
    ROUTED_WITHIN,
    Facts,
    beyond_help,
    hangs_above,
    is_stable,
    past_stable,
    previous_target,
    revision_release,
    served,
    settled,
    sole_release,
)
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.progress import candidate_ready, cause, crashed, cut_short, effective_percent, stalled_by
from reconciler.plan.rollout import check_verdicts
from reconciler.plan.shares import ALL, STABLE_NOT_READY, awaits_nothing
from reconciler.status import Health, Phase


def decide_rollback(facts: Facts, wanted: Release | None, lost: frozenset[int]) -> Decision | None:
    """Roll back what goes wrong or is no longer wanted; None when no rollout is on record or all is well.

    `lost` are the versions that Git does not want, whatever it does want.
    """
    decision = _decide(facts, wanted, lost)
    return decision and _hold_while_stable_is_ill(facts, decision)


def _hold_while_stable_is_ill(facts: Facts, decision: Decision) -> Decision:
    """Leave callers where they are while the revision that would get them says itself that it is not ready."""
    live, action = facts.live, decision.action
    cuts = isinstance(action, CutTraffic) or (isinstance(action, ShiftTraffic) and action.percent == 0)
    if live is None or not cuts or not live.canary_percent or crashed(live):
        return decision
    previous = previous_target(live)
    if previous is None or previous.revision not in live.unready:
        return decision
    why = decision.reason.removeprefix("because ")
    what = f"the candidate is to lose its {live.canary_percent} % ({why}), but {previous.revision} is not ready either"
    waits = f"{previous.revision} to be ready again; the traffic stays as it is"
    held = stall(what, Phase.ROLLING_BACK, waits)
    return replace(held, cause=STABLE_NOT_READY, checks=decision.checks, notes=decision.notes)


def _decide(facts: Facts, wanted: Release | None, lost: frozenset[int]) -> Decision | None:
    record, live = facts.rollout, facts.live
    if record is None or (live is not None and not live.ours):
        return None
    if live is None:
        return _close(facts, record, "the InferenceService is gone")
    given = live.release == record.release and live.canary_percent is None
    # In Standard mode the stable predictor is gone by then: there is nothing to go back to but by another rollout.
    if rolled_back(facts, record) is not None and not (live.standard and given):
        return _make_way(facts, live, record, wanted) or _take_back(facts, live, record)
    if (given and not cut_short(live, record)) or live.succeeded:
        return None  # all traffic was given to it: the promotion is completed first
    if wanted == record.stable or _moved(facts, record) or (wanted is None and _unwanted(facts, record, lost)):
        return _make_way(facts, live, record, wanted) or _take_back(facts, live, record)
    return _running(facts, live, record, wanted)


def _moved(facts: Facts, record: RolloutRecord) -> bool:
    """Return whether Git wants the model served elsewhere, or not at all, while the rollout runs where it was."""
    serving = facts.spec.serving
    return serving is None or (bool(record.namespace) and serving.namespace != record.namespace)


def _unwanted(facts: Facts, record: RolloutRecord, lost: frozenset[int]) -> bool:
    """Return whether Git wants neither this version nor these serving fields, though nothing else is to be had yet."""
    serving, number = facts.spec.serving, record.release.version
    return number in lost or (serving is not None and record.release != facts.release(number, serving))


def _running(facts: Facts, live: InferenceService, record: RolloutRecord, wanted: Release | None) -> Decision | None:
    if live.release != record.release:
        return _restored(facts, live, record, wanted)
    if live.canary_percent is None and not cut_short(live, record):
        return None
    # What got the callers of stable never shows 0 %: it is taken back before another version is staged.
    if wanted is not None and wanted != record.release and _astray(facts, live, record) is None:
        return _supersede(facts, live, record, wanted)
    return _going_wrong(facts, live, record)


def _restored(facts: Facts, live: InferenceService, record: RolloutRecord, wanted: Release | None) -> Decision | None:
    """Go on where stable took the place of a candidate that crashed: callers leave that one before anything begins."""
    if live.release == record.stable and _has_callers(live, record):
        return _take_back(facts, live, record)
    if live.canary_percent is None or wanted != record.release or record.wanted == facts.wanted:
        return None
    restaged = StageCandidate(record.release, record.stable, record.stable_revision)
    return act(restaged, f"because Git changed what is wanted since {record.release} began", Phase.CANARY)


def rolled_back(facts: Facts, record: RolloutRecord) -> str | None:
    """Return why this very rollout was decided against, None when it was not."""
    rejection = facts.rejections.get(record.release)
    return rejection.reason if rejection is not None and rejection.rollout == record.started else None


def _going_wrong(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision | None:
    why = _wrong(facts, live, record)
    if why is None:
        return None
    verdicts = check_verdicts(facts, record)
    if facts.spec.rollout.on_failure == "pause" and _astray(facts, live, record) is None:
        if record.wanted != facts.wanted:
            return _restart(live, record)
        paused = stall(
            f"the rollout is paused: {why}",
            Phase.CANARY,
            "`reconciler promote`, `reconciler abort`, or a commit that changes the rollout or the version",
        )
        return replace(paused, checks=verdicts)
    cut = CutTraffic(record.release, facts.wanted, record.started)
    return replace(act(cut, f"because {why}", Phase.ROLLING_BACK, Health.DEGRADED), checks=verdicts)


def _wrong(facts: Facts, live: InferenceService, record: RolloutRecord) -> str | None:
    """Say what is wrong with the rollout, None when nothing is."""
    if (astray := _astray(facts, live, record)) is not None:
        return astray
    if live.failure is not None and beyond_help(live, facts.now) and not candidate_ready(live, record):
        return f"the candidate cannot be served: {live.failure.reason}: {live.failure.message}"
    promoted = facts.orders.promote is not None
    verdicts = check_verdicts(facts, record)
    failed = [v for v in verdicts if v.fails] if record.step and not promoted else []
    if failed:
        return f"{failed[0].check} failed at {live.canary_percent} %: {failed[0].why}"
    ends = deadline_of(facts, record)
    short = live.standard and record.stable_revision in live.short and record.stable_revision not in live.unready
    waived = (promoted and candidate_ready(live, record)) or short
    if ends is not None and facts.now >= ends and not waived:
        deadline = facts.spec.rollout.deadline
        held = next((f"{v.check}: {v.why}" for v in verdicts if v.holds_step), live.message)
        return f"the rollout did not end within {format_duration(deadline)}{'; ' + held if held else ''}"
    return None


def _astray(facts: Facts, live: InferenceService, record: RolloutRecord) -> str | None:
    """Say so where callers of stable are sent elsewhere."""
    return _previous_moved(live, record) or _beyond_its_share(facts, live, record)


def _previous_moved(live: InferenceService, record: RolloutRecord) -> str | None:
    return past_stable(live, record.stable_revision, record.stable) if previous_target(live) is not None else None


def _beyond_its_share(facts: Facts, live: InferenceService, record: RolloutRecord) -> str | None:
    """Say so where the candidate gets more than was ever asked for it, as where KServe lost the stable revision.

    What was asked for a moment ago may not show yet; in Standard mode the route alone decides, and is looked at.
    """
    late = live.applied_at is not None and facts.now >= live.applied_at + ROUTED_WITHIN
    asked, gets = max(live.canary_percent or 0, record.percent or 0), effective_percent(live)
    if live.standard or not late or gets <= asked or not candidate_ready(live, record):
        return None
    return f"version {record.release.version} gets {gets} % of the traffic, though only {asked} % was asked for"


def _restart(live: InferenceService, record: RolloutRecord) -> Decision:
    """Begin a paused rollout anew, as Git changed what is wanted since it began."""
    why = "because Git changed what is wanted since the rollout was paused"
    restaged = StageCandidate(record.release, record.stable, record.stable_revision)
    return _down(live, record, why) or act(restaged, why, Phase.CANARY)


def _supersede(facts: Facts, live: InferenceService, record: RolloutRecord, wanted: Release) -> Decision | None:
    """Take the old candidate to 0 % first: a new template must not hand its share to the unproven.

    A share that was asked for must show before it is lowered: the status of before it shows 0 % as well.
    """
    hidden = effective_percent(live) != live.canary_percent and candidate_ready(live, record)
    if live.canary_percent and hidden and facts.now < (until := record.started + facts.spec.rollout.deadline):
        return wait(f"{live.canary_percent} % to show before it is lowered", Phase.CANARY, until=until)
    return _down(live, record, f"because Git now wants {wanted}, not {record.release}")


def _down(live: InferenceService, record: RolloutRecord, why: str) -> Decision | None:
    """Take the candidate to 0 %; None when callers are not sent to it any more.

    One that crashed keeps what it has until something else is the newest ready revision.
    """
    if live.canary_percent:
        return act(ShiftTraffic(record.release, 0, record.stable_revision), why, Phase.CANARY)
    if crashed(live) and (live.canary_percent is None or _has_callers(live, record)):
        return act(RestoreStable(record.stable), f"{why}, which is not ready any more", Phase.CANARY)
    if _has_callers(live, record):
        return awaits_nothing(live, record, Phase.CANARY)
    return None


def _has_callers(live: InferenceService, record: RolloutRecord) -> bool:
    return any(release == record.release for release, _ in served(live, record))


def _take_back(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    if live.release != record.stable:
        return _leave_candidate(facts, live, record)
    newest = live.latest_created
    ready = settled(live) and newest is not None and revision_release(live, newest, record) == record.stable
    if live.canary_percent is not None:
        if not ready or newest in live.unready:
            what = f"version {record.stable.version} to be ready again{cause(live)}"
            return stalled_by(live, wait(what, Phase.ROLLING_BACK, Health.DEGRADED))
        why = f"because version {record.stable.version} is ready again"
        return act(FinishRollback(record.stable), why, Phase.ROLLING_BACK, Health.DEGRADED)
    if not (ready or hangs_above(live, record.stable)) or sole_release(live, record) != record.stable:
        return wait(f"all traffic to reach version {record.stable.version}", Phase.ROLLING_BACK, Health.DEGRADED)
    return _close(facts, record, "it gets no traffic any more")


def _make_way(facts: Facts, live: InferenceService, record: RolloutRecord, wanted: Release | None) -> Decision | None:
    """Close a rollback whose restored stable release does not come up, where Git wants a third one: `prev` serves.

    Where Git wants the model elsewhere, or not at all, nothing waits for that release either.
    """
    third = _moved(facts, record) or (wanted is not None and wanted not in (record.release, record.stable))
    hangs = live.release == record.stable and live.canary_percent == 0 and (not settled(live) or crashed(live))
    previous = previous_target(live)
    serves = previous is not None and is_stable(live, previous.revision, record) and previous.percent == ALL
    if live.standard or not (third and hangs and serves):
        return None
    return _close(facts, record, f"{record.stable_revision} serves all callers")


def _leave_candidate(facts: Facts, live: InferenceService, record: RolloutRecord) -> Decision:
    """Leave the candidate's template; without a split it has all traffic, and lowering would wake an older version."""
    if live.canary_percent:
        reason = rolled_back(facts, record)
        why = f"because {reason or f'Git wants {record.stable} again'}"
        cut = CutTraffic(record.release, facts.wanted, record.started) if reason else _lower(record)
        return act(cut, why, Phase.ROLLING_BACK, Health.DEGRADED)
    if live.release not in (record.release, record.stable) and sole_release(live, record) == live.release:
        return _close(facts, record, f"{live.release} took its place")
    if live.standard and effective_percent(live):
        # KServe takes a canary's pods down before it changes the route. What stable serves by then does not matter: it
        # may be the candidate's release as well.
        return awaits_nothing(live, record, Phase.ROLLING_BACK)
    why = f"because the candidate is not wanted and version {record.stable.version} is stable"
    return act(RestoreStable(record.stable), why, Phase.ROLLING_BACK, Health.DEGRADED)


def _lower(record: RolloutRecord) -> ShiftTraffic:
    return ShiftTraffic(record.release, 0, record.stable_revision)


def _close(facts: Facts, record: RolloutRecord, why: str) -> Decision:
    reason = rolled_back(facts, record)
    same_version = record.release.version == record.stable.version
    stage = Stage.PRODUCTION if same_version else Stage.ARCHIVED
    if reason is None:
        action: Reject | Withdraw = Withdraw(record.release, stage)
        return act(action, f"because its rollout is not wanted any more and {why}", Phase.ROLLING_BACK)
    return act(Reject(record.release, facts.wanted, stage), f"because {reason}", Phase.ROLLING_BACK, Health.DEGRADED)
