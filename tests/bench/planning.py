"""Deciding about models that are in sync."""

from __future__ import annotations

import json
from collections.abc import Iterator

from reconciler.desired.documents import PolicySpec
from reconciler.observed import Known, ObservedModel
from reconciler.plan.planner import Rules, decide
from reconciler.status import plain
from tests.bench.report import Row, median_seconds, seconds
from tests.bench.rig import rig
from tests.bench.world import World

NAME = "planning"


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure `decide` alone, over everything that was observed once."""
    world.remember_releases("planning")
    with rig(world.settings("planning")) as running:
        running.start()
        state = running.source.desired()
        assert state is not None
        now = running.systems.clock()
        seen = [(m, running.reconciler.observer.observe(m, now)) for m in state.models.values()]
        rules = Rules(PolicySpec())

        def decide_all() -> None:
            for desired, observed in seen:
                assert decide(desired, observed, rules, now).action is None

        first = seconds(decide_all)
        again = median_seconds(decide_all, rounds)
        states = [_state(observed) for _, observed in seen]
        round_trip = median_seconds(lambda: [json.loads(json.dumps(state)) for state in states], rounds)
    each = 1e6 / world.size
    what = "json round trip of what the registry says of it"
    yield Row(NAME, world.size, "decide, one model in sync", again * each, "us", limit=50)
    yield Row(NAME, world.size, "decide against raw", again * each, "us", round_trip * each, what)
    yield Row(NAME, world.size, "decide, the first time after a start", first * each, "us")


def _state(observed: ObservedModel) -> object:
    assert isinstance(observed.registry, Known)
    return plain(observed.registry.value)
