"""Judge what probes answered: the newest interval, and the whole step. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from reconciler.analysis.finding import Compared, Finding, alike
from reconciler.desired.checks import Check, ProbeCheck
from reconciler.observed import Measurement, Side

ERROR_RATE, LATENCY = "error rate", "latency p95"


def windows(check: Check, probe: ProbeCheck, good: Sequence[Measurement]) -> Iterator[Sequence[Measurement]]:
    """Cut a step into windows, each with enough samples for a verdict of its own."""
    window: list[Measurement] = []
    for measurement in good:
        window.append(measurement)
        if _decided(check, probe, window):
            yield tuple(window)
            window = []


def _decided(check: Check, probe: ProbeCheck, window: Sequence[Measurement]) -> bool:
    """Return whether a window has enough requests, and enough answers to compare unless it breaches a limit already."""
    if requests(window) < check.samples_needed:
        return False
    compared = all(f.measured is not None for f in findings(check, probe, window))
    return compared or breach(check, probe, window) is not None


def requests(window: Sequence[Measurement]) -> int:
    """Return how many requests the candidate was sent."""
    return sum(m.candidate.requests for m in window)


def breach(check: Check, probe: ProbeCheck, window: Sequence[Measurement]) -> Finding | None:
    """Return the first limit that a window breaches with enough requests, and worse than stable does."""
    if requests(window) < check.samples_needed:
        return None
    for finding in findings(check, probe, window):
        if finding.holds is False and not _stable_as_bad(finding):
            return finding
    return None


def _stable_as_bad(finding: Finding) -> bool:
    """Return whether stable breaches a limit as much: then the candidate is not what is wrong."""
    if finding.what not in (ERROR_RATE, LATENCY) or finding.stable is None or finding.measured is None:
        return False
    return alike(finding, finding.measured, finding.stable)


def findings(check: Check, probe: ProbeCheck, window: Sequence[Measurement]) -> tuple[Finding, ...]:
    """Hold every limit of a probe against what a window's measurements have in common."""
    candidate, stable = [m.candidate for m in window], [m.stable for m in window]
    samples, errors, theirs = requests(window), _error_rate(candidate), _error_rate(stable)
    found = [Finding(ERROR_RATE, errors, "<=", probe.max_error_rate, "share", samples, theirs)]
    found += _latencies(probe, candidate, stable)
    if probe.agreement is not None:
        compared = sum(m.compared for m in window)
        share = sum(m.agreed for m in window) / compared if compared else None
        what = f"agreement with {probe.agreement.with_}"
        found.append(Finding(what, share, ">=", probe.agreement.min, "share", compared))
    if probe.schema_ is not None:
        shaped = sum(m.shape_compared for m in window)
        same = sum(m.shape_agreed for m in window) / shaped if shaped else None
        found.append(Finding("schema of stable", same, ">=", 1.0, "share", shaped))
    return tuple(_counted(check, finding) for finding in found)


def _latencies(probe: ProbeCheck, candidate: Sequence[Side], stable: Sequence[Side]) -> Iterator[Finding]:
    """Hold latencies against their limits; answers that never came have none."""
    p95, stable_p95 = _p95(candidate), _p95(stable)
    ours, theirs = (sum(len(s.latencies_ms) for s in sides) for sides in (candidate, stable))
    if probe.max_latency_p95 is not None:
        limit = probe.max_latency_p95.total_seconds() * 1000
        yield Finding(LATENCY, p95, "<=", limit, "ms", ours, stable_p95)
    if probe.max_latency_increase is not None:
        both = Compared(p95, stable_p95, "ms") if p95 is not None and stable_p95 else None
        increase = both.candidate / both.stable - 1 if both else None
        limit, fewer = probe.max_latency_increase, min(ours, theirs)
        yield Finding("latency p95 increase", increase, "<=", limit, "share", fewer, compared=both)


def _counted(check: Check, finding: Finding) -> Finding:
    """Leave open what too few answers stand behind: on either side, where two are compared."""
    if finding.what == ERROR_RATE or finding.samples >= check.samples_needed:
        return finding
    return replace(finding, measured=None, needed=check.samples_needed)


def _error_rate(sides: Sequence[Side]) -> float | None:
    requests = sum(s.requests for s in sides)
    return sum(s.errors for s in sides) / requests if requests else None


def _p95(sides: Sequence[Side]) -> float | None:
    latencies = sorted(ms for s in sides for ms in s.latencies_ms)
    return latencies[math.ceil(len(latencies) * 0.95) - 1] if latencies else None
