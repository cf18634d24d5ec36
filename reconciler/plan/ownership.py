"""Fields of ours that somebody else holds: said with both names, and never taken unless the spec says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.manifest import CANARY, SHARE, contested, inference_service, serving_fields
from reconciler.observed import MANAGER, HeldField, InferenceService, Known, Release, ReleaseRecord
from reconciler.plan.action import (
    Action,
    CutTraffic,
    Deploy,
    FinishRollback,
    PutBack,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StartCanary,
)
from reconciler.plan.decision import Decision
from reconciler.plan.facts import Facts
from reconciler.status import Health, Sync

HELD = "FieldsHeld"
Applied = (
    Deploy | StartCanary | ShiftTraffic | ScaleCanary | RouteAll | CutTraffic | RestoreStable | FinishRollback | PutBack
)


def respect_owners(facts: Facts, decision: Decision) -> Decision:
    """Stall a decision that would take fields from others, or let it take them where the spec says so."""
    live = facts.live
    if live is None or not live.held:
        return decision
    action = decision.action or _put_back(facts, live)
    if not isinstance(action, Applied):
        return decision
    percent = _percent(action, live)
    stuck = tuple(field for field in live.held if percent is None and field.path in (SHARE, CANARY))
    taken = _taken(facts, live, action.release, percent)
    if not (stuck or taken) or _only_cuts(action, live, percent, taken):
        return decision
    if facts.spec.serving is not None and facts.spec.serving.take_ownership and not stuck:
        if decision.action is None:
            return decision
        why = f"{decision.reason}; takes {_named(taken)}, as serving.takeOwnership says"
        return replace(decision, reason=why, takes=taken)
    return _stalled(decision, stuck or taken)


def _stalled(decision: Decision, held: tuple[HeldField, ...]) -> Decision:
    others = ", ".join(sorted({f'"{field.manager}"' for field in held}))
    what = f'"{MANAGER}" does not take what others hold: {_named(held)}'
    waits = f"{others} to give these fields up, or serving.takeOwnership: true in Git"
    return replace(
        decision, action=None, reason="", stalled=what, cause=HELD, waits_for=waits,
        sync=Sync.OUT_OF_SYNC, health=Health.DEGRADED,
    )  # fmt: skip


def _named(held: Iterable[HeldField]) -> str:
    return ", ".join(f'{field.dotted} ("{field.manager}")' for field in held)


def _put_back(facts: Facts, live: InferenceService) -> Action | None:
    """Return what waits for its pause: drift that cannot be put back is said at once."""
    drift = facts.observed.drift
    drifted = isinstance(drift, Known) and bool(drift.value) and live.ours and facts.rollout is None
    return PutBack(live.release, ()) if drifted and live.release is not None else None


def _percent(action: Applied, live: InferenceService) -> int | None:
    match action:
        case ShiftTraffic(_, percent) | ScaleCanary(_, percent):
            return percent
        case RestoreStable():
            return None if live.standard else 0
        case StartCanary() | CutTraffic():
            return 0
        case PutBack():
            return live.canary_percent
        case _:
            return None


def _taken(facts: Facts, live: InferenceService, release: Release, percent: int | None) -> tuple[HeldField, ...]:
    records = facts.observed.records
    record, beside = records.get(release) or _new_record(facts, release), live.beside or live.release
    stable = records.get(beside) if beside is not None else None
    if record is None or (live.standard and percent is not None and stable is None):
        return ()
    return contested(inference_service(facts.desired.name, record, percent, stable), live.held)


def _new_record(facts: Facts, release: Release) -> ReleaseRecord | None:
    """Return what is to be applied for the first time; where its artifact lies is read only then."""
    serving = facts.spec.serving
    return (
        ReleaseRecord(release, "", serving_fields(serving)) if serving and serving.digest == release.template else None
    )


def _only_cuts(action: Applied, live: InferenceService, percent: int | None, taken: tuple[HeldField, ...]) -> bool:
    """Tell whether only traffic is taken away: what somebody holds elsewhere keeps no caller on a bad candidate."""
    cuts = isinstance(action, CutTraffic | ShiftTraffic) and percent == 0
    return cuts and action.release == live.release and all(field.path not in (SHARE, CANARY) for field in taken)
