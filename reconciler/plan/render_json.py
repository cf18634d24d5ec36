"""A plan as JSON, for programs. Pure.

The schema is `reconciler.dev/plan/v1`: fields are only ever added. Times are seconds after the plan was made, for the
same commit and the same world give the same plan, byte for byte.

    schema         "reconciler.dev/plan/v1"
    compared       {what, against, assumed}; `assumed` is empty where real systems were asked
    summary        {text, counts: {outcome: models}, models, unchanged, waiting, seconds}; every model is counted once:
                   in `counts`, as `waiting` or as `unchanged`
    assumptions    {trainingSeconds, readySeconds}
    policyChanges  [{path, kind: added | changed | removed, before, after}]
    models         those that change or wait, the most drastic first:
      name, outcome (delete, archive, let go, take down, roll back, train, retrain, deploy, roll out, tidy up, add,
      update, wait, put back), path, commit, irreversible: [sentence], changes: as policyChanges, drift: [field],
      gates: [rule], versions: [{version, lost, gates: [{gate, passed, said}]}],
      decision       {action: {kind, ...} or null, reason, phase, sync, health, waitsFor, blockedBy, stalled}
      way            {seconds, converges, steps: [{afterSeconds, action, reason}], end: {waitsFor, blockedBy, stalled}}
    diagnostics    [{severity, code, message, path, line, column, ...}]
"""

from __future__ import annotations

import json
from typing import Any

from reconciler.desired.render import as_json as diagnostic_json
from reconciler.plan.decision import Decision, VersionVerdict
from reconciler.plan.proposal import ModelPlan, Proposal
from reconciler.plan.render_words import action_json, gate, irreversible, summary, why
from reconciler.plan.spec_changes import FieldChange

SCHEMA = "reconciler.dev/plan/v1"


def render_json(proposal: Proposal) -> str:
    """Return the whole plan as one JSON text."""
    return json.dumps(proposal_json(proposal), indent=2, ensure_ascii=True) + "\n"


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """Return the whole plan as a JSON object."""
    compared, assumed = proposal.compared, proposal.assumptions
    shown = (*proposal.changed, *proposal.waiting, *(p for p in proposal.drifted if p not in proposal.changed))
    return {
        "schema": SCHEMA,
        "compared": {"what": compared.what, "against": compared.against, "assumed": compared.assumed},
        "summary": {
            "text": summary(proposal),
            "counts": {outcome.value: count for outcome, count in proposal.counts.items()},
            "models": len(proposal.plans),
            "unchanged": proposal.unchanged,
            "waiting": len(proposal.waiting),
            "seconds": proposal.took.total_seconds(),
        },
        "assumptions": {
            "trainingSeconds": assumed.training.total_seconds(),
            "readySeconds": assumed.ready.total_seconds(),
        },
        "policyChanges": [_change(change) for change in proposal.policy],
        "models": [_model(plan) for plan in shown],
        "diagnostics": [diagnostic_json(problem) for problem in proposal.diagnostics],
    }


def _model(plan: ModelPlan) -> dict[str, Any]:
    desired, way = plan.desired, plan.way
    return {
        "name": plan.name,
        "outcome": plan.outcome.value,
        "path": desired.path,
        "commit": desired.commit.id,
        "irreversible": list(irreversible(plan)),
        "changes": [_change(change) for change in plan.changes],
        "drift": list(plan.drift),
        "gates": [gate(rule) for rule in desired.spec.promotion.gates],
        "versions": [_version(verdict) for verdict in plan.decision.versions],
        "decision": _decision(plan.decision),
        "way": {
            "seconds": round(way.took.total_seconds()),
            "converges": plan.converges,
            "steps": [
                {
                    "afterSeconds": round(step.after.total_seconds()),
                    "action": action_json(step.action),
                    "reason": why(step),
                }
                for step in way.steps
            ],
            "end": _end(way.last),
        },
    }


def _change(change: FieldChange) -> dict[str, Any]:
    return {"path": change.path, "kind": change.kind.value, "before": change.before, "after": change.after}


def _version(verdict: VersionVerdict) -> dict[str, Any]:
    gates = [{"gate": result.gate, "passed": result.passed, "said": result.said} for result in verdict.results]
    return {"version": verdict.version, "lost": verdict.lost, "gates": gates}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "action": action_json(decision.action) if decision.action else None,
        "reason": decision.reason,
        "phase": decision.phase.value,
        "sync": decision.sync.value,
        "health": decision.health.value,
        **_end(decision),
    }


def _end(decision: Decision) -> dict[str, str]:
    return {"waitsFor": decision.waits_for, "blockedBy": decision.blocked_by, "stalled": decision.stalled}
