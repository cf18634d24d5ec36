"""One action's surroundings, taken from a simulated world as it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.desired.documents import ModelSpec
from reconciler.desired.state import DesiredModel
from reconciler.ensure.scene import Scene, Systems
from reconciler.observed import Known, Side
from reconciler.plan.facts import Facts, gather
from reconciler.ports import Prober, ProbeResult, ProbeTarget
from tests.simulation.faults import LIFETIME
from tests.simulation.stories import spec, training, until, world
from tests.simulation.world import KEY, NAME, World

WHY = "because the test says so"


def systems_of(made: World) -> Systems:
    """Return the world's systems, as a process has them."""
    return Systems(
        registry=made.registry,
        serving=made.serving,
        training=made.training,
        prober=made.prober,
        metrics=made.metrics,
        jobs=made.jobs,
        ledger=made.ledger,
        memory=made.memory,
        clock=made.clock,
        artifact_destinations={},
        settle=LIFETIME,
    )


def _allow(_: object) -> None:
    """Let a write pass."""


def scene_of(made: World, prober: Prober | None = None, **changes: Any) -> Scene:
    """Return the scene of an action that is decided now; `changes` are other facts than those that are seen."""
    state = made.source.published
    assert state is not None
    desired = state.models[NAME]
    observed = made.observer.observe(desired, made.now)
    facts = gather(desired, replace(observed, registry=Known(made.registry.models.get(NAME), made.now)), made.now)
    assert isinstance(facts, Facts)
    systems = systems_of(made)
    made.faults.before_write = _allow  # an action alone has no intent on the ledger, and is not what Git wants
    made.faults.after_write = lambda: None
    made.serving.before_delete = _allow
    given = replace(systems, prober=prober) if prober else systems
    return Scene(replace(facts, **changes), given, WHY, lambda: made.observer.ordered(NAME))


def wanting(scene: Scene, files: dict[str, bytes] | None = None, **changes: object) -> Scene:
    """Return the scene under another spec."""
    wanted: DesiredModel = replace(scene.desired, spec=spec(**changes), files=files or scene.desired.files)
    return replace(scene, facts=replace(scene.facts, desired=wanted))


def in_production(wanted: ModelSpec | None = None) -> World:
    """Let version 1 be in Production with all traffic."""
    made = world()
    made.source.write(NAME, wanted or spec())
    made.settle()
    return made


def in_canary(holds: Callable[[World], bool] | None = None) -> World:
    """Let version 2 be on its way, with 10 % of the traffic or as the test says."""
    made = in_production()
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: holds(made) if holds else made.serving.shares(KEY).get(2) == 10)
    return made


@dataclass(frozen=True, slots=True)
class Answers:
    """A prober whose targets give the answers that the test says, by the revision in their address."""

    by_revision: dict[str, Sequence[Any]]

    def probe(
        self, target: ProbeTarget, rows: Sequence[Any], requests: int, before_each: Callable[[], None]
    ) -> ProbeResult:
        before_each()
        answers = self.by_revision[target.url.rpartition("/")[2]]
        failed = sum(answer is None for answer in answers)
        return ProbeResult(Side(requests, failed, (5.0,) * (len(rows) - failed)), tuple(answers))
