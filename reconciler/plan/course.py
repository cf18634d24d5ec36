"""The steps that a rollout takes, and when it has to be over. Pure."""

from __future__ import annotations

from datetime import datetime

from reconciler.desired.holds import UNTIL_APPROVED, Step
from reconciler.observed import Release
from reconciler.plan.action import Action, Promote, RouteAll, ScaleCanary, ShiftTraffic, StageCandidate, StartCanary
from reconciler.plan.facts import Facts
from reconciler.plan.freezes import covered, frozen, frozen_spans
from reconciler.plan.hold import held, is_open, over_since
from reconciler.plan.marks import RolloutRecord


def steps_of(facts: Facts, record: RolloutRecord) -> tuple[Step, ...]:
    """Return the steps that the rollout takes; going back to what callers had takes none."""
    return () if goes_back(facts, record) else facts.spec.rollout.course


def goes_back(facts: Facts, record: RolloutRecord) -> bool:
    """Return whether the candidate is an older version in the very form in which callers had it."""
    return reverts(facts, record.stable, record.release)


def reverts(facts: Facts, stable: Release, release: Release) -> bool:
    """Return whether a release is an older version than stable's in the very form in which callers had it."""
    older = release.version < stable.version
    return older and facts.spec.rollout.on_revert != "steps" and facts.had(release)


def goes_back_by(facts: Facts, action: Action) -> bool:
    """Return whether an action is a step of going back to what callers had, as a reverted commit asks."""
    match action:
        case StageCandidate(release, stable):
            return reverts(facts, stable, release)
        case StartCanary() | ShiftTraffic() | ScaleCanary() | RouteAll() | Promote():
            return facts.rollout is not None and goes_back(facts, facts.rollout)
        case _:
            return False


def waits(facts: Facts, record: RolloutRecord) -> bool:
    """Return whether the running step waits for a person or a window, or did before Git changed its hold."""
    steps = steps_of(facts, record)
    return record.waits or (0 < record.step <= len(steps) and is_open(steps[record.step - 1]))


def awaits_approval(facts: Facts, record: RolloutRecord) -> bool:
    """Return whether the running step is one that somebody is to approve."""
    steps = steps_of(facts, record)
    return 0 < record.step <= len(steps) and steps[record.step - 1].hold == UNTIL_APPROVED


def deadline_of(facts: Facts, record: RolloutRecord) -> datetime | None:
    """Return when the rollout has to be over; None while a person or a window is waited for, or nothing may start.

    It counts anew from a commit that changes the spec, and once stable has all its pods again; it stands still in a
    pause and in a freeze.
    """
    since = _counted(facts, record)
    if since is None or facts.spec.suspend or frozen(facts.freezes, facts.now)[0]:
        return None
    still = [*facts.orders.pauses, *frozen_spans(facts.freezes, since, facts.now)]
    return since + facts.spec.rollout.deadline + covered(still, since)


def _counted(facts: Facts, record: RolloutRecord) -> datetime | None:
    """Return from when the deadline counts."""
    changed = min(facts.desired.commit.at, facts.now)
    steady = facts.live.steady_since.get(record.stable_revision) if facts.live is not None else None
    since = max(record.counted or record.started, changed, min(steady or record.started, facts.now))
    steps = steps_of(facts, record)
    if not 0 < record.step <= len(steps) or not is_open(steps[record.step - 1]):
        # The commit that ended the waiting may be older than the step: then nobody knows since when it counts.
        return None if record.waits and changed <= record.since else since
    step = steps[record.step - 1]
    return None if held(facts, record, step, "") is not None else max(since, over_since(facts, record, step))
