"""Measurements on the ledger: what is read back, and what is no measurement of ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.ensure.analysis import from_json, to_json
from reconciler.observed import JobRun, Measurement, Metered, Metering, Release, Side

MADE = Measurement(
    "answers",
    Release(2, "abc"),
    1,
    datetime(2026, 1, 1, tzinfo=UTC),
    Side(20, 1, (5.0, 6.5)),
    Side(20, 0, (4.0,)),
    18,
    17,
    question="4f2c1ab09d",
    ended=datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC),
)
LATER = {"question", "ended"}
METERED = replace(
    MADE,
    metering=Metering(
        Metered("errors 2", 0.25, 20, "", "count 2"), Metered("errors 1", None, None, "the value is NaN"), 120.0
    ),
    shape_compared=5,
    shape_agreed=4,
)
RUNS, ENDED = (replace(MADE, job=JobRun("iris-own-1", code)) for code in (None, 3))
FAILED = Measurement(
    "answers", Release(2, "abc"), 1, datetime(2026, 1, 1, tzinfo=UTC), Side(0, 0), Side(0, 0), error="no address"
)


@pytest.mark.parametrize("measured", [MADE, FAILED, METERED, RUNS, ENDED])
def test_what_was_written_is_read_back(measured: Measurement) -> None:
    assert from_json(to_json(measured)) == measured


def side(**changes: object) -> dict[str, object]:
    return {**to_json(MADE)["candidate"], **changes}


def metering(**candidate: object) -> dict[str, object]:
    written = to_json(METERED)["metering"]
    return {**written, "candidate": {**written["candidate"], **candidate}}


NONE_OF_OURS: dict[str, dict[str, Any]] = {
    "a release that nobody can have": {"release": "x"},
    "no release": {"release": None},
    "a step that is true": {"step": True},
    "a step that is a text": {"step": "1"},
    "a negative count": {"compared": -1},
    "a count beyond all counts": {"agreed": 2**31},
    "a time without a zone": {"at": "2026-01-01T00:00:00"},
    "a time that is a number": {"at": 3},
    "an end without a zone": {"ended": "2026-01-01T00:00:00"},
    "no time at all": {"at": "soon"},
    "a side that is a number": {"candidate": 3},
    "latencies that are no list": {"candidate": side(latenciesMs=3)},
    "a latency that is NaN": {"candidate": side(latenciesMs=[float("nan")])},
    "a latency that is infinite": {"stable": side(latenciesMs=[1.0, float("inf")])},
    "a latency that is a text": {"stable": side(latenciesMs=["soon"])},
    "a latency beyond all doubles": {"stable": side(latenciesMs=[10**400])},
    "a value that is true": {"metering": metering(value=True)},
    "a value that is a text": {"metering": metering(value="0.5")},
    "a value that is NaN": {"metering": metering(value=float("nan"))},
    "a value that is infinite": {"metering": metering(value=float("inf"))},
    "a value beyond all doubles": {"metering": metering(value=10**400)},
    "samples that are a fraction": {"metering": metering(samples=1.5)},
    "a window that is a text": {"metering": {**metering(), "windowSeconds": "2m"}},
    "a window that is infinite": {"metering": {**metering(), "windowSeconds": float("inf")}},
    "a metering that is a number": {"metering": 3},
    "an exit code that is a text": {"job": {"name": "iris-own-1", "exitCode": "3"}},
    "a job without an exit code's place": {"job": {"name": "iris-own-1"}},
    "a fraction of a request": {"candidate": side(requests=1.5)},
}


@pytest.mark.parametrize("sentence", NONE_OF_OURS)
def test_anything_else_is_no_measurement(sentence: str) -> None:
    assert from_json({**to_json(MADE), **NONE_OF_OURS[sentence]}) is None


@pytest.mark.parametrize("missing", sorted(to_json(MADE).keys() - LATER))
def test_a_measurement_without_one_of_its_parts_is_none(missing: str) -> None:
    assert from_json({k: v for k, v in to_json(MADE).items() if k != missing}) is None


def test_one_of_an_older_release_says_neither_what_was_asked_nor_when_it_was_over() -> None:
    read = from_json({k: v for k, v in to_json(MADE).items() if k not in LATER})
    assert read == replace(MADE, question="", ended=None)
    assert (read.over_at if read else None, MADE.over_at) == (MADE.at, MADE.ended)


@pytest.mark.parametrize("odd", [None, [], 3, "x"])
def test_what_is_no_object_is_none(odd: Any) -> None:
    assert from_json(odd) is None


def test_a_whole_number_is_a_value_and_nothing_is_none() -> None:
    read = from_json({**to_json(METERED), "metering": metering(value=0, samples=0)})
    assert read is not None
    assert read.metering is not None
    assert (read.metering.candidate.value, read.metering.candidate.samples) == (0.0, 0)
    assert isinstance(read.metering.candidate.value, float)


@pytest.mark.parametrize("missing", ["query", "value", "samples", "why"])
def test_a_metered_side_without_one_of_its_parts_is_none(missing: str) -> None:
    written = metering()
    side_of = dict(to_json(METERED)["metering"]["candidate"])
    del side_of[missing]
    assert from_json({**to_json(METERED), "metering": {**written, "candidate": side_of}}) is None


def test_a_metered_side_of_an_older_release_does_not_say_how_requests_were_counted() -> None:
    written = metering()
    del written["candidate"]["countQuery"]  # type: ignore[attr-defined]  # a mapping
    read = from_json({**to_json(METERED), "metering": written})
    assert read is not None
    assert read.metering is not None
    assert (read.metering.candidate.query, read.metering.candidate.count_query) == ("errors 2", "")


def test_the_largest_count_is_one() -> None:
    read = from_json({**to_json(MADE), "compared": 2**31 - 1})
    assert read is not None
    assert read.compared == 2**31 - 1
