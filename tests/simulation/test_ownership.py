"""Fields that others hold and objects of others, told as stories: in the simulation and over the real adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.desired.documents import ModelSpec
from reconciler.observed import LABEL_MODEL, MANAGER, Stage
from reconciler.registry_roles import role
from tests.simulation.faults import Fault
from tests.simulation.stories import Script, good, spec, training, until
from tests.simulation.wire.world import WireWorld
from tests.simulation.wishes import foreign
from tests.simulation.world import KEY, NAME, World

Make = Callable[[], World]
MAKES: dict[str, Make] = {"simulated": lambda: World(Script(), good), "wire": lambda: WireWorld(Script(), good)}


@pytest.fixture(params=MAKES)
def made(request: pytest.FixtureRequest) -> World:
    return MAKES[request.param]()


def serving(**changes: Any) -> dict[str, Any]:
    model = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
    return {"namespace": "models", "predictor": {"model": model, "minReplicas": 1}, **changes}


def wants(made: World, **changes: Any) -> ModelSpec:
    wanted = spec(**changes)
    made.source.write(NAME, wanted)
    return wanted


def stalled(made: World) -> tuple[str, str]:
    status = made.status()
    assert status is not None
    return status.conditions.stalled.reason, status.conditions.stalled.message


def replicas(made: World) -> object:
    return made.serving.live[KEY].manifest["spec"]["predictor"].get("minReplicas")


def actions(made: World, name: str) -> list[dict[str, Any]]:
    found = [r.entry for r in made.ledger.records if r.entry.action == name and r.entry.moment == "intent"]
    return [dict(entry.evidence) for entry in found]


def test_a_field_of_ours_that_a_person_took_is_told_with_both_names_and_left_alone(made: World) -> None:
    wants(made)
    made.settle()
    made.serving.edit_by_hand(KEY, "minReplicas", 3)
    made.settle()
    reason, message = stalled(made)
    assert reason == "FieldsHeld"
    assert f'"{MANAGER}" does not take what others hold: spec.predictor.minReplicas (' in message
    assert replicas(made) == 3
    assert not actions(made, "PutBack")


def test_what_a_person_gave_up_is_put_back(made: World) -> None:
    wants(made)
    made.settle()
    made.serving.edit_by_hand(KEY, "minReplicas", 3)
    made.settle()
    made.serving.edit_by_hand(KEY, "minReplicas", None)
    made.settle()
    assert (stalled(made), replicas(made)) == (("", ""), 1)


def test_a_field_is_taken_back_where_the_spec_says_so_and_the_ledger_says_from_whom(made: World) -> None:
    wants(made)
    made.settle()
    made.serving.edit_by_hand(KEY, "minReplicas", 3)
    made.settle()
    wants(made, serving=serving(takeOwnership=True))
    made.settle()
    assert (stalled(made), replicas(made)) == (("", ""), 1)
    taken = [e["takes"] for e in actions(made, "PutBack") if "takes" in e]
    assert [[f["field"] for f in fields] for fields in taken] == [["spec.predictor.minReplicas"]]
    assert [set(f) for fields in taken for f in fields] == [{"field", "from"}]
    assert all(f["from"] not in ("", MANAGER) for fields in taken for f in fields)
    assert made.serving.shares(KEY) == {1: 100}


def test_to_allow_taking_fields_is_no_new_release(made: World) -> None:
    wants(made)
    made.settle()
    created = made.serving.live[KEY].created
    wants(made, serving=serving(takeOwnership=True, adopt=True))
    made.settle()
    assert made.serving.live[KEY].created == created


def test_a_candidate_that_was_cut_asks_for_a_person_where_stable_cannot_be_restored(made: World) -> None:
    wants(made)
    made.settle()
    wants(made, training=training(2))
    until(made, lambda: made.serving.shares(KEY).get(2) == 10)
    made.serving.edit_by_hand(KEY, "minReplicas", 7)
    made.bad.add(2)
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    assert stalled(made)[0] == "FieldsHeld"
    assert replicas(made) == 7
    made.serving.edit_by_hand(KEY, "minReplicas", None)
    made.settle()
    assert (made.serving.shares(KEY), made.serving.live[KEY].percent) == ({1: 100}, None)


@pytest.mark.parametrize("elsewhere", [serving(namespace="other"), None], ids=["another namespace", "nowhere"])
def test_who_holds_fields_of_a_canary_is_asked_also_where_git_wants_the_model_elsewhere_by_now(
    made: World, elsewhere: dict[str, Any] | None
) -> None:
    wants(made)
    made.settle()
    wants(made, training=training(2))
    until(made, lambda: made.serving.shares(KEY).get(2) == 10)
    made.serving.edit_by_hand(KEY, "minReplicas", 7)
    wants(made, training=training(2), serving=elsewhere)
    made.settle()
    assert stalled(made)[0] == "FieldsHeld"
    assert (made.serving.shares(KEY), replicas(made)) == ({1: 100}, 7)
    made.serving.edit_by_hand(KEY, "minReplicas", None)
    made.settle()
    assert KEY not in made.serving.live


def served_by_hand(made: World, uri: str, **predictor: Any) -> None:
    made.serving.create_by_hand(foreign(KEY, uri, **predictor))
    while made.tick():
        pass


def registered(made: World) -> None:
    """Let version 1 be registered, with good metrics."""
    made.registry.register(NAME, {}, {"accuracy": 0.95}, made.now)


def test_an_object_of_somebody_else_is_left_alone_until_git_says_adopt(made: World) -> None:
    registered(made)
    served_by_hand(made, f"s3://models/{NAME}/1")
    wants(made, training=None)
    made.settle()
    assert stalled(made)[0] == "NotOurs"
    status = made.status()
    assert status is not None
    assert "serving.adopt: true" in status.waits_for
    assert made.serving.writes == 0


def test_an_adopted_object_serves_what_it_served_and_its_version_becomes_production(made: World) -> None:
    registered(made)
    served_by_hand(made, f"s3://models/{NAME}/1", maxReplicas=4)
    wants(made, training=None, serving=serving(adopt=True))
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    live = made.serving.live[KEY]
    assert live.manifest["spec"]["predictor"]["maxReplicas"] == 4
    assert live.created == 2, "one new revision, for our labels, and no other"
    assert role(made.registry.models[NAME].versions[0]) is Stage.PRODUCTION
    assert stalled(made) == ("", "")


def test_where_git_asks_for_other_fields_they_are_rolled_out_after_the_adoption(made: World) -> None:
    registered(made)
    served_by_hand(made, f"s3://models/{NAME}/1")
    wanted = serving(adopt=True)
    wanted["predictor"]["minReplicas"] = 2
    wants(made, training=None, serving=wanted)
    made.settle()
    assert [len(actions(made, name)) for name in ("Adopt", "StartCanary", "RouteAll")] == [1, 1, 1]
    assert (made.serving.shares(KEY), replicas(made)) == ({1: 100}, 2)


def test_a_release_that_was_adopted_without_a_predictor_s_name_is_gone_back_to_under_one(made: World) -> None:
    registered(made)
    made.serving.create_by_hand(foreign(KEY, f"s3://models/{NAME}/1", "Standard"))
    fields = serving(adopt=True, mode="Standard")
    wants(made, training=None, serving=fields)
    made.settle()
    assert "name" not in made.serving.live[KEY].manifest["spec"]["predictor"]
    registered(made)
    wants(made, training=None, serving=fields, promotion={"version": "2"})
    made.settle()
    assert made.serving.shares(KEY) == {2: 100}
    wants(made, training=None, serving=fields, promotion={"version": "1"})
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    assert made.serving.live[KEY].manifest["spec"]["predictor"]["name"].startswith("v1-")


def test_what_serves_no_registered_version_is_not_adopted(made: World) -> None:
    registered(made)
    served_by_hand(made, "s3://somewhere/else")
    wants(made, training=None, serving=serving(adopt=True))
    made.settle()
    assert "its storageUri s3://somewhere/else is that of no registered version" in stalled(made)[1]
    assert made.serving.writes == 0


def test_a_delete_that_fails_stays_on_the_books_over_a_restart_until_it_is_done() -> None:
    script = Script()
    made = World(script, good)
    wants(made)
    made.settle()
    made.source.write(NAME, None)
    for _ in range(3):
        script.then("serving.delete", Fault.REFUSED)
    for _ in range(4):
        made.one_pass()
    made.restart()
    made.one_pass()
    status = made.status()
    assert status is not None
    assert status.git == "removed"
    made.settle()
    assert KEY not in made.serving.live
    assert made.status() is None
    assert [role(v) for v in made.registry.models[NAME].versions] == [Stage.ARCHIVED]


def test_what_says_prune_false_outlives_its_spec(made: World) -> None:
    wants(made, retention={"prune": False})
    made.settle()
    made.source.write(NAME, None)
    made.settle()
    assert stalled(made)[0] == "NotPruned"
    assert made.serving.shares(KEY) == {1: 100}
    assert role(made.registry.models[NAME].versions[0]) is Stage.PRODUCTION


@pytest.mark.parametrize("mode", ["Knative", "Standard"])
def test_drift_is_seen_although_what_was_applied_is_not_on_record_any_more(made: World, mode: str) -> None:
    wants(made, serving=serving(takeOwnership=True, mode=mode))
    made.settle()
    made.memory.kept.clear()
    made.restart()
    before = made.serving.live[KEY].manifest
    made.settle()
    assert made.serving.live[KEY].manifest == before
    made.serving.edit_by_hand(KEY, "minReplicas", 3)
    made.settle()
    assert made.serving.live[KEY].manifest["spec"] == before["spec"]


def test_a_removed_model_stays_in_the_registry_while_an_object_serves_it_that_lost_our_mark(made: World) -> None:
    wants(made, retention={"onRemoval": "delete"})
    made.settle()
    made.serving.label_by_hand(KEY, {LABEL_MODEL: None})
    made.source.write(NAME, None)
    made.settle()
    reason, message = stalled(made)
    assert (reason, NAME in made.registry.models) == ("NotOurs", True)
    assert "models/iris serves version 1" in message
    made.serving.delete_by_hand(KEY)
    made.settle()
    assert NAME not in made.registry.models


def test_a_removed_model_that_a_foreign_object_serves_by_its_storage_uri_stays_in_production(made: World) -> None:
    wants(made)
    made.settle()
    made.serving.delete_by_hand(KEY)
    while KEY in made.serving.live:
        assert made.tick()
    made.serving.create_by_hand(foreign(KEY, f"s3://models/{NAME}/1"))
    made.source.write(NAME, None)
    made.settle()
    reason, message = stalled(made)
    assert (reason, role(made.registry.models[NAME].versions[0])) == ("NotOurs", Stage.PRODUCTION)
    assert "models/iris serves version 1" in message
