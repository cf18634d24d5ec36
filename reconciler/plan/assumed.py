"""The world that a plan without systems assumes: what was committed before has come true. Pure.

The version that serves is counted as 1, or as the one that is pinned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import DesiredModel
from reconciler.observed import (
    TAG_GATES,
    TAG_TRAINING_KEY,
    Known,
    ModelVersion,
    ObservedModel,
    RegisteredModel,
    Stage,
)
from reconciler.plan.facts import passed_mark
from reconciler.plan.forecast import Assumptions, forecast, nothing_yet
from reconciler.plan.planner import Rules
from reconciler.plan.training import recipe_of

AUTO = "auto"


def assumed_world(
    base: DesiredModel | None, wanted: DesiredModel, now: datetime, assumptions: Assumptions
) -> ObservedModel:
    """Return what is there when `base` has converged (None: nothing is), with the version that `wanted` pins."""
    world = nothing_yet(now) if base is None else _converged(base, wanted, now, assumptions)
    return _with_pinned(wanted, world, now)


def _converged(base: DesiredModel, wanted: DesiredModel, now: datetime, assumptions: Assumptions) -> ObservedModel:
    began = now - assumptions.ready
    free = _unhindered(base)
    number = _number(base, wanted)
    registry = RegisteredModel(base.registered_model, (_proven(base, number, Stage.NONE, began),))
    world = replace(nothing_yet(began), registry=Known(registry, began))
    return forecast(free, world, Rules(PolicySpec()), began, assumptions).world


def _unhindered(base: DesiredModel) -> DesiredModel:
    """Return the spec without what would have kept it from converging: suspension, and a missing approval."""
    promotion = base.spec.promotion.model_copy(update={"approval": "none"})
    spec = base.spec.model_copy(update={"suspend": False, "promotion": promotion})
    return replace(base, spec=spec, stale=(), removed=False)


def _number(base: DesiredModel, wanted: DesiredModel) -> int:
    """Return the number of the version that serves, never that of another one that is pinned now."""
    pinned, next_pin = base.spec.promotion.version, wanted.spec.promotion.version
    if pinned != AUTO:
        return int(pinned)
    return 2 if next_pin == "1" else 1


def _proven(model: DesiredModel, number: int, stage: Stage, at: datetime) -> ModelVersion:
    recipe = recipe_of(model)
    tags = {TAG_GATES: passed_mark(model.spec), **({TAG_TRAINING_KEY: recipe} if recipe else {})}
    return ModelVersion(number, stage, frozenset(), tags, "", "", at)


def _with_pinned(wanted: DesiredModel, world: ObservedModel, now: datetime) -> ObservedModel:
    pin = wanted.spec.promotion.version
    reading = world.registry
    if pin == AUTO or not isinstance(reading, Known):
        return world
    model = reading.value or RegisteredModel(wanted.registered_model, ())
    if model.get(int(pin)) is not None:
        return world
    versions = _sorted((*model.versions, _proven(wanted, int(pin), Stage.ARCHIVED, now)))
    return replace(world, registry=Known(replace(model, versions=versions), reading.at))


def _sorted(versions: Iterable[ModelVersion]) -> tuple[ModelVersion, ...]:
    return tuple(sorted(versions, key=lambda version: version.version))
