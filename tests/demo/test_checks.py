"""What callers may see over both stories: nothing failed, and a bad candidate's share of one interval at most."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest

from reconciler.demo.checks import Bound, bound_of, callers_checks
from reconciler.demo.load import Seen
from reconciler.demo.repository import example_repository
from reconciler.desired.documents import Rollout
from reconciler.desired.parse import parse_file

RATE = 50.0
STABLE, BAD = "iris-predictor-00002", "iris-predictor-00003"


def rollout() -> Rollout:
    parsed = parse_file("iris.yaml", (example_repository() / "models" / "iris.yaml").read_bytes())
    return Rollout.model_validate(parsed.documents[0].value()["spec"]["rollout"])


def seen(failed: int = 0, wrong: dict[str, int] | None = None, sent: int = 1000) -> Seen:
    """Return what callers saw who were sent at the rate that was asked for."""
    wrong = wrong or {}
    statuses = Counter({"200": sent - failed, "503": failed}) if failed else Counter({"200": sent})
    return Seen(
        RATE,
        began=time.monotonic() - sent / RATE,
        due=sent,
        sent=sent,
        unexpected=sum(wrong.values()),
        by_status=statuses,
        unexpected_by_revision=Counter(wrong),
    )


def broken(model: str, calls: Seen, spoilt_before: int | None = 0) -> list[str]:
    return [check.what for check in callers_checks({model: calls}, spoilt_before, rollout()) if not check.holds]


def test_the_bound_is_the_share_of_the_first_step_in_one_interval() -> None:
    bound = bound_of(rollout(), RATE)
    assert bound == Bound(10, RATE, timedelta(seconds=5))
    assert bound.requests == 25
    assert str(bound) == "25: 10 % of 50 a second in 5s"


@pytest.mark.parametrize("model", ["iris", "diabetes"])
def test_callers_who_saw_nothing_bad_are_content(model: str) -> None:
    assert broken(model, seen()) == []


@pytest.mark.parametrize("model", ["iris", "diabetes"])
def test_one_failed_request_is_one_too_many(model: str) -> None:
    assert f"{model}: no caller's request failed" in broken(model, seen(failed=1))


def test_nobody_called_proves_nothing() -> None:
    assert "iris: no caller's request failed" in broken("iris", seen(sent=0))


def test_a_rate_that_was_not_kept_proves_nothing() -> None:
    slow = seen()
    slow.began = time.monotonic() - 2 * slow.due / RATE
    assert broken("iris", slow) == ["iris: 50 requests a second all the while"]


@pytest.mark.parametrize(
    ("wrong", "before", "kept"),
    [
        pytest.param({BAD: 25}, 0, True, id="the candidate's share of one interval"),
        pytest.param({BAD: 26}, 0, False, id="one more"),
        pytest.param({BAD: 5, STABLE: 1}, 0, False, id="stable was wrong too"),
        pytest.param({BAD: 5}, 5, False, id="wrong before the bad story"),
        pytest.param({BAD: 1}, None, False, id="the bad story was not told this time"),
    ],
)
def test_a_bad_candidate_may_spoil_so_much(wrong: dict[str, int], before: int | None, kept: bool) -> None:
    assert (broken("iris", seen(wrong=wrong), before) == []) is kept


def test_a_model_without_a_bad_story_is_never_wrong() -> None:
    assert broken("diabetes", seen(wrong={"diabetes-predictor-00001": 1})) == ["diabetes: no answer was wrong"]
