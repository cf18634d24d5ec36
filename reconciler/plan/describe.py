"""Tell people where a model stands: the status words, what it waits for, and what callers get."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reconciler.desired.state import DesiredModel
from reconciler.observed import TAG_REJECTED, InferenceService, ModelVersion, ObservedModel, Order, Release, Stage
from reconciler.plan.course import steps_of
from reconciler.plan.decision import Decision, VersionVerdict
from reconciler.plan.facts import Facts, gather, previous_target, revision_release
from reconciler.plan.hold import held
from reconciler.plan.marks import RolloutRecord, rejection_from_tag
from reconciler.plan.ordering import about, meant, orderable, shown
from reconciler.registry_roles import role
from reconciler.status import (
    ChangedBy,
    Condition,
    Conditions,
    Health,
    ModelStatus,
    Orderable,
    OrderStatus,
    Phase,
    RegistryVersion,
    RejectedVersion,
    RunningStep,
    SpecProblem,
    Sync,
    TrafficShare,
    Truth,
)

MOST_VERSIONS = 6


def status_of(
    desired: DesiredModel, observed: ObservedModel, decision: Decision, now: datetime, applied: str
) -> ModelStatus:
    """Build a model's status; `applied` is the commit that was last reached in full."""
    facts = gather(desired, observed, now)
    known = facts if isinstance(facts, Facts) else None
    return ModelStatus(
        name=desired.name,
        sync=decision.sync,
        health=decision.health,
        phase=decision.phase,
        conditions=_conditions(decision),
        updated_at=now,
        git="removed" if desired.removed else desired.spec.promotion.version,
        registry=_registry(known) if known else (),
        live=_live(known.live, known) if known and known.live else (),
        waits_for=decision.waits_for,
        blocked_by=decision.blocked_by,
        look_again_at=decision.look_again_at,
        last_applied_commit=applied,
        last_attempted_commit=desired.refused or desired.commit.id,
        next_action=type(decision.action).__name__ if decision.action else None,
        rejected=tuple(RejectedVersion(v.version, v.lost) for v in decision.versions if v.lost),
        verdicts=(*map(_gates, decision.versions), *(verdict.as_json() for verdict in decision.checks)),
        commit=ChangedBy(desired.commit.author, desired.commit.subject),
        labels=dict(desired.labels),
        orders=tuple(map(order_status, shown(known))) if known else (),
        orderable=tuple(map(_orderable, orderable(known))) if known else (),
        step=_step(known, known.rollout) if known and known.rollout and decision.phase is Phase.CANARY else None,
        problems=tuple(SpecProblem(p.code, p.message, p.path, p.line, p.help) for p in desired.stale),
    )


def _conditions(decision: Decision) -> Conditions:
    at_rest = not decision.blocked_by and not decision.waits_for
    well = decision.health is Health.HEALTHY or (decision.health is Health.SUSPENDED and at_rest)
    synced = decision.sync is Sync.SYNCED and well
    ready = Truth.UNKNOWN if decision.sync is Sync.UNKNOWN else Truth.TRUE if synced else Truth.FALSE
    busy = decision.sync is Sync.OUT_OF_SYNC and not decision.stalled and not decision.blocked_by
    message = decision.reason or decision.waits_for or decision.blocked_by or decision.stalled
    amiss = decision.stalled or decision.blocked_by or message
    return Conditions(
        ready=Condition(ready, "InSync" if synced else decision.phase.value, amiss),
        reconciling=Condition(Truth.TRUE if busy else Truth.FALSE, decision.phase.value if busy else "", message),
        stalled=Condition(Truth.TRUE, decision.cause, decision.stalled) if decision.stalled else Condition(Truth.FALSE),
    )


def _registry(facts: Facts) -> tuple[RegistryVersion, ...]:
    newest = facts.versions[-MOST_VERSIONS:]
    kept = {v.version: v for v in (*facts.holders(Stage.PRODUCTION), *facts.holders(Stage.STAGING), *newest)}
    return tuple(_shown(v, facts) for _, v in sorted(kept.items(), reverse=True))


def _shown(version: ModelVersion, facts: Facts) -> RegistryVersion:
    mark = rejection_from_tag(version.tags.get(TAG_REJECTED))
    again = mark is not None and (mark.release, mark.at) in facts.orders.retried
    note = "rejected" if TAG_REJECTED in version.tags and not again else ""
    return RegistryVersion(version.version, role(version).value, note)


def order_status(order: Order) -> OrderStatus:
    """Tell what was ordered."""
    return OrderStatus(order.kind.value, order.actor, order.reason, order.at, about(order))


def _orderable(order: Order) -> Orderable:
    about_it = meant(order)
    return Orderable(order.kind.value, about_it.version, about_it.step, about(order))


def _step(facts: Facts, record: RolloutRecord) -> RunningStep | None:
    steps = steps_of(facts, record)
    if not 0 < record.step <= len(steps):
        return None
    hold = held(facts, record, steps[record.step - 1], "")
    return RunningStep(record.step, len(steps), hold.until if hold else None)


def _live(live: InferenceService, facts: Facts) -> tuple[TrafficShare, ...]:
    shares: dict[str, int] = {}
    for target in live.traffic:
        shares[target.revision] = shares.get(target.revision, 0) + target.percent
    return tuple(_share(live, revision, percent, facts) for revision, percent in shares.items())


def _share(live: InferenceService, revision: str, percent: int, facts: Facts) -> TrafficShare:
    release = revision_release(live, revision, facts.rollout)
    return TrafficShare(release.version if release else None, revision, _asked(live, revision, release), percent)


def _asked(live: InferenceService, revision: str, release: Release | None) -> int | None:
    """Return what is asked for a revision: the candidate's share is that of the object's template, and of no other."""
    previous = previous_target(live)
    if live.canary_percent is None:
        return None
    if previous is not None and revision == previous.revision:
        return 100 - live.canary_percent
    return live.canary_percent if revision == live.latest_created and release == live.release else None


def _gates(verdict: VersionVerdict) -> Mapping[str, Any]:
    return {
        "kind": "gates",
        "version": verdict.version,
        "verdict": "fail" if verdict.lost else "pass",
        "why": verdict.lost or "; ".join(r.said for r in verdict.results) or "no gate is asked for",
        "gates": [{"gate": r.gate, "passed": r.passed, "said": r.said} for r in verdict.results],
    }
