"""Verdicts of a check, each case as a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.analysis.verdict import Verdict, due_at, judge
from reconciler.desired.checks import Check
from reconciler.observed import Measurement, Release, Side

AT = datetime(2026, 1, 1, tzinfo=UTC)
RELEASE = Release(2, "abc")


def check(**probe: object) -> Check:
    document = {"name": "answers", "minSamples": 20, "interval": "30s"}
    return Check.model_validate({**document, "probe": {"inputs": {"from": "inputExample"}, **probe}})


def side(requests: int = 20, errors: int = 0, ms: float = 5.0) -> Side:
    return Side(requests, errors, (ms,) * (requests - errors))


def measure(
    ours: Side, theirs: Side | None = None, compared: int = 0, agreed: int = 0, error: str | None = None
) -> Measurement:
    return Measurement("answers", RELEASE, 1, AT, ours, theirs or side(), compared, agreed, error)


AGREE = check(agreement={"with": "stable", "min": 0.9})
SLOW = check(maxLatencyP95="100ms")
SLOWER = check(maxLatencyIncrease=0.5)
TABLE: dict[str, tuple[Check, Sequence[Measurement], Verdict, str]] = {
    "nothing measured is inconclusive": (check(), [], Verdict.INCONCLUSIVE, "0 of 20 samples"),
    "enough good answers pass": (check(), [measure(side())], Verdict.PASS, "error rate 0 % <= 1 %"),
    "too few good answers hold": (check(), [measure(side(19))], Verdict.INCONCLUSIVE, "19 of 20 samples"),
    "too few bad answers hold": (check(), [measure(side(19, 19))], Verdict.INCONCLUSIVE, "19 of 20 samples"),
    "bad answers fail": (check(), [measure(side(20, 4))], Verdict.FAIL, "error rate 20 % > 1 % (20 requests"),
    "exactly at the limit passes": (check(maxErrorRate=0.2), [measure(side(20, 4))], Verdict.PASS, "20 % <= 20 %"),
    "stable as bad is no proof against the candidate": (
        check(), [measure(side(20, 4), side(20, 4))], Verdict.INCONCLUSIVE, "stable does no better",
    ),
    "stable less bad is": (check(), [measure(side(20, 4), side(20, 2))], Verdict.FAIL, "20 %"),
    "one bad interval fails a good step": (
        check(maxErrorRate=0.5), [*[measure(side())] * 5, measure(side(20, 15))], Verdict.FAIL, "75 %",
    ),
    "a bad step fails behind a good interval": (
        check(maxErrorRate=0.4), [measure(side(20, 20)), measure(side())], Verdict.FAIL, "50 %",
    ),
    "small intervals are judged together": (
        check(), [measure(side(10, 2)), measure(side(10, 2))], Verdict.FAIL, "20 % > 1 % (20 requests",
    ),
    "a check that could not be made counts as none": (
        check(), [measure(side(0), error="no address")], Verdict.INCONCLUSIVE, "could not measure: no address",
    ),
    "a pass does not outlast a measurement that could not be made": (
        check(), [measure(side()), measure(side(0), error="no address")],
        Verdict.INCONCLUSIVE, "could not measure: no address; before that error rate 0 % <= 1 % (20 requests",
    ),
    "one that could not be made does not spoil the others once another is made": (
        check(), [measure(side()), measure(side(0), error="no address"), measure(side())],
        Verdict.PASS, "(40 requests",
    ),
    "one that could not be made does not hide a breach": (
        check(), [measure(side(20, 4)), measure(side(0), error="no address")], Verdict.FAIL, "20 % > 1 %",
    ),
    "slow answers fail": (SLOW, [measure(side(ms=150))], Verdict.FAIL, "latency p95 150 ms > 100 ms"),
    "a stable that is as slow is no proof against the candidate": (
        SLOW, [measure(side(ms=150), side(ms=150))], Verdict.INCONCLUSIVE, "stable does no better",
    ),
    "a stable that is hardly faster is none either": (
        SLOW, [measure(side(ms=150), side(ms=149))], Verdict.INCONCLUSIVE, "stable does no better",
    ),
    "a stable that is more than a tenth faster is": (
        SLOW, [measure(side(ms=150), side(ms=136))], Verdict.FAIL, "150 ms > 100",
    ),
    "slow answers fail where stable has none": (SLOW, [measure(side(ms=150), side(20, 20))], Verdict.FAIL, "150 ms"),
    "answers exactly as slow as allowed pass": (SLOW, [measure(side(ms=100))], Verdict.PASS, "100 ms <= 100 ms"),
    "slower than stable fails": (SLOWER, [measure(side(ms=10))], Verdict.FAIL, "100 % > 50 %"),
    "no latency of stable leaves it open": (
        SLOWER, [measure(side(ms=10), side(20, 20))], Verdict.INCONCLUSIVE, "nothing measured yet",
    ),
    "answers that agree pass": (AGREE, [measure(side(), compared=20, agreed=18)], Verdict.PASS, "90 % >= 90 %"),
    "answers that differ fail": (AGREE, [measure(side(), compared=20, agreed=17)], Verdict.FAIL, "85 % < 90 %"),
    "nothing to compare leaves it open": (AGREE, [measure(side())], Verdict.INCONCLUSIVE, "nothing measured yet"),
    "a NaN latency passes no limit": (SLOW, [measure(side(ms=float("nan")))], Verdict.FAIL, "nan"),
    "answers a hair slower than allowed fail": (SLOW, [measure(side(ms=100.05))], Verdict.FAIL, "> 100 ms"),
    "of twenty answers the second slowest decides, whatever their order": (
        check(maxLatencyP95="18ms"), [measure(Side(20, 0, tuple(float(7 * n % 20 + 1) for n in range(20))))],
        Verdict.FAIL, "latency p95 19 ms > 18 ms",
    ),
    "no latency of the candidate leaves it open": (
        check(maxErrorRate=1.0, maxLatencyIncrease=0.5), [measure(side(20, 20))],
        Verdict.INCONCLUSIVE, "nothing measured",
    ),
    "answers that differ fail, however often stable fails": (
        AGREE, [measure(side(40), side(40, 20), compared=20, agreed=2)], Verdict.FAIL, "10 % < 90 %",
    ),
    "one pair that agrees proves nothing": (
        AGREE, [measure(side(), side(20, 19), compared=1, agreed=1)],
        Verdict.INCONCLUSIVE, "agreement with stable: 1 of 20 samples, not counted yet",
    ),
    "nor does one that differs": (
        AGREE, [measure(side(), side(20, 19), compared=1, agreed=0)], Verdict.INCONCLUSIVE, "1 of 20 samples",
    ),
    "few pairs of each interval are judged together": (
        AGREE, [measure(side(), side(20, 10), compared=10, agreed=8)] * 2, Verdict.FAIL, "80 % < 90 % (20 requests",
    ),
    "latencies of few answers of stable are no comparison": (
        SLOWER, [measure(side(ms=10), side(20, 1))], Verdict.INCONCLUSIVE, "latency p95 increase: 19 of 20 samples",
    ),
    "nor are those of few answers of the candidate": (
        check(maxErrorRate=0.5, maxLatencyIncrease=0.5), [measure(side(20, 1, ms=10))],
        Verdict.INCONCLUSIVE, "latency p95 increase: 19 of 20 samples",
    ),
    "an absolute latency counts answers and not requests": (
        check(maxErrorRate=0.5, maxLatencyP95="100ms"), [measure(side(20, 1))],
        Verdict.INCONCLUSIVE, "latency p95: 19 of 20 samples",
    ),
    "bad answers fail where stable was not asked": (
        check(), [measure(side(20, 4), side(0))], Verdict.FAIL, "error rate 20 %",
    ),
}  # fmt: skip


def shaped(compared: int, same: int) -> Measurement:
    return replace(measure(side()), shape_compared=compared, shape_agreed=same)


SHAPED = check(schema="stable")
TABLE |= {
    "answers of stable's schema pass": (SHAPED, [shaped(20, 20)], Verdict.PASS, "schema of stable 100 % >= 100 %"),
    "one answer of another schema fails": (SHAPED, [shaped(20, 19)], Verdict.FAIL, "schema of stable 95 % < 100 %"),
    "one answer's schema proves nothing": (SHAPED, [shaped(1, 0)], Verdict.INCONCLUSIVE, "schema of stable: 1 of 20"),
    "no schema to compare leaves it open": (SHAPED, [shaped(0, 0)], Verdict.INCONCLUSIVE, "nothing measured yet"),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_verdict(sentence: str) -> None:
    asked, measurements, verdict, words = TABLE[sentence]
    judged = judge(asked, measurements)
    assert (judged.verdict, words in judged.why) == (verdict, True), judged.why


def test_measurements_of_another_check_do_not_count() -> None:
    other = Measurement("other", RELEASE, 1, AT, side(20, 20), side())
    assert judge(check(), [other]).samples == 0


def test_a_check_measures_at_once_and_then_each_interval_whether_it_could_be_made_or_not() -> None:
    assert due_at(check(), AT, []) == AT
    failed = measure(side(0), error="no address")
    assert due_at(check(), AT, [failed]) == AT + timedelta(seconds=30)


def test_an_interval_begins_when_a_measurement_is_over_however_long_it_took() -> None:
    slow = replace(measure(side()), ended=AT + timedelta(seconds=45))
    assert due_at(check(), AT, [slow]) == AT + timedelta(seconds=75)


def test_measurements_of_another_check_do_not_put_it_off() -> None:
    other = Measurement("other", RELEASE, 1, AT + timedelta(hours=1), side(), side())
    assert due_at(check(), AT, [other]) == AT


def test_a_check_measures_an_interval_after_the_latest_whatever_their_order() -> None:
    later = replace(measure(side()), at=AT + timedelta(minutes=5))
    assert due_at(check(), AT, [later, measure(side())]) == AT + timedelta(minutes=5, seconds=30)


def test_a_verdict_tells_when_it_was_measured_last() -> None:
    later = replace(measure(side()), at=AT + timedelta(minutes=5))
    assert judge(check(), [measure(side()), later]).measured_at == AT + timedelta(minutes=5)
    assert judge(check(), []).measured_at is None


def test_what_was_not_measured_is_not_blamed_on_stable() -> None:
    assert judge(AGREE, [measure(side())]).why == "agreement with stable: nothing measured yet"


def test_an_increase_of_a_probe_keeps_the_values_of_both_sides() -> None:
    assert (
        "latency p95 increase 100 % > 50 % (20 requests, 10 ms against stable's 5 ms)"
        in judge(SLOWER, [measure(side(ms=10))]).why
    )


def test_a_check_that_could_not_be_made_has_no_samples() -> None:
    assert judge(check(), [measure(side(0), error="no address")]).samples == 0
