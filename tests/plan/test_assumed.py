"""The world that a plan without systems assumes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from reconciler.desired.state import DesiredModel, Diagnostic
from reconciler.observed import TAG_TRAINING_KEY, Known, ModelVersion, ObservedModel, Stage
from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions
from reconciler.plan.training import recipe_of
from reconciler.registry_roles import role
from tests.plan.worlds import NOW, OLD, model, spec

BASE = model("fraud", commit=OLD)
PINNED = spec(promotion={"version": "7"})


def versions(world: ObservedModel) -> tuple[ModelVersion, ...]:
    assert isinstance(world.registry, Known)
    return world.registry.value.versions if world.registry.value else ()


def roles(base: DesiredModel | None, wanted: DesiredModel) -> dict[int, Stage]:
    return {v.version: role(v) for v in versions(assumed_world(base, wanted, NOW, Assumptions()))}


def test_what_was_committed_before_serves_as_version_1_or_as_the_one_that_is_pinned() -> None:
    assert roles(BASE, BASE) == {1: Stage.PRODUCTION}
    pinned = model("fraud", PINNED, OLD)
    assert roles(pinned, pinned) == {7: Stage.PRODUCTION}


def test_a_version_that_is_pinned_now_is_there_beside_it() -> None:
    assert roles(BASE, model("fraud", PINNED)) == {1: Stage.PRODUCTION, 7: Stage.ARCHIVED}
    assert roles(BASE, model("fraud", spec(promotion={"version": "1"}))) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert roles(None, model("fraud", PINNED)) == {7: Stage.ARCHIVED}


def test_where_nothing_was_there_is_nothing() -> None:
    assert roles(None, BASE) == {}


def test_a_spec_that_could_not_be_read_or_had_left_git_had_converged_before() -> None:
    stale = replace(BASE, stale=(Diagnostic("x", "no such field", "models/fraud.yaml"),))
    assert roles(stale, BASE) == {1: Stage.PRODUCTION}
    assert roles(replace(BASE, removed=True), BASE) == {1: Stage.PRODUCTION}


def test_what_is_assumed_has_come_true_by_now_and_was_trained_as_git_said() -> None:
    world = assumed_world(BASE, BASE, NOW, Assumptions(ready=timedelta(minutes=1)))
    (version,) = versions(world)
    assert version.created_at == NOW - timedelta(minutes=1)
    assert version.tags[TAG_TRAINING_KEY] == recipe_of(BASE)
    untrained = model("fraud", spec(training=None), OLD)
    (version,) = versions(assumed_world(untrained, untrained, NOW, Assumptions()))
    assert TAG_TRAINING_KEY not in version.tags
