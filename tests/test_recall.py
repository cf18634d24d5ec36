"""What was measured is read back from the ledger: each entry once, and nothing that counts is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.analysis.verdict import Verdict, due_at, judge
from reconciler.desired.checks import Check
from reconciler.ensure.analysis import to_json
from reconciler.observed import JobRun, Measurement, Metered, Metering, Release, Side
from reconciler.plan.marks import RolloutRecord
from reconciler.ports import Entry, Moment, Recorded, Result
from reconciler.recall import MOST_MEASUREMENTS, Measured, measured
from tests.simulation.faults import Fault, Faults
from tests.simulation.systems import SimLedger

BEGAN = datetime(2026, 8, 1, 12, tzinfo=UTC)
RELEASE, NOTHING = Release(2, "abc"), Side(0, 0)
ROLLOUT = RolloutRecord(RELEASE, Release(1, "abc"), "iris-predictor-00001", 1, BEGAN, BEGAN, "w")
OWN = Check.model_validate({"name": "own", "job": {"image": "tests:1"}})
SLOW = Check.model_validate({"name": "slow", "failureLimit": 2, "prometheus": {"query": "q", "max": 1}})
SECOND = timedelta(seconds=1)


@dataclass
class Notebook:
    """A ledger of measurements, each with how many of its check had failed by then; it is read on now and then."""

    ledger: SimLedger = field(default_factory=lambda: SimLedger(Faults(lambda _: Fault.CALM)))
    read: Measured | None = None
    rows: list[int] = field(default_factory=list)

    def entries(self, **asked: Any) -> Sequence[Recorded]:
        assert asked["limit"] is not None
        found = self.ledger.entries(**asked)
        self.rows.append(len(found))
        return found

    def append(self, entry: Entry) -> Recorded:
        return self.ledger.append(entry)

    def recall(self) -> tuple[Measurement, ...]:
        self.read = measured(self, "iris", ROLLOUT, self.read)
        return self.read.measurements

    def make(self, failures: int, *made: Measurement) -> None:
        for one in made:
            at = BEGAN + (len(self.ledger.records) + 1) * SECOND
            after = {**to_json(replace(one, at=at)), "verdict": {"failures": failures}}
            intent = Entry(at, Moment.INTENT, "iris", "Analyse", "it is due")
            self.append(intent)
            self.append(replace(intent, moment=Moment.OUTCOME, result=Result.DONE, after=after))
            if len(self.ledger.records) % 100 == 0:
                self.recall()


def seen(value: float) -> Measurement:
    metering = Metering(Metered("q", value), Metered("q", 0.0), 120.0)
    return Measurement("slow", RELEASE, 1, BEGAN, NOTHING, NOTHING, metering=metering)


def passed() -> Measurement:
    return Measurement("own", RELEASE, 1, BEGAN, NOTHING, NOTHING, job=JobRun("iris-own-1", 0))


@pytest.fixture(scope="module")
def long_step() -> Notebook:
    """Let a job pass and a query fail three times, and then pass more often than is kept."""
    notebook = Notebook()
    notebook.make(0, passed())
    notebook.make(3, *[seen(9.0)] * 3, *[seen(0.5)] * (6 * MOST_MEASUREMENTS))
    return notebook


@pytest.mark.parametrize("again", [False, True], ids=["read on", "read after a restart"])
def test_a_job_that_passed_and_failures_are_not_forgotten_for_what_came_after(
    long_step: Notebook, *, again: bool
) -> None:
    kept = replace(long_step, read=None if again else long_step.read).recall()
    assert len(kept) <= 2 * MOST_MEASUREMENTS + 1
    assert judge(OWN, kept).verdict is Verdict.PASS
    assert due_at(OWN, BEGAN, kept) is None
    judged = judge(SLOW, kept)
    assert (judged.verdict, judged.failures) == (Verdict.FAIL, 3)
    assert "failure 3 of this step, 2 let pass" in judged.why


def test_what_was_read_is_not_read_again(long_step: Notebook) -> None:
    long_step.recall()
    long_step.rows.clear()
    long_step.recall()
    long_step.make(3, seen(0.5))
    long_step.recall()
    assert long_step.rows == [0, 2]


def test_a_process_that_begins_reads_all_of_the_step_by_pages(long_step: Notebook) -> None:
    fresh = Notebook(long_step.ledger)
    fresh.recall()
    assert len(fresh.rows) > 1
    assert max(fresh.rows) < len(long_step.ledger.records)


def test_what_another_step_measured_is_not_carried_over() -> None:
    notebook = Notebook()
    notebook.make(0, *[seen(0.5)] * 3)
    assert len(notebook.recall()) == 3
    later = replace(ROLLOUT, step=2, since=BEGAN + timedelta(hours=1))
    assert measured(notebook, "iris", later, notebook.read).measurements == ()
