"""Flaws that trying every fault has found, each told as the story in which it showed."""

from __future__ import annotations

import pytest

from tests.simulation.exhaustive.reference import fails_once
from tests.simulation.faults import Fault
from tests.simulation.stories import Script, world


@pytest.mark.parametrize("fault", [Fault.LATE, Fault.CRASH_LATE])
def test_a_request_to_train_that_may_still_be_carried_out_is_not_forgotten_by_asking_often(fault: Fault) -> None:
    script = Script()
    made = world(script)
    made.training.server_ids = True
    made.training.outcomes = lambda: fails_once(made)
    made.faults.delay = lambda: 150
    script.then("training.start", fault)
    made.settle()
    assert made.training.started == sorted(set(made.training.started))
