"""One-shot reconciliation, in the simulated world."""

from __future__ import annotations

from datetime import timedelta

import pytest

from reconciler.cli.once import Act, Applied, Pace, chosen, drive, wanted_state
from reconciler.errors import Refused
from reconciler.observed import Stage
from reconciler.registry_roles import role
from reconciler.status import Sync
from tests.simulation.stories import spec, training, world
from tests.simulation.world import KEY, NAME, World


def once(made: World, patience: timedelta | None = None) -> tuple[Applied, list[Act]]:
    """Apply; a pause takes five seconds of the world's time."""
    told: list[Act] = []
    made.reconciler.refresh_source()
    made.reconciler.refresh_registry()

    def pause() -> None:
        while made.tick():
            pass
        made.training.tick(NAME)
        made.now += timedelta(seconds=5)

    until = None if patience is None else made.now + patience
    return drive(made.reconciler, [NAME], Pace(made.clock, until, pause), told.append), told


def test_without_patience_it_begins_what_can_be_begun_and_says_what_it_waits_for() -> None:
    done, told = once(world())
    assert [act.action for act in told] == ["Train"]
    assert told[0].reason == "nothing is registered"
    assert "training run" in done.waiting[NAME].waits_for


def test_with_patience_it_goes_on_until_everything_is_as_git_says() -> None:
    made = world()
    done, told = once(made, timedelta(hours=1))
    assert done.waiting == {}
    assert done.failed == {}
    assert [act.action for act in told][-1] == "Promote"
    assert made.serving.shares(KEY) == {1: 100}


def test_a_second_time_does_nothing() -> None:
    made = world()
    once(made, timedelta(hours=1))
    done, told = once(made, timedelta(hours=1))
    assert told == []
    assert done.statuses[NAME] is not None
    assert done.waiting == {}


def test_the_time_being_up_is_no_failure() -> None:
    made = world()
    done, _ = once(made, timedelta(seconds=1))
    assert done.failed == {}
    assert done.waiting[NAME].sync is Sync.OUT_OF_SYNC


def test_what_needs_a_person_is_not_waited_for() -> None:
    made = world()
    once(made, timedelta(hours=1))
    made.bad.add(2)
    made.source.write(NAME, spec(training=training(2)))
    began = made.now
    done, told = once(made, timedelta(days=30))
    assert "Reject" in [act.action for act in told]
    assert done.waiting[NAME].conditions.stalled.status == "True"
    assert made.now - began < timedelta(hours=2)
    assert {v.version: role(v) for v in made.registry.models[NAME].versions}[1] is Stage.PRODUCTION


def test_a_name_that_is_not_there_is_refused_with_the_one_that_was_meant() -> None:
    made = world()
    state = wanted_state(made.source)
    assert chosen(state, ()) == chosen(state, [NAME, NAME]) == (NAME,)
    with pytest.raises(Refused) as refused:
        chosen(state, ["irsi"])
    assert refused.value.help == "did you mean iris?"
