"""Measurements on the ledger: what is read back, and what is no measurement of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.ensure.analysis import from_json, to_json
from reconciler.observed import Measurement, Release, Side

MADE = Measurement(
    "answers",
    Release(2, "abc"),
    1,
    datetime(2026, 1, 1, tzinfo=UTC),
    Side(20, 1, (5.0, 6.5)),
    Side(20, 0, (4.0,)),
    18,
    17,
)
FAILED = Measurement(
    "answers", Release(2, "abc"), 1, datetime(2026, 1, 1, tzinfo=UTC), Side(0, 0), Side(0, 0), error="no address"
)


@pytest.mark.parametrize("measured", [MADE, FAILED])
def test_what_was_written_is_read_back(measured: Measurement) -> None:
    assert from_json(to_json(measured)) == measured


def side(**changes: object) -> dict[str, object]:
    return {**to_json(MADE)["candidate"], **changes}


NONE_OF_OURS: dict[str, dict[str, Any]] = {
    "a release that nobody can have": {"release": "x"},
    "no release": {"release": None},
    "a step that is true": {"step": True},
    "a step that is a text": {"step": "1"},
    "a negative count": {"compared": -1},
    "a count beyond all counts": {"agreed": 2**31},
    "a time without a zone": {"at": "2026-01-01T00:00:00"},
    "a time that is a number": {"at": 3},
    "no time at all": {"at": "soon"},
    "a side that is a number": {"candidate": 3},
    "latencies that are no list": {"candidate": side(latenciesMs=3)},
    "a latency that is NaN": {"candidate": side(latenciesMs=[float("nan")])},
    "a latency that is infinite": {"stable": side(latenciesMs=[1.0, float("inf")])},
    "a latency that is a text": {"stable": side(latenciesMs=["soon"])},
    "a latency beyond all doubles": {"stable": side(latenciesMs=[10**400])},
    "a fraction of a request": {"candidate": side(requests=1.5)},
}


@pytest.mark.parametrize("sentence", NONE_OF_OURS)
def test_anything_else_is_no_measurement(sentence: str) -> None:
    assert from_json({**to_json(MADE), **NONE_OF_OURS[sentence]}) is None


@pytest.mark.parametrize("missing", list(to_json(MADE)))
def test_a_measurement_without_one_of_its_parts_is_none(missing: str) -> None:
    assert from_json({k: v for k, v in to_json(MADE).items() if k != missing}) is None


@pytest.mark.parametrize("odd", [None, [], 3, "x"])
def test_what_is_no_object_is_none(odd: Any) -> None:
    assert from_json(odd) is None


def test_the_largest_count_is_one() -> None:
    read = from_json({**to_json(MADE), "compared": 2**31 - 1})
    assert read is not None
    assert read.compared == 2**31 - 1
