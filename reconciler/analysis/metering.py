"""Judge what Prometheus said of both sides; each measurement stands for its own window. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from reconciler.analysis.finding import Compared, Finding, Queries, Verdict, alike, number
from reconciler.desired.checks import Check, PrometheusCheck
from reconciler.desired.duration import format_duration
from reconciler.observed import Metered, Metering

SOURCE = "Prometheus"
_UNITS = {"error-rate": "share", "latency-p95": "s", "latency-p99": "s", "request-rate": "/s"}


def findings(check: Check, metrics: PrometheusCheck, seen: Metering) -> tuple[Finding, ...]:
    """Hold every limit of a query against its values."""
    return tuple(_held(limit, metrics, seen, _believed(check, seen.stable)) for limit in limits_of(metrics))


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit of a query: which of its numbers is held against it, and how."""

    kind: Literal["max", "min", "relative", "absolute"]
    limit: float


def limits_of(metrics: PrometheusCheck) -> list[_Limit]:
    """Return every limit of a query."""
    increase = metrics.max_increase
    asked = [_Limit("max", metrics.max)] if metrics.max is not None else []
    asked += [_Limit("min", metrics.min)] if metrics.min is not None else []
    if increase is not None and increase.relative is not None:
        asked.append(_Limit("relative", increase.relative))
    if increase is not None and increase.absolute is not None:
        asked.append(_Limit("absolute", increase.absolute))
    return asked


def _held(asked: _Limit, metrics: PrometheusCheck, seen: Metering, theirs: float | None) -> Finding:
    ours, samples, name, unit = seen.candidate.value, seen.candidate.samples, _name(metrics), _unit(metrics)
    made = int(ours is not None)  # measurements, where nobody counts requests
    found = Finding(
        what=name,
        measured=ours,
        operator="<=",
        limit=asked.limit,
        unit=unit,
        samples=made if samples is None else samples,
        stable=theirs,
        window=format_duration(timedelta(seconds=seen.window_seconds)),
        counted="measurement" if samples is None else "requests",
        source=SOURCE,
        queries=Queries(seen.candidate.query, seen.stable.query, seen.candidate.count_query),
    )
    both = Compared(ours, theirs, unit) if ours is not None and theirs is not None else None
    match asked.kind:
        case "max":
            return found
        case "min":
            return replace(found, operator=">=")
        case "relative":
            ratio = _told(_increase(ours, theirs), asked, metrics, ours)
            return replace(found, what=f"{name} increase", measured=ratio, unit="share", stable=None, compared=both)
        case "absolute":
            above = _told(both.candidate - both.stable if both else None, asked, metrics, ours)
            return replace(found, what=f"{name} above stable", measured=above, stable=None, compared=both)


def _told(above: float | None, asked: _Limit, metrics: PrometheusCheck, ours: float | None) -> float | None:
    """Return how far the candidate is above stable; None where it may be farther and has not breached the limit yet."""
    return None if above is not None and above <= asked.limit and _beyond_all(metrics, ours) else above


def _beyond_all(metrics: PrometheusCheck, value: float | None) -> bool:
    """Return whether a latency is at least what its histogram can tell."""
    return value is not None and metrics.longest_told is not None and value >= metrics.longest_told


def values(seen: Sequence[Metering]) -> int:
    """Return how many measurements found a value of the candidate: what stands behind a query without `samples`."""
    return sum(one.candidate.value is not None for one in seen)


def _name(metrics: PrometheusCheck) -> str:
    return (metrics.template or "query").replace("-", " ")


def _unit(metrics: PrometheusCheck) -> str:
    return _UNITS.get(metrics.template or "", "")


def _believed(check: Check, side: Metered) -> float | None:
    """Return a side's value, None where too few requests stand behind it."""
    few = side.samples is not None and side.samples < check.samples_needed
    return None if few else side.value


def _increase(ours: float | None, theirs: float | None) -> float | None:
    """Return how far ours is above theirs, relative; anything is infinitely more than nothing."""
    if ours is None or theirs is None:
        return None
    if theirs == 0:
        return 0.0 if ours <= 0 else math.inf
    return (ours - theirs) / abs(theirs)


def outcome(check: Check, metrics: PrometheusCheck, seen: Metering) -> tuple[Verdict, str]:
    """Return what one measurement says, and the sentence that decides.

    What is empty or no number is inconclusive, and so is what has too few requests behind it: never a pass. An absolute
    limit that stable breaches at least as much is no proof against the candidate.
    """
    ours = seen.candidate
    window = format_duration(timedelta(seconds=seen.window_seconds))
    if ours.samples is not None and ours.samples < check.samples_needed:
        few = f"{ours.samples} of {check.samples_needed} requests in {window}, not counted yet"
        return Verdict.INCONCLUSIVE, f"{few}: {ours.why}" if ours.why else few
    if ours.value is None:
        return Verdict.INCONCLUSIVE, f"Prometheus has no value of the candidate in {window}: {ours.why}"
    found = findings(check, metrics, seen)
    broken = [f for f in found if f.holds is False]
    for finding in broken:
        if not _stable_as_bad(finding):
            return Verdict.FAIL, str(finding)
    if broken:
        return Verdict.INCONCLUSIVE, f"{broken[0]}, but stable does no better: the cause may lie outside the candidate"
    if any(f.holds is None for f in found):
        return Verdict.INCONCLUSIVE, f"nothing to compare with: {_missing(check, metrics, seen, window)}"
    return Verdict.PASS, "; ".join(str(f) for f in found)


def _missing(check: Check, metrics: PrometheusCheck, seen: Metering, window: str) -> str:
    """Say what a comparison lacks."""
    theirs, top = seen.stable, metrics.longest_told
    if top is not None and _believed(check, theirs) is not None:
        return f"the histogram tells no more than a {_name(metrics)} of at least {number(top, 's')}"
    counted = f" ({theirs.samples} of {check.samples_needed} requests)" if theirs.samples is not None else ""
    return f"no value of stable in {window}: {theirs.why or 'too few requests'}{counted}"


def _stable_as_bad(finding: Finding) -> bool:
    if finding.stable is None or finding.measured is None:
        return False
    return alike(finding, finding.measured, finding.stable)


def limits(metrics: PrometheusCheck) -> list[str]:
    """Say what a query is held against, for plans."""
    name, unit = _name(metrics), _unit(metrics)
    words = {
        "max": "<= {}",
        "min": ">= {}",
        "relative": "at most {} above stable",
        "absolute": "at most {} above stable",
    }
    said = [
        (words[asked.kind], asked.limit, "share" if asked.kind == "relative" else unit) for asked in limits_of(metrics)
    ]
    return [f"{name} {form.format(number(limit, of))}" for form, limit, of in said]


def perfect(check: Check, metrics: PrometheusCheck) -> Metering:
    """Return what a query says that keeps every limit, for forecasts."""
    value = next((limit for limit in (metrics.max, metrics.min) if limit is not None), 0.0)
    samples = None if metrics.count_query is None else check.samples_needed
    side = Metered(metrics.value_query, value, samples)
    return Metering(side, side, metrics.window.total_seconds())
