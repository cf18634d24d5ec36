"""The two stories that the product must tell, and their neighbours, in the simulated world."""

from __future__ import annotations

from reconciler.observed import TAG_REJECTED, Stage
from reconciler.registry_roles import role
from tests.simulation.stories import spec, training, world
from tests.simulation.world import KEY, NAME, World


def roles(made: World) -> dict[int, Stage]:
    return {v.version: role(v) for v in made.registry.models[NAME].versions}


def test_a_first_commit_is_trained_gated_deployed_and_promoted() -> None:
    made = world()
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION}
    assert made.serving.shares(KEY) == {1: 100}


def test_a_change_of_parameters_ends_with_the_new_version_in_production_and_the_old_one_archived() -> None:
    made = world()
    made.settle()
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert made.serving.shares(KEY) == {2: 100}


def test_a_candidate_that_answers_badly_gets_no_traffic_and_is_rejected_and_stable_never_stops() -> None:
    made = world()
    made.settle()
    made.bad.add(2)
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert made.serving.shares(KEY) == {1: 100}
    rejected = made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert "error rate 100 % > 1 %" in rejected
    status = made.reconciler.statuses()[NAME]
    assert status.sync == "OutOfSync"
    assert status.health == "Degraded"


def test_a_rejected_version_is_not_tried_again_and_the_next_one_is() -> None:
    made = world()
    made.settle()
    made.bad.add(2)
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    made.source.write(NAME, spec(training=training(3)))
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.PRODUCTION}


def test_a_version_that_fails_its_gates_never_gets_traffic() -> None:
    results = iter([{"accuracy": 0.95}, {"accuracy": 0.5}])
    made = world(outcomes=lambda: next(results))
    made.settle()
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.NONE}
    assert made.reconciler.statuses()[NAME].rejected[0].reason == "accuracy 0.5 < 0.9"


def test_going_back_to_the_parameters_before_brings_back_the_version_that_they_made() -> None:
    made = world()
    made.settle()
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    made.source.write(NAME, spec())
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert made.training.started == sorted(set(made.training.started), key=made.training.started.index)
    assert len(made.training.started) == 2


def test_a_spec_that_leaves_git_is_taken_down_and_its_versions_are_archived() -> None:
    made = world()
    made.settle()
    made.source.write(NAME, None)
    made.settle()
    assert KEY not in made.serving.live
    assert roles(made) == {1: Stage.ARCHIVED}
    assert NAME not in made.memory.specs


def test_a_candidate_that_never_becomes_ready_is_taken_back_at_the_deadline() -> None:
    made = world()
    made.settle()
    made.serving.never_ready.add(2)
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_a_training_that_always_fails_is_tried_as_often_as_retries_say() -> None:
    made = world(outcomes=lambda: None)
    made.settle()
    assert len(made.training.started) == 3
    assert "training failed 3 times" in made.reconciler.statuses()[NAME].conditions.stalled.message


def test_a_change_of_resources_is_rolled_out_like_a_version() -> None:
    made = world()
    made.settle()
    changed = spec().serving
    assert changed is not None
    predictor = {**changed.predictor, "minReplicas": 2}
    made.source.write(NAME, spec(serving={"namespace": "models", "predictor": predictor}))
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION}
    assert made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == 2


def test_a_field_that_was_removed_by_hand_is_put_back() -> None:
    made = world()
    made.settle()
    made.serving.edit_by_hand(KEY, "minReplicas", None)
    made.settle()
    assert made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == 1


def test_a_commit_in_the_middle_of_a_canary_restarts_the_rollout_without_traffic_for_the_unproven() -> None:
    made = world()
    made.settle()
    made.source.write(NAME, spec(training=training(2)))
    for _ in range(60):
        made.one_pass()
        made.tick()
        made.training.tick(NAME)
        if made.serving.shares(KEY).get(2) == 10:
            break
    assert made.serving.shares(KEY) == {1: 90, 2: 10}
    made.source.write(NAME, spec(training=training(3)))
    made.settle()
    assert roles(made)[3] is Stage.PRODUCTION
    assert made.serving.shares(KEY) == {3: 100}


def test_in_sync_nothing_is_written_any_more() -> None:
    made = world()
    made.settle()
    writes = (made.registry.writes, made.serving.writes, len(made.ledger.records))
    for _ in range(10):
        assert made.one_pass() == ""
    assert (made.registry.writes, made.serving.writes, len(made.ledger.records)) == writes
