"""Flaws that showed only with the real serving adapter, each told as the story in which it did."""

from __future__ import annotations

from reconciler.observed import Stage
from reconciler.registry_roles import role
from tests.simulation.stories import Script, good, spec, training, until
from tests.simulation.wire.world import WireWorld
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME


def in_production() -> WireWorld:
    made = WireWorld(Script(), good)
    made.source.write(NAME, spec())
    made.settle()
    return made


def test_two_versions_one_after_the_other_reach_production() -> None:
    made = in_production()
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    assert made.serving.shares(KEY) == {2: 100}


def test_a_bad_candidate_loses_its_traffic_although_a_person_took_a_field_of_ours() -> None:
    made = in_production()
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: made.serving.shares(KEY).get(2) == 10)
    made.serving.edit_by_hand(KEY, "minReplicas", 7)
    made.bad.add(2)
    until(made, lambda: made.serving.shares(KEY) == {1: 100})
    assert made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == 7


def test_what_still_serves_while_it_is_being_deleted_is_not_archived() -> None:
    made = in_production()
    made.registry.register(NAME, {}, {"accuracy": 0.99}, made.now)
    made.source.write(NAME, spec_of(Wish(served=False, trained=False)))
    for _ in range(5):
        # KServe's finalizer holds the object: no controller takes its turn.
        made.one_pass()
        made.check()
    assert "deletionTimestamp" in made.serving.live[KEY].manifest["metadata"]
    assert role(made.registry.models[NAME].versions[0]) is Stage.PRODUCTION
    made.settle()
    assert KEY not in made.serving.live
    assert [role(v) for v in made.registry.models[NAME].versions] == [Stage.ARCHIVED, Stage.PRODUCTION]
