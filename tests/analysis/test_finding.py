"""What a verdict tells besides its name: its numbers, what it counted, and what a check asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.analysis.finding import CheckVerdict, Verdict, number
from reconciler.analysis.metering import findings, perfect
from reconciler.analysis.verdict import describe_limits, judge
from reconciler.desired.checks import Check
from reconciler.observed import JobRun, Measurement, Metered, Metering, Release, Side

AT = datetime(2026, 1, 1, tzinfo=UTC)
EXAMPLE = {"inputs": {"from": "inputExample"}}


def check(kind: dict[str, Any], **changes: object) -> Check:
    return Check.model_validate({"name": "errors", "minSamples": 20, **kind, **changes})


def probing(**probe: object) -> dict[str, Any]:
    return {"probe": {**EXAMPLE, **probe}}


def asking(**limits: object) -> dict[str, Any]:
    return {"prometheus": {"query": "up", **limits}}


JOB: dict[str, Any] = {"job": {"image": "tests:1"}, "minSamples": None}


def made(side: Side | None = None, **changes: Any) -> Measurement:
    measured = Measurement("errors", Release(2, "abc"), 1, AT, side or Side(20, 0), Side(20, 0))
    return replace(measured, **changes)


def ran(code: int | None, name: str) -> Measurement:
    return made(Side(0, 0), job=JobRun(name, code))


def metered(ours: float | None, theirs: float | None = 0.0, samples: int | None = 40) -> Measurement:
    return made(metering=Metering(Metered("q", ours, samples), Metered("q", theirs, samples), 120))


def test_what_the_ledger_keeps_of_a_verdict() -> None:
    bare = CheckVerdict("errors", Verdict.PASS, "all is well", (), 20, None)
    assert bare.as_json() == {
        "kind": "check", "check": "errors", "verdict": "pass", "why": "all is well", "samples": 20, "failures": 0,
        "errors": 0, "dryRun": False, "measuredAt": None, "findings": [],
    }  # fmt: skip
    assert replace(bare, measured_at=AT, dry_run=True).as_json()["measuredAt"] == "2026-01-01T00:00:00+00:00"
    assert replace(bare, dry_run=True).as_json()["dryRun"] is True


BAD, GOOD = made(Side(20, 9)), made()
LETS_ONE = check(probing(), failureLimit=1)
COUNTED: dict[str, tuple[Check, list[Measurement], int, int]] = {
    "a good probe": (check(probing()), [GOOD, GOOD], 0, 40),
    "a bad probe is one failure, however often": (check(probing()), [BAD, BAD], 1, 40),
    "a bad probe that is let pass": (LETS_ONE, [BAD, GOOD], 1, 40),
    "more bad probes than are let pass": (LETS_ONE, [BAD, BAD, BAD], 3, 60),
    "a query nobody counts requests of counts measurements": (
        check(asking(max=1), minSamples=None), [metered(0, samples=None)] * 3, 0, 3,
    ),
    "a query that breached its limit twice": (check(asking(max=1, samples="n")), [metered(2), metered(2)], 2, 40),
    "a measurement without metering is none of a query's": (check(asking(max=1, samples="n")), [GOOD], 0, 0),
    "a job that passed after one that failed": (
        check(JOB, failureLimit=1), [ran(3, "a"), ran(None, "b"), ran(0, "b")], 1, 2,
    ),
    "jobs that failed": (check(JOB, failureLimit=1), [ran(3, "a"), ran(1, "b")], 2, 2),
    "a probe's measurement is none of a job's": (check(JOB), [GOOD, ran(0, "a")], 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("sentence", COUNTED)
def test_failures_and_samples_are_counted(sentence: str) -> None:
    asked, measurements, failures, samples = COUNTED[sentence]
    judged = judge(asked, measurements)
    assert (judged.failures, judged.samples) == (failures, samples)


def test_a_failure_shows_the_numbers_of_the_newest_window_that_failed() -> None:
    judged = judge(LETS_ONE, [made(Side(20, 4)), BAD, GOOD])
    assert (judged.findings[0].measured, judged.why) == (
        0.45, "error rate 45 % > 1 % (20 requests, stable 0 %); failure 2, 1 let pass"
    )  # fmt: skip


def test_a_failure_that_is_let_pass_leaves_it_open_even_where_the_next_window_is_too_small() -> None:
    assert judge(check(probing(), failureLimit=2), [BAD]).verdict is Verdict.INCONCLUSIVE


def test_a_query_shows_the_numbers_of_its_newest_measurement() -> None:
    judged = judge(check(asking(max=1, samples="n")), [metered(0.5), metered(0.25)])
    assert judged.findings[0].measured == 0.25


def test_a_query_that_fails_shows_the_numbers_of_its_newest_failure() -> None:
    judged = judge(check(asking(max=1, samples="n")), [metered(2), metered(3), metered(0)])
    assert (judged.verdict, judged.findings[0].measured) == (Verdict.FAIL, 3)


JOBS: dict[str, tuple[list[Measurement], str]] = {
    "nothing was begun": ([], "no job passed yet"),
    "one runs": ([ran(None, "a")], "job a runs"),
    "one failed and is let pass": ([ran(3, "a")], "no job passed yet; failure 1, 1 let pass"),
    "the next one runs": ([ran(3, "a"), ran(None, "b")], "job b runs; failure 1, 1 let pass"),
}


@pytest.mark.parametrize("sentence", JOBS)
def test_a_job_says_what_is_waited_for(sentence: str) -> None:
    measurements, words = JOBS[sentence]
    judged = judge(check(JOB, failureLimit=1), measurements)
    assert (judged.verdict, judged.why) == (Verdict.INCONCLUSIVE, words)


def test_a_job_that_runs_ends_no_row_of_errors_and_one_that_ended_does() -> None:
    error = made(Side(0, 0), error="evicted")
    row = [error, ran(None, "a"), error]
    assert judge(check(JOB, errorLimit=1), row).verdict is Verdict.FAIL
    assert judge(check(JOB, errorLimit=1, failureLimit=1), [error, ran(3, "a"), error]).verdict is Verdict.INCONCLUSIVE


LIMITS: dict[str, dict[str, Any]] = {
    "error rate <= 1 %": probing(),
    "error rate <= 1 %, latency p95 <= 2s": probing(maxLatencyP95="2s"),
    "error rate <= 1 %, latency p95 at most 50 % above stable": probing(maxLatencyIncrease=0.5),
    "error rate <= 1 %, agreement with stable >= 90 %": probing(agreement={"with": "stable", "min": 0.9}),
    "error rate <= 1 %, schema of stable": probing(schema="stable"),
    "job tests:1 ends with exit code 0": JOB,
}


@pytest.mark.parametrize("words", LIMITS)
def test_plans_say_what_a_check_asks_for(words: str) -> None:
    assert describe_limits(check(LIMITS[words])) == words


INCREASED: dict[str, tuple[float | None, float | None, float | None]] = {
    "of nothing to nothing": (0.0, 0.0, 0.0),
    "of nothing to less": (-1.0, 0.0, 0.0),
    "by half": (0.75, 0.5, 0.5),
    "unknown without ours": (None, 0.5, None),
    "unknown without theirs": (0.5, None, None),
    "unknown without either": (None, None, None),
}


@pytest.mark.parametrize("sentence", INCREASED)
def test_how_far_a_value_is_above_stables(sentence: str) -> None:
    ours, theirs, increase = INCREASED[sentence]
    for way in ("relative", "absolute"):
        asked = check(asking(maxIncrease={way: 0.5}, samples="n"))
        assert asked.prometheus is not None
        seen = metered(ours, theirs).metering
        assert seen is not None
        (found,) = findings(asked, asked.prometheus, seen)
        both = ours is not None and theirs is not None
        difference = ours - theirs if ours is not None and theirs is not None else None
        assert found.measured == (increase if way == "relative" else difference)
        assert (found.stable, found.holds is None) == (None, not both)


def test_a_latency_of_any_share_is_told_in_milliseconds() -> None:
    slow = {"prometheus": {"template": "latency-p99", "flavour": "istio", "max": 0.25}}
    assert describe_limits(check(slow)) == "latency p99 <= 250 ms"


def test_one_comparison_that_is_open_leaves_all_open() -> None:
    asked = check(asking(max=1, maxIncrease={"absolute": 0.5}, samples="n"))
    assert judge(asked, [metered(0.5, None)]).verdict is Verdict.INCONCLUSIVE


def test_stable_exactly_as_far_below_a_minimum_is_no_proof_against_the_candidate() -> None:
    asked = check(asking(min=1, samples="n"))
    assert judge(asked, [metered(0.5, 0.5)]).verdict is Verdict.INCONCLUSIVE
    assert judge(asked, [metered(0.5, 0.75)]).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("limits", "value", "samples"),
    [
        ({"max": 3, "min": 1}, 3.0, None),
        ({"min": 1, "samples": "n"}, 1.0, 20),
        ({"maxIncrease": {"absolute": 1}}, 0.0, None),
    ],
)
def test_what_a_forecast_takes_for_a_query_that_keeps_its_limits(
    limits: dict[str, Any], value: float, samples: int | None
) -> None:
    asked = check(asking(**limits))
    assert asked.prometheus is not None
    assert perfect(asked, asked.prometheus).candidate == Metered("up", value, samples)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0123456, "12.35 ms"), (1.0, "1000 ms"), (9.999, "9999 ms"), (10.0, "10 s"), (75.5, "75.5 s")],
)
def test_seconds_are_written_so_that_they_can_be_read(value: float, written: str) -> None:
    assert number(value, "s") == written
