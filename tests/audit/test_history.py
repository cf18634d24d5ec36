"""What was tried and what was serving, told from the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from reconciler.audit.history import ServingAt, Trial, attempts, serving_at
from reconciler.ports import Entry, Moment, Recorded, Result
from tests.audit.conftest import BEGAN


class Tape:
    """Writes records as the executor does: an intent a minute, its outcome ten seconds later."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []

    commit, author = "4f2c1ab", "Ana"

    def act(self, action: str, after: Mapping[str, Any], result: Result | None = Result.DONE, **before: Any) -> None:
        at = BEGAN + timedelta(minutes=len(self.records))
        intent = self._record(
            Entry(
                at, Moment.INTENT, "iris", action, f"why {action}", self.commit, self.author, after=after, before=before
            )
        )
        if result is not None:
            ended = at + timedelta(seconds=10)
            reason = "it broke" if result is Result.FAILED else f"why {action}"
            self._record(Entry(ended, Moment.OUTCOME, "iris", action, reason, result=result, attempt_of=intent.seq))

    def _record(self, entry: Entry) -> Recorded:
        self.records.append(Recorded(len(self.records) + 1, entry, "", ""))
        return self.records[-1]

    def now(self) -> ServingAt:
        return serving_at(attempts(self.records), BEGAN + timedelta(days=1))

    def shares(self) -> tuple[int | None, int | None, int | None]:
        """Return the version that serves now, the one on trial, and what that gets."""
        now = self.now()
        return (now.version, now.trial.version, now.trial.percent) if now.trial else (now.version, None, None)


@pytest.fixture
def tape() -> Tape:
    return Tape()


@pytest.fixture
def second(tape: Tape) -> Tape:
    """Version 1 serves, version 2 got half of the traffic."""
    tape.act("Deploy", {"release": "1-aaaa"})
    tape.act("Promote", {"version": 1, "release": "1-aaaa"})
    tape.act("StartCanary", {"release": "2-aaaa"}, release="1-aaaa")
    tape.act("ShiftTraffic", {"release": "2-aaaa", "percent": 50, "stable_revision": "iris-00001"})
    return tape


def test_an_intent_and_its_outcome_are_one_attempt(tape: Tape) -> None:
    tape.act("Deploy", {"release": "1-aaaa"})
    tape.act("Promote", {"version": 1}, Result.FAILED)
    tape.act("Archive", {"version": 1}, None)
    tried = attempts(tape.records)
    assert [(a.seq, a.action, a.result) for a in tried] == [
        (1, "Deploy", Result.DONE),
        (3, "Promote", Result.FAILED),
        (5, "Archive", Result.PENDING),
    ]
    assert tried[0].ended_at == BEGAN + timedelta(seconds=10)
    assert (tried[0].reason, tried[1].reason) == ("why Deploy", "it broke")
    assert tried[2].ended_at is None


def test_versions_show_what_replaced_what(tape: Tape) -> None:
    tape.act("Deploy", {"release": "1-aaaa"})
    tape.act("StartCanary", {"release": "2-aaaa"}, release="1-aaaa")
    tape.act("Promote", {"version": 2}, release="2-aaaa", versions={"1": "Production", "2": "Staging"})
    tape.act("Archive", {"version": 1}, release="2-aaaa")
    tape.act("RestoreStable", {"release": "2-aaaa"}, release="3-bbbb")
    tape.act("Train", {"key": "k", "attempt": 1})
    assert [a.versions for a in attempts(tape.records)] == ["1", "1 -> 2", "1 -> 2", "1", "3 -> 2", ""]


def test_nothing_was_serving_before_the_first_deployment(second: Tape) -> None:
    assert serving_at(attempts(second.records), BEGAN) == ServingAt()


def test_a_deployment_counts_from_its_outcome(tape: Tape) -> None:
    tape.act("Deploy", {"release": "1-aaaa"})
    tried = attempts(tape.records)
    assert serving_at(tried, BEGAN + timedelta(seconds=9)).version is None
    assert serving_at(tried, BEGAN + timedelta(seconds=10)).version == 1


def test_a_version_serves_since_its_deployment_not_since_its_promotion(second: Tape) -> None:
    assert second.now().since == BEGAN + timedelta(seconds=10)
    assert second.now().seq == 3


def test_a_candidate_is_shown_with_its_share(second: Tape) -> None:
    assert second.shares() == (1, 2, 50)


def test_each_of_two_versions_has_its_own_time_commit_author_and_entry(tape: Tape) -> None:
    tape.act("Deploy", {"release": "1-aaaa"})
    tape.commit, tape.author = "9be0d13", "Raj"
    tape.act("StartCanary", {"release": "2-aaaa"}, release="1-aaaa")
    tape.commit, tape.author = "77aa0c2", "Mei"
    tape.act("ShiftTraffic", {"release": "2-aaaa", "percent": 10})
    now = tape.now()
    assert (now.since, now.seq, now.commit, now.author) == (BEGAN + timedelta(seconds=10), 1, "4f2c1ab", "Ana")
    assert now.trial == Trial(2, 10, BEGAN + timedelta(minutes=2, seconds=10), 5, "9be0d13", "Raj")


def test_another_candidate_has_a_trial_of_its_own(second: Tape) -> None:
    second.commit = "9be0d13"
    second.act("StartCanary", {"release": "3-aaaa"}, release="1-aaaa")
    trial = second.now().trial
    assert trial is not None
    assert (trial.version, trial.percent, trial.commit) == (3, 0, "9be0d13")


@pytest.mark.parametrize("result", [Result.FAILED, Result.UNKNOWN, None])
def test_what_was_not_done_changed_nothing(second: Tape, result: Result | None) -> None:
    second.act("Promote", {"version": 2}, result)
    assert second.now().version == 1


def test_a_promotion_ends_the_trial(second: Tape) -> None:
    second.act("RouteAll", {"release": "2-aaaa"})
    assert second.shares() == (1, 2, 100)
    second.act("Promote", {"version": 2})
    assert second.shares() == (2, None, None)


def test_a_rollback_takes_the_candidate_away(second: Tape) -> None:
    second.act("CutTraffic", {"release": "2-aaaa"})
    assert second.shares() == (1, 2, 0)
    second.act("FinishRollback", {"release": "1-aaaa"})
    assert second.shares() == (1, None, None)


def test_nothing_serves_after_it_was_taken_down(second: Tape) -> None:
    second.act("TakeDown", {"uid": "x"})
    assert second.now().version is None
    assert second.now().since is not None
