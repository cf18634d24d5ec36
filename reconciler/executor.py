"""Carry out one action: intent on the ledger, one `ensure_*`, outcome on the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, assert_never

from reconciler.breakpoints import reached
from reconciler.ensure.analysis import ensure_analysed
from reconciler.ensure.registry import (
    ensure_all_archived,
    ensure_archived,
    ensure_deleted,
    ensure_gates_recorded,
    ensure_promoted,
    ensure_rejected,
    ensure_staged,
    ensure_step_begun,
    ensure_withdrawn,
)
from reconciler.ensure.scene import After, Scene, Systems
from reconciler.ensure.serving import (
    ensure_adopted,
    ensure_all_routed,
    ensure_canary_scaled,
    ensure_canary_started,
    ensure_deployed,
    ensure_let_go,
    ensure_put_back,
    ensure_rollback_finished,
    ensure_stable_restored,
    ensure_taken_down,
    ensure_traffic,
    ensure_traffic_cut,
)
from reconciler.ensure.training import ensure_training, ensure_training_stopped
from reconciler.errors import ReconcilerError, UnknownOutcome
from reconciler.observed import Order, Release
from reconciler.plan.action import (
    Action,
    Adopt,
    Analyse,
    Archive,
    ArchiveAll,
    BeginStep,
    CutTraffic,
    DeleteModel,
    Deploy,
    FinishRollback,
    LetGo,
    Promote,
    PutBack,
    RecordGates,
    Reject,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    StopTraining,
    TakeDown,
    Train,
    Withdraw,
)
from reconciler.plan.decision import Decision
from reconciler.plan.facts import Facts
from reconciler.ports import Entry, Moment, Result
from reconciler.status import plain


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action ended; `error` is None when it was done."""

    action: Action
    error: ReconcilerError | None


def execute(facts: Facts, decision: Decision, systems: Systems, ordered: Callable[[], tuple[Order, ...]]) -> Outcome:
    """Carry out the decision's action; `ordered` returns what was ordered by hand by now.

    Raises Transient when the intent cannot be recorded: then nothing was done.
    """
    action = decision.action
    if action is None:
        raise ValueError("a decision without an action cannot be carried out")
    intent = _entry(facts, decision, action)
    recorded = systems.ledger.append(intent)
    reached(f"intended {intent.model} {intent.action}")
    scene = Scene(facts, systems, decision.reason, ordered)
    error: ReconcilerError | None = None
    after: After = {}
    try:
        after = _ensure(action, scene)
    except ReconcilerError as raised:
        error = raised
    reached("acted")
    ended = systems.clock()
    systems.ledger.append(
        Entry(
            at=ended,
            moment=Moment.OUTCOME,
            model=intent.model,
            action=intent.action,
            reason=error.message if error else intent.reason,
            commit=intent.commit,
            author=intent.author,
            result=_result(error),
            after=after,
            attempt_of=recorded.seq,
            duration_ms=max(0, round((ended - intent.at).total_seconds() * 1000)),
        )
    )
    reached("recorded")
    return Outcome(action, error)


def _result(error: ReconcilerError | None) -> Result:
    if error is None:
        return Result.DONE
    return Result.UNKNOWN if isinstance(error, UnknownOutcome) else Result.FAILED


def _entry(facts: Facts, decision: Decision, action: Action) -> Entry:
    return Entry(
        at=facts.now,
        moment=Moment.INTENT,
        model=facts.desired.name,
        action=type(action).__name__,
        reason=decision.reason,
        commit=facts.desired.commit.id,
        author=facts.desired.commit.author,
        evidence=_evidence(decision),
        before=_before(facts),
        after=describe(action),
    )


def describe(action: Action) -> dict[str, Any]:
    """Return an action's own fields as JSON; times to the microsecond, as they tell one rollout from another."""
    own = {f.name: getattr(action, f.name) for f in fields(action)}
    releases = {name: str(v) for name, v in own.items() if isinstance(v, Release)}
    times = {name: v.isoformat() for name, v in own.items() if isinstance(v, datetime)}
    return {**plain(action), **releases, **times}


def _evidence(decision: Decision) -> Mapping[str, Any]:
    checks = [plain(v.as_json()) for v in decision.checks]
    versions = [{"version": v.version, "lost": v.lost, "gates": [r.said for r in v.results]} for v in decision.versions]
    takes = [{"field": field.dotted, "from": field.manager} for field in decision.takes]
    return {key: value for key, value in (("checks", checks), ("versions", versions), ("takes", takes)) if value}


def _before(facts: Facts) -> Mapping[str, Any]:
    live = facts.live
    traffic = [{"revision": t.revision, "percent": t.percent, "tag": t.tag} for t in live.traffic] if live else []
    versions = {str(v.version): v.stage.value for v in facts.versions[-5:]}
    return {"traffic": traffic, "versions": versions, "release": str(live.release) if live and live.release else ""}


def _ensure(action: Action, scene: Scene) -> After:  # noqa: C901, PLR0911, PLR0912  one line an action
    match action:
        case Train():
            return ensure_training(action, scene)
        case StopTraining():
            return ensure_training_stopped(action, scene)
        case RecordGates():
            return ensure_gates_recorded(action, scene)
        case Deploy():
            return ensure_deployed(action, scene)
        case Adopt():
            return ensure_adopted(action, scene)
        case StageCandidate():
            return ensure_staged(action, scene)
        case StartCanary():
            return ensure_canary_started(action, scene)
        case ShiftTraffic():
            return ensure_traffic(action, scene)
        case ScaleCanary():
            return ensure_canary_scaled(action, scene)
        case BeginStep():
            return ensure_step_begun(action, scene)
        case Analyse():
            return ensure_analysed(action, scene)
        case RouteAll():
            return ensure_all_routed(action, scene)
        case Promote():
            return ensure_promoted(action, scene)
        case Archive():
            return ensure_archived(action, scene)
        case CutTraffic():
            return ensure_traffic_cut(action, scene)
        case RestoreStable():
            return ensure_stable_restored(action, scene)
        case FinishRollback():
            return ensure_rollback_finished(action, scene)
        case Reject():
            return ensure_rejected(action, scene)
        case Withdraw():
            return ensure_withdrawn(action, scene)
        case PutBack():
            return ensure_put_back(action, scene)
        case TakeDown():
            return ensure_taken_down(action, scene)
        case ArchiveAll():
            return ensure_all_archived(action, scene)
        case DeleteModel():
            return ensure_deleted(scene)
        case LetGo():
            return ensure_let_go(scene)
    assert_never(action)
