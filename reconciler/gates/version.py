"""Gates on a model version: metric, regression against production, tag, signature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from reconciler.desired.documents import Gate, MetricGate, SignatureGate, TagGate
from reconciler.gates.signature import incompatibility
from reconciler.observed import ModelVersion, VersionEvidence


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's answer: `gate` is the rule in words, `said` the sentence with the numbers."""

    gate: str
    passed: bool
    said: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version with what was read of it."""

    version: ModelVersion
    evidence: VersionEvidence


def check_gate(gate: Gate, candidate: Candidate, production: Candidate | None) -> GateResult:
    """Ask one gate about a candidate; `production` is None where no version is in Production."""
    match gate:
        case MetricGate(against=None):
            return _threshold(gate, candidate.evidence.metrics)
        case MetricGate():
            return _regression(gate, candidate, production)
        case TagGate():
            return _tag(gate, candidate.version)
        case SignatureGate():
            return _signature(candidate, production)
    assert_never(gate)


def needs_evidence(gate: Gate) -> bool:
    """Return whether the gate asks for more than the bulk reads show."""
    return not isinstance(gate, TagGate)


def needs_production(gate: Gate) -> bool:
    """Return whether the gate compares with the production version."""
    return isinstance(gate, SignatureGate) or (isinstance(gate, MetricGate) and gate.against is not None)


def _threshold(gate: MetricGate, metrics: Mapping[str, float]) -> GateResult:
    bounds = ((">=", gate.min), ("<=", gate.max))
    limits = [f"{operator} {bound:g}" for operator, bound in bounds if bound is not None]
    rule = f"{gate.metric} {' and '.join(limits)}"
    value = metrics.get(gate.metric)
    if value is None:
        return GateResult(rule, passed=False, said=f"{rule}: the run logged no metric {gate.metric}")
    if not math.isfinite(value):
        return GateResult(rule, passed=False, said=f"{rule}: {gate.metric} is {value}, which proves nothing")
    if gate.min is not None and not value >= gate.min:
        return GateResult(rule, passed=False, said=f"{gate.metric} {value:.6g} < {gate.min:g}")
    if gate.max is not None and not value <= gate.max:
        return GateResult(rule, passed=False, said=f"{gate.metric} {value:.6g} > {gate.max:g}")
    return GateResult(rule, passed=True, said=f"{gate.metric} {value:.6g} {' and '.join(limits)}")


def _regression(gate: MetricGate, candidate: Candidate, production: Candidate | None) -> GateResult:
    allowed = gate.max_regression or 0.0
    rule = f"{gate.metric} at most {allowed:g} worse than production"
    if production is None:
        return GateResult(rule, passed=True, said=f"{rule}: nothing is in Production yet")
    ours, theirs = candidate.evidence.metrics.get(gate.metric), production.evidence.metrics.get(gate.metric)
    if ours is None or not math.isfinite(ours):
        return GateResult(rule, passed=False, said=f"{rule}: {gate.metric} of the candidate is {ours}")
    if theirs is None or not math.isfinite(theirs):
        said = f"{rule}: {gate.metric} of production version {production.version.version} is {theirs}"
        return GateResult(rule, passed=False, said=said)
    worse = theirs - ours if gate.goal == "maximize" else ours - theirs
    # 0.96 - 0.95 is a hair more than 0.01 in floating point.
    kept = worse <= allowed or math.isclose(worse, allowed, rel_tol=1e-9, abs_tol=1e-12)
    said = (
        f"{gate.metric} {ours:.6g} against {theirs:.6g} of production version {production.version.version}: "
        f"{abs(worse):.4g} {'worse' if worse > 0 else 'better'}, at most {allowed:g} worse is allowed"
    )
    return GateResult(rule, passed=kept, said=said)


def _tag(gate: TagGate, version: ModelVersion) -> GateResult:
    rule = f"tag {gate.tag} = {gate.equals}"
    value = version.tags.get(gate.tag)
    if value is None:
        return GateResult(rule, passed=False, said=f"{rule}: the tag is not set")
    return GateResult(rule, passed=value == gate.equals, said=f"tag {gate.tag} is {value}, wanted {gate.equals}")


def _signature(candidate: Candidate, production: Candidate | None) -> GateResult:
    rule = "signature compatible with production"
    if production is None:
        return GateResult(rule, passed=True, said=f"{rule}: nothing is in Production yet")
    why = incompatibility(candidate.evidence.signature, production.evidence.signature)
    return GateResult(rule, passed=why is None, said=why or f"{rule}: same inputs and outputs for callers")
