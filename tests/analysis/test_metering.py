"""Verdicts of a query, each case as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.analysis.metering import perfect
from reconciler.analysis.verdict import Verdict, describe_limits, due_at, judge
from reconciler.desired.checks import Check
from reconciler.observed import JobRun, Measurement, Metered, Metering, Release, Side

AT = datetime(2026, 1, 1, tzinfo=UTC)
NONE = Side(0, 0)


def check(limits: Mapping[str, object] | None = None, **changes: object) -> Check:
    template = {"template": "error-rate", "flavour": "knative"}
    metrics = {**template, **(limits or {"max": 0.01})}
    metrics = {k: v for k, v in metrics.items() if v is not None}
    return Check.model_validate({"name": "errors", "minSamples": 20, "prometheus": metrics, **changes})


def side(value: float | None = 0.0, samples: int | None = 40, why: str = "") -> Metered:
    return Metered("the query", value, samples, why)


def seen(ours: Metered, theirs: Metered | None = None) -> Measurement:
    return Measurement(
        "errors", Release(2, "abc"), 1, AT, NONE, NONE, metering=Metering(ours, theirs or side(), window_seconds=120)
    )


def error(words: str = "Prometheus answers 503") -> Measurement:
    return Measurement("errors", Release(2, "abc"), 1, AT, NONE, NONE, error=words)


LATENCY = {"template": "latency-p95", "flavour": "istio"}
SLOW = check({**LATENCY, "max": 0.18})
RATE = check({"template": "request-rate", "flavour": "knative-otel", "min": 2})
TWICE = check({**LATENCY, "maxIncrease": {"relative": 1.0}})
LONG = {"template": "latency-p95", "flavour": "knative-otel"}
LONGER = check({**LONG, "maxIncrease": {"relative": 1.0}})
ABOVE = check({"maxIncrease": {"absolute": 0.02}})
OWN = {"template": None, "flavour": None, "query": "up", "max": 3}
UNCOUNTED = check(OWN, minSamples=None)
THRICE = check(OWN, minSamples=3)
PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
GOOD, BAD = seen(side(0.0)), seen(side(0.5))
TABLE: dict[str, tuple[Check, Sequence[Measurement], Verdict, str]] = {
    "nothing measured is inconclusive": (check(), [], OPEN, "nothing measured yet"),
    "a value below the limit passes": (
        check(), [seen(side(0.005))], PASS, "error rate 0.5 % <= 1 % (40 requests in 2m, stable 0 % by Prometheus)",
    ),
    "a value at the limit passes": (check(), [seen(side(0.01))], PASS, "1 % <= 1 %"),
    "a value above the limit fails at once": (check(), [BAD], FAIL, "error rate 50 % > 1 % (40 requests in 2m"),
    "a good value does not make up for a bad one": (check(), [BAD, GOOD], FAIL, "50 %"),
    "stable as bad is no proof against the candidate": (
        check(), [seen(side(0.5), side(0.5))], OPEN, "stable does no better",
    ),
    "a stable hardly better is none either": (check(), [seen(side(0.5), side(0.46))], OPEN, "stable does no better"),
    "a stable more than a tenth better is": (check(), [seen(side(0.5), side(0.45))], FAIL, "50 %"),
    "a stable that keeps the limit is, however near": (check(), [seen(side(0.0101), side(0.01))], FAIL, "1.01 %"),
    "a minimum that stable misses hardly less leaves it open": (RATE, [seen(side(1.5), side(1.6))], OPEN, "no better"),
    "a minimum that stable misses by far less does not": (RATE, [seen(side(1.5), side(1.7))], FAIL, "1.5/s < 2/s"),
    "a stable that hardly anybody asked proves nothing": (check(), [seen(side(0.5), side(0.9, 3))], FAIL, "50 %"),
    "too few requests hold": (check(), [seen(side(0.5, 19))], OPEN, "19 of 20 requests in 2m"),
    "no requests hold, whatever the value": (check(), [seen(side(0.0, 0))], OPEN, "0 of 20 requests"),
    "no value is no pass": (check(), [seen(side(None, why="the value is NaN"))], OPEN, "the value is NaN"),
    "no value after a good one is no pass": (check(), [GOOD, seen(side(None, why="no series"))], OPEN, "no series"),
    "a good value after none passes": (check(), [seen(side(None, why="no series")), GOOD], PASS, "0 %"),
    "latencies are shown in milliseconds": (SLOW, [seen(side(0.212))], FAIL, "latency p95 212 ms > 180 ms"),
    "less than a minimum fails": (RATE, [seen(side(1.5), side(9))], FAIL, "request rate 1.5/s < 2/s"),
    "a minimum that stable misses too leaves it open": (RATE, [seen(side(1.5), side(1))], OPEN, "no better"),
    "twice as slow as stable is allowed here": (TWICE, [seen(side(0.2), side(0.1))], PASS, "100 % <= 100 %"),
    "more than twice as slow is not": (TWICE, [seen(side(0.21), side(0.1))], FAIL, "increase 110 % > 100 %"),
    "something is infinitely more than nothing": (TWICE, [seen(side(0.1), side(0.0))], FAIL, "inf % > 100 %"),
    "nothing is not more than nothing": (TWICE, [seen(side(0.0), side(0.0))], PASS, "0 % <= 100 %"),
    "less than a negative value is no increase": (TWICE, [seen(side(-3.0), side(-1.0))], PASS, "-200 %"),
    "a little above stable is allowed": (ABOVE, [seen(side(0.1), side(0.09))], PASS, "above stable 1 % <= 2 %"),
    "too far above stable is not": (ABOVE, [seen(side(0.1), side(0.05))], FAIL, "above stable 5 % > 2 %"),
    "no value of stable leaves a comparison open": (
        ABOVE, [seen(side(0.5), side(None, why="no series"))], OPEN, "no value of stable in 2m: no series",
    ),
    "too few requests of stable leave a comparison open": (
        ABOVE, [seen(side(0.5), side(0.0, 19))], OPEN, "too few requests (19 of 20 requests)",
    ),
    "no value of stable does not matter to an absolute limit": (
        check(), [seen(side(0.0), side(None, why="no series"))], PASS, "0 % <= 1 %",
    ),
    "where nobody counts requests one measurement is enough": (
        UNCOUNTED, [seen(side(3, None))], PASS, "query 3 <= 3 (1 measurement in 2m",
    ),
    "so many measurements as are asked for": (
        THRICE, [seen(side(3, None))] * 2, OPEN, "2 of 3 measurements, not counted yet: query 3 <= 3 (1 measurement",
    ),
    "are enough": (THRICE, [seen(side(3, None))] * 3, PASS, "query 3 <= 3"),
    "and of those that found nothing none counts": (
        THRICE, [seen(side(3, None)), seen(side(None, None, "no series")), seen(side(3, None))], OPEN, "2 of 3",
    ),
    "too few bad ones hold": (THRICE, [seen(side(4, None))] * 2, OPEN, "2 of 3 measurements, not counted yet: query 4"),
    "enough bad ones fail": (THRICE, [seen(side(4, None)), *[seen(side(3, None))] * 2], FAIL, "query 4 > 3"),
    "both limits hold": (check({"max": 0.5, "min": 0.1}), [seen(side(0.2))], PASS, "; error rate 20 % >= 10 %"),
    "one of both does not": (check({"max": 0.5, "min": 0.1}), [seen(side(0.05), side(0.3))], FAIL, "5 % < 10 %"),
    # Latencies that are at least as long as their histogram tells.
    "a latency beyond the histogram breaches every limit": (
        check({**LONG, "max": 9.9}), [seen(side(10.0))], FAIL, "latency p95 10 s > 9900 ms",
    ),
    "one of stable as well proves nothing": (
        check({**LONG, "max": 9.9}), [seen(side(10.0), side(10.0))], OPEN, "stable does no better",
    ),
    "beyond the histogram on both sides there is nothing to compare": (
        LONGER, [seen(side(10.0), side(10.0))], OPEN, "the histogram tells no more than a latency p95 of at least 10 s",
    ),
    "how far it is above stable is not known either": (
        check({**LONG, "maxIncrease": {"absolute": 1.0}}), [seen(side(10.0), side(9.5))], OPEN, "at least 10 s",
    ),
    "beyond the histogram, and too far above stable already": (
        LONGER, [seen(side(10.0), side(2.0))], FAIL, "increase 400 % > 100 %",
    ),
    "just below its end it is compared": (LONGER, [seen(side(9.9), side(9.9))], PASS, "0 % <= 100 %"),
    "a stable beyond the histogram is no better": (LONGER, [seen(side(9.0), side(10.0))], PASS, "-10 % <= 100 %"),
    "beyond the histogram and no value of stable": (
        LONGER, [seen(side(10.0), side(None, why="no series"))], OPEN, "no value of stable in 2m: no series",
    ),
    "the same number is nothing special where a histogram goes on": (
        TWICE, [seen(side(10.0), side(10.0))], PASS, "0 % <= 100 %",
    ),
    # Errors.
    "an error holds": (check(), [error()], OPEN, "could not measure: Prometheus answers 503"),
    "four errors in a row hold": (check(), [error()] * 4, OPEN, "could not measure"),
    "the fifth fails the check": (check(), [error()] * 5, FAIL, "not be measured 5 times in a row (errorLimit 4)"),
    "errors after good values fail it too": (check(), [GOOD, *[error()] * 5], FAIL, "5 times in a row"),
    "errors that are over are forgotten": (check(), [*[error()] * 5, GOOD], PASS, "0 %"),
    "errors count in a row only, and hold": (
        check(), [*[error()] * 4, GOOD, *[error()] * 4], OPEN, "could not measure: Prometheus answers 503; before that",
    ),
    "a pass does not outlast an error": (check(), [GOOD, error()], OPEN, "before that error rate 0 % <= 1 %"),
    "an error after too few requests is what is said": (
        check(), [seen(side(0.0, 3)), error()], OPEN, "could not measure: Prometheus answers 503",
    ),
    "a limit of no errors fails at the first": (check(errorLimit=0), [error()], FAIL, "1 times in a row"),
    "errors do not hide a failure": (check(), [BAD, *[error()] * 5], FAIL, "50 %"),
    # Failures that are let pass.
    "a failure that is let pass holds": (check(failureLimit=1), [BAD], OPEN, "50 %"),
    "a good value after it passes": (check(failureLimit=1), [BAD, GOOD], PASS, "0 %"),
    "one more fails": (check(failureLimit=1), [BAD, GOOD, BAD], FAIL, "failure 2, 1 let pass"),
    "no success resets the count": (check(failureLimit=1), [BAD, GOOD, GOOD, BAD, GOOD], FAIL, "failure 2"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TABLE)
def test_verdict(sentence: str) -> None:
    asked, measurements, verdict, words = TABLE[sentence]
    judged = judge(asked, measurements)
    assert (judged.verdict, words in judged.why) == (verdict, True), judged.why
    assert judged.fails is (verdict is FAIL)
    assert judged.holds_step is (verdict is not PASS)


def test_a_dry_run_neither_fails_nor_holds() -> None:
    judged = judge(check(dryRun=True), [BAD])
    assert (judged.verdict, judged.fails, judged.holds_step, judged.dry_run) == (FAIL, False, False, True)


def test_what_is_stored_names_query_values_limit_window_and_samples() -> None:
    stored = judge(check(), [seen(side(0.5, 47), side(0.1))]).as_json()
    (finding,) = stored["findings"]
    assert finding == {
        "what": "error rate", "measured": 0.5, "operator": "<=", "limit": 0.01, "unit": "share", "stable": 0.1,
        "samples": 47, "needed": 0, "counted": "requests", "window": "2m", "source": "Prometheus", "query": "the query",
        "stableQuery": "the query", "samplesQuery": "", "compared": None, "holds": False,
    }  # fmt: skip
    assert (stored["verdict"], stored["samples"], stored["failures"], stored["errors"]) == ("fail", 47, 1, 0)


def test_an_increase_keeps_the_values_of_both_sides() -> None:
    judged = judge(check({**LATENCY, "maxIncrease": {"relative": 0.3}}), [seen(side(0.212, 100), side(0.14, 100))])
    assert judged.why == (
        "latency p95 increase 51.4 % > 30 % (100 requests in 2m, 212 ms against stable's 140 ms by Prometheus)"
    )
    (finding,) = judged.as_json()["findings"]
    assert finding["compared"] == {"candidate": 0.212, "stable": 0.14, "unit": "s"}
    above = judge(ABOVE, [seen(side(0.1), side(0.05))])
    assert above.why == (
        "error rate above stable 5 % > 2 % (40 requests in 2m, 10 % against stable's 5 % by Prometheus)"
    )


def test_a_verdict_keeps_what_was_asked_of_each_side_and_how_requests_were_counted() -> None:
    ours, theirs = Metered("ours", 0.5, 40, count_query="count ours"), Metered("theirs", 0.0, 40)
    (finding,) = judge(check(), [seen(ours, theirs)]).as_json()["findings"]
    assert (finding["query"], finding["stableQuery"], finding["samplesQuery"]) == ("ours", "theirs", "count ours")


@pytest.mark.parametrize("errors", [1, 5])
def test_what_could_not_be_measured_says_what_was_asked(errors: int) -> None:
    unmade = replace(seen(Metered("ours", None), Metered("theirs", None)), error="Prometheus refuses the query")
    judged = judge(check(), [unmade] * errors)
    (finding,) = judged.findings
    assert (finding.queries.candidate, finding.queries.stable, finding.measured) == ("ours", "theirs", None)
    assert (finding.samples, judged.samples) == (0, 0)


def test_no_series_are_named_beside_too_few_requests() -> None:
    judged = judge(check(), [seen(side(None, 0, "the query finds no series"))])
    assert judged.why == "0 of 20 requests in 2m, not counted yet: the query finds no series"


def test_errors_are_counted_apart() -> None:
    judged = judge(check(), [error(), GOOD, error()])
    assert (judged.errors, judged.failures, judged.samples) == (2, 0, 40)


FIRST: dict[str, tuple[Check, timedelta]] = {
    "a template after an interval: its window is cut": (check(interval="30s"), timedelta(seconds=30)),
    "no later than a window": (check({"max": 0.01, "window": "20s"}, interval="30s"), timedelta(seconds=20)),
    "or than its initial delay": (check(initialDelay="1m", interval="30s"), timedelta(minutes=1)),
    "a query of one's own after a window": (check(OWN, interval="30s"), timedelta(minutes=2)),
    "whatever its interval": (check(OWN, interval="5m"), timedelta(minutes=2)),
    "or its initial delay": (check(OWN, initialDelay="3m"), timedelta(minutes=3)),
}


@pytest.mark.parametrize("sentence", FIRST)
def test_nothing_is_measured_that_was_before_the_step(sentence: str) -> None:
    asked, after = FIRST[sentence]
    assert due_at(asked, AT, []) == AT + after


def test_the_first_measurement_waits_for_the_initial_delay_and_no_other_does() -> None:
    late = check(initialDelay="1m", interval="30s")
    assert due_at(late, AT, []) == AT + timedelta(minutes=1)
    assert due_at(late, AT, [replace(GOOD, at=AT + timedelta(minutes=2))]) == AT + timedelta(minutes=2, seconds=30)


LIMITS: dict[str, tuple[Check, str]] = {
    "max": (check(), "error rate <= 1 %"),
    "min": (RATE, "request rate >= 2/s"),
    "relative": (TWICE, "latency p95 at most 100 % above stable"),
    "absolute": (ABOVE, "error rate at most 2 % above stable"),
    "a query of one's own": (UNCOUNTED, "query <= 3"),
    "a dry run": (check(dryRun=True), "error rate <= 1 % (dry run)"),
}


@pytest.mark.parametrize("sentence", LIMITS)
def test_plans_say_the_limits(sentence: str) -> None:
    asked, words = LIMITS[sentence]
    assert describe_limits(asked) == words


@pytest.mark.parametrize("asked", [check(), SLOW, RATE, TWICE, ABOVE, UNCOUNTED, check({"max": 0.5, "min": 0.1})])
def test_a_forecast_passes_every_limit(asked: Check) -> None:
    assert asked.prometheus is not None
    made = Measurement("errors", Release(2, "a"), 1, AT, NONE, NONE, metering=perfect(asked, asked.prometheus))
    assert judge(asked, [made]).verdict is PASS


def after(failures: int, measured: Measurement) -> Measurement:
    return replace(measured, forgotten=failures)


FORGOTTEN: dict[str, tuple[Check, Sequence[Measurement], Verdict, str]] = {
    "a failure long ago counts with the newest": (
        check(failureLimit=1), [after(1, GOOD), BAD], FAIL, "stable 0 % by Prometheus); failure 2, 1 let pass",
    ),
    "more long ago than are let pass": (check(failureLimit=1), [after(2, GOOD)], FAIL, "failure 2 of this step, 1 let"),
    "as many as are let pass": (check(failureLimit=1), [after(1, GOOD)], PASS, "0 %"),
    "an error may be the oldest that is kept": (check(failureLimit=1), [after(1, error()), BAD], FAIL, "failure 2"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", FORGOTTEN)
def test_failures_that_are_not_kept_one_by_one_count(sentence: str) -> None:
    asked, measurements, verdict, words = FORGOTTEN[sentence]
    judged = judge(asked, measurements)
    assert (judged.verdict, words in judged.why) == (verdict, True), judged.why


# A probe's failures that are let pass.


def probe(errors: int, requests: int = 20) -> Measurement:
    return Measurement("errors", Release(2, "abc"), 1, AT, Side(requests, errors), Side(requests, 0))


def probing(**changes: object) -> Check:
    document = {"name": "errors", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
    return Check.model_validate({**document, **changes})


PROBES: dict[str, tuple[Sequence[Measurement], Verdict, str]] = {
    "a bad interval is let pass and holds": ([probe(0), probe(9)], OPEN, "failure 1, 1 let pass"),
    "a good one after it passes": ([probe(9), probe(0)], PASS, "error rate 0 %"),
    "a second bad one fails": ([probe(9), probe(0), probe(5)], FAIL, "error rate 25 % > 1 % (20 requests"),
    "too few requests of one interval are judged with the next": (
        [probe(9, 10), probe(0, 10), probe(9, 10)],
        OPEN,
        "45 % > 1 % (20 requests",
    ),
    "nothing measured is inconclusive": ([], OPEN, "0 of 20 samples"),
    "one long ago counts": ([replace(probe(0), forgotten=1), probe(9)], FAIL, "failure 2, 1 let pass"),
    "two long ago are too many": ([replace(probe(0), forgotten=2), probe(0)], FAIL, "failure 2 of this step, 1 let"),
}
AGREEING = {"inputs": {"from": "inputExample"}, "agreement": {"with": "stable", "min": 0.9}}


def agreed(count: int) -> Measurement:
    return replace(probe(0), compared=10, agreed=count)


AGREED: dict[str, tuple[Sequence[Measurement], Verdict, str]] = {
    "too few pairs of one interval are judged with the next": ([agreed(1)], OPEN, "10 of 20 samples, not counted yet"),
    "which then is a window that fails": ([agreed(1), agreed(10)], OPEN, "55 % < 90 % (20 requests"),
    "and counts": ([agreed(1), agreed(10)] * 2, FAIL, "failure 2, 1 let pass"),
    "what fails by itself waits for no pairs": ([probe(9), probe(9)], FAIL, "error rate 45 %"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", PROBES)
def test_a_probe_with_failures_that_are_let_pass(sentence: str) -> None:
    measurements, verdict, words = PROBES[sentence]
    judged = judge(probing(failureLimit=1), measurements)
    assert (judged.verdict, words in judged.why) == (verdict, True), judged.why


@pytest.mark.parametrize("sentence", AGREED)
def test_a_window_of_a_probe_has_enough_pairs(sentence: str) -> None:
    measurements, verdict, words = AGREED[sentence]
    judged = judge(probing(failureLimit=1, probe=AGREEING), measurements)
    assert (judged.verdict, words in judged.why) == (verdict, True), judged.why


# Jobs.


def ran(code: int | None, name: str = "iris-own-1") -> Measurement:
    return Measurement("own", Release(2, "abc"), 1, AT, NONE, NONE, job=JobRun(name, code))


def failed_job() -> Measurement:
    return replace(error("Job ended without an exit code"), check="own")


def job(**changes: object) -> Check:
    return Check.model_validate({"name": "own", "job": {"image": "tests:1"}, **changes})


JOBS: dict[str, tuple[Check, Sequence[Measurement], Verdict, str]] = {
    "nothing began": (job(), [], OPEN, "no job passed yet"),
    "one runs": (job(), [ran(None)], OPEN, "job iris-own-1 runs"),
    "one passed": (job(), [ran(None), ran(0)], PASS, "job iris-own-1 ended with exit code 0"),
    "one failed": (job(), [ran(None), ran(3)], FAIL, "job iris-own-1 ended with exit code 3, not 0"),
    "a failure is let pass": (job(failureLimit=1), [ran(3)], OPEN, "failure 1, 1 let pass"),
    "another runs after it": (job(failureLimit=1), [ran(3), ran(None)], OPEN, "runs; failure 1, 1 let pass"),
    "another passes after it": (job(failureLimit=1), [ran(3), ran(0)], PASS, "exit code 0"),
    "one more fails": (job(failureLimit=1), [ran(3), ran(4)], FAIL, "exit code 4, not 0; failure 2, 1 let pass"),
    "one that failed long ago counts": (job(failureLimit=1), [after(1, ran(3))], FAIL, "failure 2, 1 let pass"),
    "and is told while another runs": (job(failureLimit=1), [after(1, ran(None))], OPEN, "runs; failure 1, 1 let pass"),
    "too many failed long ago": (job(failureLimit=1), [after(2, ran(None))], FAIL, "failure 2 of this step, 1 let"),
    "one that runs does not end a row of errors": (
        job(errorLimit=1), [failed_job(), ran(None), failed_job(), ran(None)], FAIL, "2 times in a row",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", JOBS)
def test_verdict_of_jobs(sentence: str) -> None:
    asked, measurements, verdict, words = JOBS[sentence]
    judged = judge(asked, measurements)
    assert (judged.verdict, words in judged.why) == (verdict, True), judged.why


def test_a_job_that_passed_is_not_run_again_in_this_step() -> None:
    assert due_at(job(), AT, [ran(0)]) is None
    assert due_at(job(), AT, [ran(3)]) == due_at(job(), AT, [ran(None)]) == AT + timedelta(seconds=30)


def test_plans_say_which_job_is_run() -> None:
    assert describe_limits(job()) == "job tests:1 ends with exit code 0"
