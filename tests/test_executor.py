"""One action: its intent on the ledger before anything is done, its outcome after, whatever happens between."""

from __future__ import annotations

import pytest

from reconciler.ports import Moment, Result
from tests.simulation.faults import Fault
from tests.simulation.stories import Script, good, until, world
from tests.simulation.world import KEY, World


def about_to_deploy() -> tuple[World, Script]:
    script = Script()
    made = world(script, good)
    until(made, lambda: bool(made.ledger.records) and made.ledger.records[-1].entry.action == "RecordGates")
    return made, script


def last(made: World) -> tuple[str, Moment, Result]:
    entry = made.ledger.records[-1].entry
    return entry.action, entry.moment, entry.result


@pytest.mark.parametrize(
    ("call", "fault", "result"),
    [
        ("serving.apply", Fault.CALM, Result.DONE),
        ("serving.apply", Fault.REFUSED, Result.FAILED),
        ("serving.apply", Fault.LOST, Result.UNKNOWN),
        ("memory.keep_release", Fault.REFUSED, Result.FAILED),
    ],
)
def test_the_outcome_tells_how_it_ended(call: str, fault: Fault, result: Result) -> None:
    made, script = about_to_deploy()
    script.then(call, fault)
    made.one_pass()
    assert last(made) == ("Deploy", Moment.OUTCOME, result)
    intent, outcome = made.ledger.records[-2], made.ledger.records[-1]
    assert outcome.entry.attempt_of == intent.seq
    assert intent.entry.after["release"] == str(
        next(iter(made.memory.kept.get("iris", {})), intent.entry.after["release"])
    )


def test_without_an_intent_on_the_ledger_nothing_is_done() -> None:
    made, script = about_to_deploy()
    script.then("ledger intent", Fault.REFUSED)
    assert made.one_pass() == "error"
    assert KEY not in made.serving.live
    assert last(made)[0] == "RecordGates"


def test_an_outcome_that_cannot_be_recorded_is_settled_by_observing_again() -> None:
    made, script = about_to_deploy()
    script.then("ledger outcome", Fault.REFUSED)
    assert made.one_pass() == "error"
    assert last(made) == ("Deploy", Moment.INTENT, Result.PENDING)
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    assert sum(r.entry.action == "Deploy" for r in made.ledger.records) == 1
