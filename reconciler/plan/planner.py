"""Decide what happens next to one model. The order is DESIGN.md's; each step is a small pure check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import DesiredModel
from reconciler.observed import ModelVersion, ObservedModel, Unknown
from reconciler.plan.action import (
    Action,
    Adopt,
    Analyse,
    BeginStep,
    CutTraffic,
    Deploy,
    FinishRollback,
    PutBack,
    RecordGates,
    Reject,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StartCanary,
    StopTraining,
    TakeDown,
    Train,
    Withdraw,
)
from reconciler.plan.course import goes_back_by
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import Facts, gather, served
from reconciler.plan.freezes import freezes_of, frozen
from reconciler.plan.ownership import respect_owners
from reconciler.plan.removal import decide_removal
from reconciler.plan.rollback import decide_rollback
from reconciler.plan.selection import Selected, candidates, production_of, select
from reconciler.plan.serve import decide_serving, other_mode
from reconciler.plan.training import decide_training, next_trigger
from reconciler.status import SUSPENDED_IN_GIT, Health, Phase, Sync

# What is never held up: it protects callers, or only writes down what already happened.
ALWAYS = (Analyse, BeginStep, CutTraffic, FinishRollback, RecordGates, Reject, RestoreStable, StopTraining, Withdraw)

# What may be done while an earlier request may still land: it is refused where something changed since it was decided.
FENCED = (
    Adopt, Analyse, CutTraffic, Deploy, FinishRollback, PutBack, RestoreStable, RouteAll, ScaleCanary, ShiftTraffic,
    StartCanary, StopTraining, TakeDown, Train,
)  # fmt: skip


def always_allowed(action: Action) -> bool:
    """Return whether neither suspension nor freeze nor guard holds an action up; taking traffic away never waits."""
    return isinstance(action, ALWAYS) or (isinstance(action, ShiftTraffic) and action.percent == 0)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds beside the spec: the repository's policy, and why removals are stopped, if they are."""

    policy: PolicySpec
    removal_guard: str = ""


def decide(desired: DesiredModel, observed: ObservedModel, rules: Rules, now: datetime) -> Decision:
    """Return the next action for a model, or what it waits for. Pure: the same input gives the same answer."""
    facts = gather(desired, observed, now)
    if isinstance(facts, Unknown):
        return Decision(Phase.IDLE, Sync.UNKNOWN, Health.UNKNOWN, waits_for=f"an answer of {facts.why}")
    facts = replace(facts, freezes=freezes_of(rules.policy, desired.name))
    if desired.removed:
        return _settled(facts, _guarded(facts, rules, decide_removal(facts)))
    return _settled(facts, _guarded(facts, rules, _stale(facts, respect_owners(facts, _decide(facts)))))


def _decide(facts: Facts) -> Decision:
    selected = select(facts)
    wanted = None if other_mode(facts) else _approved(facts, selected)
    fields = facts.spec.serving
    release = facts.release(wanted.version, fields) if wanted and fields else None
    undo = decide_rollback(facts, release, _lost(facts, selected))
    if undo is None:
        serving = _record(facts, selected) or _missing_evidence(facts, selected, decide_serving(facts, wanted))
        undo = _together(facts, decide_training(facts), serving, selected)
    elif undo.action is None:
        undo = _meanwhile(facts, undo, selected)
    return replace(undo, versions=selected.verdicts)


def _lost(facts: Facts, selected: Selected) -> frozenset[int]:
    """Return the versions that Git does not want, whatever it does want."""
    pin = facts.spec.promotion.version
    others = {v.version for v in facts.versions if v.version != int(pin)} if pin != "auto" else set()
    return frozenset(others | {v.version for v in selected.verdicts if v.lost})


def _approved(facts: Facts, selected: Selected) -> ModelVersion | None:
    """Return the wanted version, or what serves while a newer one waits to be approved."""
    version = selected.version
    if version is None or version is not awaiting_approval(facts, selected):
        return version
    return _approved_before(facts) or _proven_production(facts)


def awaiting_approval(facts: Facts, selected: Selected) -> ModelVersion | None:
    """Return the version that passed its gates and is neither named in Git nor approved by hand."""
    promotion, version = facts.spec.promotion, selected.version
    if promotion.approval == "none" or promotion.version != "auto" or version is None:
        return None
    return None if version.version == facts.orders.approved else version


def _approved_before(facts: Facts) -> ModelVersion | None:
    """Return the version that was approved by hand, as if Git named it, while a newer one waits."""
    number = facts.orders.approved
    found = next((v for v in candidates(facts.desired, facts.registered) if v.version == number), None)
    return found if found is not None and facts.proven(found) and not _rolled_back(facts, found) else None


def _proven_production(facts: Facts) -> ModelVersion | None:
    production = production_of(facts.registered)
    if production is None or not facts.proven(production) or _rolled_back(facts, production):
        return None
    return production


def _rolled_back(facts: Facts, version: ModelVersion) -> str:
    """Return why the version's release was rolled back under these wishes; empty when it was not."""
    serving = facts.spec.serving
    rejection = facts.rejected(facts.release(version.version, serving)) if serving else None
    return rejection.reason if rejection else ""


def _missing_evidence(facts: Facts, selected: Selected, serving: Decision) -> Decision:
    """Keep what serves, or is on its way, while a version cannot be judged."""
    if selected.missing is None or serving.action is not None or facts.rollout is not None:
        return serving
    health = Health.PROGRESSING if facts.live is None or facts.live.ready else Health.DEGRADED
    return wait(f"the gates: {selected.missing.why}", Phase.GATING, health)


def _record(facts: Facts, selected: Selected) -> Decision | None:
    if selected.unrecorded is None:
        return None
    verdict, mark = selected.unrecorded
    if verdict.lost and verdict.version in _versions_of_callers(facts):
        return None  # first it loses its traffic
    said = verdict.lost or "; ".join(r.said for r in verdict.results) or "no gate is asked for"
    why = f"because version {verdict.version} {'fails' if verdict.lost else 'passes'} its gates: {said}"
    return act(RecordGates(verdict.version, mark), why, Phase.GATING)


def _versions_of_callers(facts: Facts) -> frozenset[int]:
    """Return the versions that callers get, and the one that a share was asked for, which may show any moment."""
    live = facts.live
    if live is None:
        return frozenset()
    asked = live.release if live.canary_percent else None
    releases = (asked, *(release for release, _ in served(live, facts.rollout)))
    return frozenset(release.version for release in releases if release is not None)


def _together(facts: Facts, training: Decision | None, serving: Decision, selected: Selected) -> Decision:
    """Let neither wait for the other: serving acts first, as callers depend on it; a training starts while it waits.

    A training that runs or is stuck is shown where serving has nothing to do.
    """
    if serving.action is not None:
        return serving
    decision, idle = serving, serving.sync is Sync.SYNCED or serving.phase is Phase.GATING
    if training is not None and (training.action is not None or idle):
        decision = training.sooner(serving.look_again_at)
    elif idle:
        decision = _not_as_wanted(facts, serving, selected)
    return decision.sooner(next_trigger(facts.desired, facts.registered, facts.now))


def _meanwhile(facts: Facts, waiting: Decision, selected: Selected) -> Decision:
    """Train and judge the next version while a rollback waits: it may be what ends the waiting."""
    training = decide_training(facts)
    for decision in (_record(facts, selected), training):
        if decision is not None and decision.action is not None:
            return decision.sooner(waiting.look_again_at)
    looks = (training.look_again_at if training else None, next_trigger(facts.desired, facts.registered, facts.now))
    return waiting.sooner(looks[0]).sooner(looks[1])


def _not_as_wanted(facts: Facts, serving: Decision, selected: Selected) -> Decision:
    """Say so where what serves is proven, but not what Git asks for."""
    if selected.absent is not None:
        what = f"version {selected.absent} is wanted, but is not registered"
        return stall(what, Phase.IDLE, f"version {selected.absent} to be registered, or another one to be wanted")
    newest = selected.verdicts[0] if selected.verdicts else None
    if selected.rejected is not None and newest is not None:
        rejected = next(v for v in selected.verdicts if v.version == selected.rejected.version)
        what = f"version {rejected.version} was {rejected.lost}"
        return stall(what, Phase.IDLE, "a commit that asks for another version")
    if newest is not None and newest.lost:
        return replace(
            stall(f"version {newest.version} does not pass its gates: {newest.lost}", Phase.GATING, "a better version"),
            health=serving.health,
        )
    approved = _approved(facts, selected)
    serves = production_of(facts.registered)
    if approved is None and serves is not None and (why := _rolled_back(facts, serves)):
        what = f"version {serves.version} with these serving fields was rolled back: {why}"
        return stall(what, Phase.IDLE, "a commit that changes what is wanted")
    if (waiting := awaiting_approval(facts, selected)) is not None and waiting is not approved:
        waits = f'approval: `reconciler approve`, or a commit that sets version: "{waiting.version}"'
        return replace(serving, sync=Sync.OUT_OF_SYNC, waits_for=waits)
    return serving


def _stale(facts: Facts, decision: Decision) -> Decision:
    """Show that the spec at this commit is invalid while the last good one stays in force."""
    if not facts.desired.stale:
        return decision
    first = facts.desired.stale[0]
    place = f"{first.path}:{first.line}:{first.column}" if first.line else first.path
    what = f"{place}: {first.message}; the spec of {facts.desired.commit.short} stays"
    return replace(decision, sync=Sync.OUT_OF_SYNC, stalled=decision.stalled or what)


def _guarded(facts: Facts, rules: Rules, decision: Decision) -> Decision:
    """Hold up every action that something forbids to start; rolling back is always allowed."""
    freeze, changes = frozen(facts.freezes, facts.now)
    if decision.action is None or always_allowed(decision.action):
        return _suspended(facts, decision).sooner(changes)
    # A revert is a rollback that a person asked for.
    block = _block(facts, rules, "" if goes_back_by(facts, decision.action) else freeze, decision.action)
    if not block:
        return decision
    what = f"{_name(decision.action)}, {decision.reason}"
    held = replace(decision, action=None, reason="", blocked_by=f"{block}; held up: {what}")
    return _suspended(facts, held).sooner(changes)


def _settled(facts: Facts, decision: Decision) -> Decision:
    """Hold up what could be overtaken by an earlier request whose answer was lost; MLflow has no write conditions."""
    unsettled = facts.observed.unsettled
    if unsettled is None or unsettled.until <= facts.now or decision.action is None:
        return decision
    overtaken = unsettled.archives and isinstance(decision.action, Deploy)
    if isinstance(decision.action, FENCED) and not overtaken:
        return decision
    until = unsettled.until
    waits = f"an earlier request, whose answer was lost, to be over: it may be carried out until {until:%H:%M:%S}Z"
    return replace(decision, action=None, reason="", waits_for=waits, look_again_at=until)


def _block(facts: Facts, rules: Rules, freeze: str, action: Action) -> str:
    if facts.spec.suspend:
        return SUSPENDED_IN_GIT
    unserved = facts.spec.serving is None and isinstance(action, TakeDown)
    if rules.removal_guard and (facts.desired.removed or unserved):
        return rules.removal_guard
    return freeze


def _suspended(facts: Facts, decision: Decision) -> Decision:
    calm = decision.health in (Health.HEALTHY, Health.PROGRESSING) and decision.action is None
    if not (facts.spec.suspend and calm):
        return decision
    said = f"{SUSPENDED_IN_GIT}; no new action starts" if decision.reason else ""
    return replace(decision, health=Health.SUSPENDED, reason=said)


def _name(action: Action) -> str:
    return type(action).__name__
