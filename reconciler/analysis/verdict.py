"""Turn a step's measurements into a verdict that shows its numbers.

A check fails as soon as the newest interval or the whole step breaches a limit with enough samples. It passes only with
enough samples over the step and no breach. Everything else is inconclusive: it holds the step, under the rollout's
deadline. Measurements that could not be made count as none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reconciler.desired.documents import Check, ProbeCheck
from reconciler.desired.duration import format_duration
from reconciler.observed import Measurement, Side


class Verdict(StrEnum):
    """The three verdicts."""

    PASS = "pass"  # noqa: S105  a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Finding:
    """One limit held against one measured value; `measured` None means that there is nothing to compare yet."""

    what: str
    measured: float | None
    operator: str
    limit: float
    unit: str
    samples: int
    stable: float | None = None

    @property
    def holds(self) -> bool | None:
        """Return whether the limit is kept; None when nothing was measured. NaN keeps no limit."""
        if self.measured is None:
            return None
        return self.measured <= self.limit if self.operator == "<=" else self.measured >= self.limit

    def __str__(self) -> str:
        """Write value, operator, limit and samples, such as `error rate 20 % > 1 % (20 requests)`."""
        if self.measured is None:
            return f"{self.what}: nothing measured yet"
        operator = self.operator if self.holds else {"<=": ">", ">=": "<"}[self.operator]
        stable = "" if self.stable is None else f", stable {_number(self.stable, self.unit)}"
        measured, limit = _number(self.measured, self.unit), _number(self.limit, self.unit)
        return f"{self.what} {measured} {operator} {limit} ({self.samples} requests{stable})"


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """What one check says of a step; `why` is the sentence that decides, `until_due` when it measures next."""

    check: str
    verdict: Verdict
    why: str
    findings: tuple[Finding, ...]
    samples: int
    measured_at: datetime | None


def judge(check: Check, measurements: Iterable[Measurement]) -> CheckVerdict:
    """Judge one check by the measurements of the running step."""
    made = [m for m in measurements if m.check == check.name]
    good = [m for m in made if m.error is None]
    last = made[-1].at if made else None
    samples = sum(m.candidate.requests for m in good)
    findings = _findings(check.probe, good)
    if made and not good:
        return CheckVerdict(check.name, Verdict.INCONCLUSIVE, f"could not measure: {made[-1].error}", (), 0, last)
    for window in (good[-1:], good):
        if failed := _breach(check, window):
            return _failed(check, failed, _findings(check.probe, window), samples, last)
    if samples < check.min_samples:
        why = f"{samples} of {check.min_samples} samples, not counted yet"
        return CheckVerdict(check.name, Verdict.INCONCLUSIVE, why, findings, samples, last)
    unsure = [f for f in findings if not f.holds]
    if unsure:
        why = f"{unsure[0]}, but stable does no better: the cause may lie outside the candidate"
        why = why if unsure[0].measured is not None else str(unsure[0])
        return CheckVerdict(check.name, Verdict.INCONCLUSIVE, why, findings, samples, last)
    why = "; ".join(str(f) for f in findings)
    return CheckVerdict(check.name, Verdict.PASS, why, findings, samples, last)


def _failed(
    check: Check, failed: Finding, findings: tuple[Finding, ...], samples: int, at: datetime | None
) -> CheckVerdict:
    """Build the verdict of a breached limit."""
    return CheckVerdict(check.name, Verdict.FAIL, str(failed), findings, samples, at)


def due_at(check: Check, since: datetime, measurements: Iterable[Measurement]) -> datetime:
    """Return when a check measures next: at the step's begin, then once each interval."""
    made = [m.at for m in measurements if m.check == check.name]
    return max(made) + check.interval if made else since


def _breach(check: Check, window: Sequence[Measurement]) -> Finding | None:
    if sum(m.candidate.requests for m in window) < check.min_samples:
        return None
    stable_errors = _error_rate([m.stable for m in window])
    for finding in _findings(check.probe, window):
        if finding.holds is False and not _stable_as_bad(finding, stable_errors):
            return finding
    return None


def _stable_as_bad(finding: Finding, stable_errors: float | None) -> bool:
    """Return whether stable fails callers as much: then the candidate is not what is wrong."""
    if finding.what != ERROR_RATE or finding.measured is None or not stable_errors:
        return False
    return stable_errors >= finding.measured


ERROR_RATE = "error rate"


def _findings(probe: ProbeCheck, window: Sequence[Measurement]) -> tuple[Finding, ...]:
    candidate = [m.candidate for m in window]
    stable = [m.stable for m in window]
    samples = sum(s.requests for s in candidate)
    p95, stable_p95 = _p95(candidate), _p95(stable)
    found = [
        Finding(ERROR_RATE, _error_rate(candidate), "<=", probe.max_error_rate, "share", samples, _error_rate(stable))
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
    return tuple(found)


def _error_rate(sides: Sequence[Side]) -> float | None:
    requests = sum(s.requests for s in sides)
    return sum(s.errors for s in sides) / requests if requests else None


def _p95(sides: Sequence[Side]) -> float | None:
    latencies = sorted(ms for s in sides for ms in s.latencies_ms)
    return latencies[math.ceil(len(latencies) * 0.95) - 1] if latencies else None


def _number(value: float, unit: str) -> str:
    if unit == "ms":
        return f"{value:.0f} ms"
    return f"{value * 100:.3g} %"


def describe_limits(check: Check) -> str:
    """Say in one line what a check asks for, for plans."""
    probe = check.probe
    limits = [f"error rate <= {_number(probe.max_error_rate, 'share')}"]
    if probe.max_latency_p95 is not None:
        limits.append(f"latency p95 <= {format_duration(probe.max_latency_p95)}")
    if probe.max_latency_increase is not None:
        limits.append(f"latency p95 at most {_number(probe.max_latency_increase, 'share')} above stable")
    if probe.agreement is not None:
        limits.append(f"agreement with {probe.agreement.with_} >= {_number(probe.agreement.min, 'share')}")
    return ", ".join(limits)
