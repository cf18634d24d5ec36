"""Turn a step's measurements into a verdict that shows its numbers.

A probe fails as soon as the newest interval or the whole step breaches a limit with enough samples; a query when a
measurement does. With a `failureLimit`, so many failures of a step are let pass: one more fails the check, and no
success resets the count. A check passes only by enough samples and no breach; what it says counts as of its newest
measurement. Everything else is inconclusive: it holds the step, under the rollout's deadline.

A measurement that could not be made is an error and counts as none; while it is the newest, what passed before it
proves nothing any more. As in Argo Rollouts, errors in a row are counted apart: more than `errorLimit` of them
(default 4) fail the check, so that nothing hangs on a system that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from reconciler.analysis import metering, probing
from reconciler.analysis.finding import CheckVerdict, Finding, Verdict, number, too_few
from reconciler.desired.checks import Check, ProbeCheck, PrometheusCheck
from reconciler.desired.duration import format_duration
from reconciler.observed import JobRun, Measurement, Metering

__all__ = ["CheckVerdict", "Finding", "Verdict", "describe_limits", "due_at", "judge"]


def judge(check: Check, measurements: Iterable[Measurement]) -> CheckVerdict:
    """Judge one check by the measurements of the running step."""
    made = [m for m in measurements if m.check == check.name]
    good = [m for m in made if m.error is None]
    # A job that runs is no end of errors yet.
    over = [m for m in made if m.job is None or m.job.exit_code is not None]
    errors = len(list(takewhile(lambda m: m.error is not None, reversed(over))))
    forgotten = sum(m.forgotten for m in made)
    judged = _judged(check, good, forgotten)
    if forgotten and judged.failures > check.failure_limit and judged.verdict is not Verdict.FAIL:
        judged = _long_ago(check, judged)
    if errors and judged.verdict is not Verdict.FAIL:
        judged = _unmeasured(check, judged, errors, over[-1])
    at = made[-1].at if made else None
    return replace(judged, measured_at=at, errors=len(made) - len(good), dry_run=check.dry_run)


def _unmeasured(check: Check, before: CheckVerdict, errors: int, newest: Measurement) -> CheckVerdict:
    """Let the newest measurements, which could not be made, have the last word: what passed before them is too old."""
    verdict, passed = Verdict.INCONCLUSIVE, f"; before that {before.why}" if before.verdict is Verdict.PASS else ""
    why = f"could not measure: {newest.error}{passed}"
    if errors > check.error_limit:
        verdict = Verdict.FAIL
        why = f"could not be measured {errors} times in a row (errorLimit {check.error_limit}): {newest.error}"
    return replace(before, verdict=verdict, why=why, findings=before.findings or _asked(check, newest))


def _asked(check: Check, unmade: Measurement) -> tuple[Finding, ...]:
    """Return findings without values, which say what was asked."""
    if check.prometheus is None or unmade.metering is None:
        return ()
    return metering.findings(check, check.prometheus, unmade.metering)


def _judged(check: Check, good: Sequence[Measurement], forgotten: int) -> CheckVerdict:
    """Judge what could be measured; so many failures came before and are not kept one by one."""
    if check.prometheus is not None:
        return _metered(check, check.prometheus, [m.metering for m in good if m.metering is not None], forgotten)
    if check.probe is not None:
        return _probed(check, check.probe, good, forgotten)
    return _ran(check, [m.job for m in good if m.job is not None], forgotten)


def _verdict(
    check: Check, verdict: Verdict, why: str, findings: tuple[Finding, ...] = (), samples: int = 0
) -> CheckVerdict:
    return CheckVerdict(check.name, verdict, why, findings, samples, None)


def _long_ago(check: Check, judged: CheckVerdict) -> CheckVerdict:
    """Fail by failures whose numbers are not kept one by one any more."""
    why = f"failure {judged.failures} of this step, {check.failure_limit} let pass; the ledger has the numbers of each"
    return replace(judged, verdict=Verdict.FAIL, why=why)


def _probed(check: Check, probe: ProbeCheck, good: Sequence[Measurement], forgotten: int) -> CheckVerdict:
    samples = probing.requests(good)
    if check.failure_limit:
        windows = list(probing.windows(check, probe, good))
        failing = [w for w in windows if probing.breach(check, probe, w)]
        failures = forgotten + len(failing)
        if failures <= check.failure_limit or not failing:
            newest = windows[-1:]
            return _spared(check, probe, newest[0] if newest else good, samples, failures)
        why = str(probing.breach(check, probe, failing[-1])) + _beyond(check, failures)
        failed = _verdict(check, Verdict.FAIL, why, probing.findings(check, probe, failing[-1]), samples)
        return replace(failed, failures=failures)
    for window in (good[-1:], good):
        if broken := probing.breach(check, probe, window):
            failed = _verdict(check, Verdict.FAIL, str(broken), probing.findings(check, probe, window), samples)
            return replace(failed, failures=1)
    return _unbroken(check, probe, good, samples)


def _beyond(check: Check, failures: int) -> str:
    return f"; failure {failures}, {check.failure_limit} let pass" if check.failure_limit else ""


def _spared(
    check: Check, probe: ProbeCheck, window: Sequence[Measurement], samples: int, failures: int
) -> CheckVerdict:
    """Judge by the newest window, as fewer failed than are let pass."""
    judged = _unbroken(check, probe, window, samples)
    if broken := probing.breach(check, probe, window):
        why = str(broken) + _beyond(check, failures)
        judged = replace(judged, verdict=Verdict.INCONCLUSIVE, why=why)
    return replace(judged, failures=failures)


def _unbroken(check: Check, probe: ProbeCheck, window: Sequence[Measurement], samples: int) -> CheckVerdict:
    findings = probing.findings(check, probe, window)
    if samples < check.samples_needed:
        return _verdict(check, Verdict.INCONCLUSIVE, too_few(samples, check.samples_needed), findings, samples)
    unsure = [f for f in findings if not f.holds]
    if unsure:
        why = f"{unsure[0]}, but stable does no better: the cause may lie outside the candidate"
        why = why if unsure[0].measured is not None else str(unsure[0])
        return _verdict(check, Verdict.INCONCLUSIVE, why, findings, samples)
    return _verdict(check, Verdict.PASS, "; ".join(str(f) for f in findings), findings, samples)


def _metered(check: Check, metrics: PrometheusCheck, seen: Sequence[Metering], forgotten: int) -> CheckVerdict:
    if not seen:
        return _verdict(check, Verdict.INCONCLUSIVE, "nothing measured yet")
    outcomes = [metering.outcome(check, metrics, one) for one in seen]
    failing = [n for n, (verdict, _) in enumerate(outcomes) if verdict is Verdict.FAIL]
    failures = forgotten + len(failing)
    beyond = failures > check.failure_limit
    shown = failing[-1] if beyond and failing else len(seen) - 1
    verdict, why = outcomes[shown]
    if verdict is Verdict.FAIL:
        verdict = Verdict.FAIL if beyond else Verdict.INCONCLUSIVE
        why += _beyond(check, failures)
    findings = metering.findings(check, metrics, seen[shown])
    counted = seen[shown].candidate.samples
    samples = metering.values(seen) if counted is None else counted
    if counted is None and samples < check.samples_needed:
        verdict, why = Verdict.INCONCLUSIVE, f"{too_few(samples, check.samples_needed, 'measurements')}: {why}"
    return replace(_verdict(check, verdict, why, findings, samples), failures=failures)


def _ran(check: Check, runs: Sequence[JobRun], forgotten: int) -> CheckVerdict:
    """Judge the jobs of a step: the newest one that ended, unless more failed than are let pass."""
    ended = [run for run in runs if run.exit_code is not None]
    failed = [run for run in ended if run.exit_code != 0]
    failures = forgotten + len(failed)
    if failed and failures > check.failure_limit:
        why = f"job {failed[-1].name} ended with exit code {failed[-1].exit_code}, not 0" + _beyond(check, failures)
        judged = _verdict(check, Verdict.FAIL, why, samples=len(ended))
    elif ended and ended[-1].exit_code == 0:
        judged = _verdict(check, Verdict.PASS, f"job {ended[-1].name} ended with exit code 0", samples=len(ended))
    else:
        why = f"job {runs[-1].name} runs" if runs and runs[-1].exit_code is None else "no job passed yet"
        judged = _verdict(check, Verdict.INCONCLUSIVE, why + (_beyond(check, failures) if failures else ""))
    return replace(judged, failures=failures)


def due_at(check: Check, since: datetime, measurements: Iterable[Measurement]) -> datetime | None:
    """Return when a check measures next: after the step's begin and its own delay, then an interval after each end.

    What was before the step never counts.

    None where nothing is left to measure in this step, as of a job that passed.
    """
    made = [m for m in measurements if m.check == check.name]
    if any(m.job is not None and m.job.exit_code == 0 for m in made):
        return None
    return max(m.over_at for m in made) + check.interval if made else since + check.first_after


def describe_limits(check: Check) -> str:
    """Say in one line what a check asks for, for plans."""
    limits = ", ".join(_probe_limits(check.probe) if check.probe else _metric_limits(check.prometheus))
    if check.job is not None:
        limits = f"job {check.job.image} ends with exit code 0"
    return f"{limits} (dry run)" if check.dry_run else limits


def _probe_limits(probe: ProbeCheck) -> list[str]:
    limits = [f"error rate <= {number(probe.max_error_rate, 'share')}"]
    if probe.max_latency_p95 is not None:
        limits.append(f"latency p95 <= {format_duration(probe.max_latency_p95)}")
    if probe.max_latency_increase is not None:
        limits.append(f"latency p95 at most {number(probe.max_latency_increase, 'share')} above stable")
    if probe.agreement is not None:
        limits.append(f"agreement with {probe.agreement.with_} >= {number(probe.agreement.min, 'share')}")
    if probe.schema_ is not None:
        limits.append("schema of stable")
    return limits


def _metric_limits(metrics: PrometheusCheck | None) -> list[str]:
    return metering.limits(metrics) if metrics is not None else []
