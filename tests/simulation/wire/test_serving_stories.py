"""Flaws that showed only with the real serving adapter, each told as the story in which it did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.desired.serving import Serving
from reconciler.errors import Transient
from reconciler.manifest import inference_service, release_of, serving_fields
from reconciler.observed import InferenceService, Known, ReleaseRecord, Stage
from reconciler.registry_roles import role
from reconciler.systems.serving.api import HTTP_ROUTES
from tests.simulation.faults import Faults
from tests.simulation.stories import Script, calm, good, spec, training, until
from tests.simulation.wire.serving import WireServing
from tests.simulation.wire.world import WireWorld
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME

MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}


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


def standing(made: WireServing) -> InferenceService:
    answer = made.read_all()
    assert isinstance(answer, Known), answer
    return answer.value[KEY]


def standard_mode() -> tuple[WireServing, ReleaseRecord, ReleaseRecord]:
    """Return a cluster and the records of two releases in Standard mode."""
    now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def sleep(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    made = WireServing(Faults(calm), lambda: now, sleep)
    made.read_all()
    fields = Serving.model_validate(
        {"namespace": KEY[0], "mode": "Standard", "predictor": {"model": MODEL, "minReplicas": 1}}
    )
    one, two = (ReleaseRecord(release_of(n, fields), f"s3://m/{n}", serving_fields(fields)) for n in (1, 2))
    return made, one, two


def turn(made: WireServing) -> None:
    while made.tick(KEY):
        made.read_all()


def test_a_route_that_is_ahead_of_its_watch_makes_no_split_count_as_none() -> None:
    made, one, two = standard_mode()
    watches = made.adapter.leave_out(HTTP_ROUTES.plural)
    made.apply(inference_service(NAME, one, None))
    turn(made)
    assert not standing(made).splits, "KServe says that there is a way in, and no route is seen"
    canary = inference_service(NAME, two, 0, one)
    with pytest.raises(Transient, match="the watch has yet to show it"):
        made.apply(canary)
    assert "canary" not in made.live[KEY].manifest["spec"]
    made.adapter.take_in(watches)
    assert standing(made).splits
    made.apply(canary)
    assert made.live[KEY].manifest["spec"]["canary"][0]["trafficPercent"] == 0


def test_a_canary_whose_share_the_watch_has_yet_to_show_does_not_go() -> None:
    made, one, two = standard_mode()
    made.apply(inference_service(NAME, one, None))
    turn(made)
    made.apply(inference_service(NAME, two, 0, one))
    turn(made)
    watches = made.adapter.leave_out(HTTP_ROUTES.plural)
    made.apply(inference_service(NAME, two, 10, one))
    turn(made)
    assert [t.percent for t in standing(made).traffic if t.latest] == [0], "its callers are not seen"
    made.apply(inference_service(NAME, two, 0, one))
    with pytest.raises(Transient, match="it stays until then"):
        made.apply(inference_service(NAME, one, None))
    assert "canary" in made.live[KEY].manifest["spec"]
    turn(made)
    made.adapter.take_in(watches)
    made.apply(inference_service(NAME, one, None))
    assert "canary" not in made.live[KEY].manifest["spec"]
