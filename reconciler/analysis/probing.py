"""Judge what probes answered: the newest interval, and the whole step. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from reconciler.analysis.finding import Finding
from reconciler.desired.checks import Check, ProbeCheck
from reconciler.observed import Measurement, Side


def windows(check: Check, good: Sequence[Measurement]) -> Iterator[Sequence[Measurement]]:
    """Cut a step into windows, each with enough requests for a verdict of its own."""
    window: list[Measurement] = []
    for measurement in good:
        window.append(measurement)
        if sum(m.candidate.requests for m in window) >= check.samples_needed:
            yield tuple(window)
            window = []


def breach(check: Check, probe: ProbeCheck, window: Sequence[Measurement]) -> Finding | None:
    """Return the first limit that a window breaches with enough requests, and worse than stable does."""
    if sum(m.candidate.requests for m in window) < check.samples_needed:
        return None
    for finding in findings(probe, window):
        if finding.holds is False and not _stable_as_bad(finding):
            return finding
    return None


def _stable_as_bad(finding: Finding) -> bool:
    """Return whether stable breaches a limit as much: then the candidate is not what is wrong."""
    if finding.stable is None or finding.measured is None:
        return False
    return finding.stable >= finding.measured


def findings(probe: ProbeCheck, window: Sequence[Measurement]) -> tuple[Finding, ...]:
    """Hold every limit of a probe against what a window's measurements have in common."""
    candidate = [m.candidate for m in window]
    stable = [m.stable for m in window]
    samples = sum(s.requests for s in candidate)
    p95, stable_p95 = _p95(candidate), _p95(stable)
    found = [
        Finding("error rate", _error_rate(candidate), "<=", probe.max_error_rate, "share", samples, _error_rate(stable))
    ]
    if probe.max_latency_p95 is not None:
        limit = probe.max_latency_p95.total_seconds() * 1000
        found.append(Finding("latency p95", p95, "<=", limit, "ms", samples, stable_p95))
    if probe.max_latency_increase is not None:
        increase = p95 / stable_p95 - 1 if p95 is not None and stable_p95 else None
        found.append(Finding("latency p95 increase", increase, "<=", probe.max_latency_increase, "share", samples))
    if probe.agreement is not None:
        compared = sum(m.compared for m in window)
        share = sum(m.agreed for m in window) / compared if compared else None
        found.append(
            Finding(f"agreement with {probe.agreement.with_}", share, ">=", probe.agreement.min, "share", compared)
        )
    if probe.schema_ is not None:
        shaped = sum(m.shape_compared for m in window)
        same = sum(m.shape_agreed for m in window) / shaped if shaped else None
        found.append(Finding("schema of stable", same, ">=", 1.0, "share", shaped))
    return tuple(found)


def _error_rate(sides: Sequence[Side]) -> float | None:
    requests = sum(s.requests for s in sides)
    return sum(s.errors for s in sides) / requests if requests else None


def _p95(sides: Sequence[Side]) -> float | None:
    latencies = sorted(ms for s in sides for ms in s.latencies_ms)
    return latencies[math.ceil(len(latencies) * 0.95) - 1] if latencies else None
