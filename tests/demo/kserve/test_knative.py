"""Traffic in Knative mode: what people do, and what KServe makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from reconciler.demo.kserve import knative
from reconciler.demo.kserve.knative import Component, Service, revision_name, revision_number


@dataclass(frozen=True, slots=True)
class Apply:
    """A write to the spec; `new` says that it changes the template."""

    new: bool
    percent: int | None


@dataclass(frozen=True, slots=True)
class Ready:
    """Revision number `number` becomes ready."""

    number: int


@dataclass(frozen=True, slots=True)
class RaceApply:
    """A new template whose traffic Knative publishes before it has created the revision."""

    percent: int | None


@dataclass(frozen=True, slots=True)
class Crash:
    """Revision number `number` loses all its pods."""

    number: int


Step = Apply | Ready | RaceApply | Crash


@dataclass(frozen=True, slots=True)
class State:
    """The three actors' memories."""

    percent: int | None
    ready: frozenset[int]
    service: Service
    component: Component

    def settle(self) -> State:
        """Let KServe and Knative take turns until nothing moves; bounded, since they never fight."""
        state = self
        for _ in range(10):
            state, before = state._turn(), state
            if state == before:
                return state
        raise AssertionError(f"does not settle: {state}")

    def _turn(self) -> State:
        targets = knative.traffic_targets(self.percent, "", self.component)
        up = [revision_name("m", n) for n in self.ready]
        ready = knative.latest_ready(self.service.ready, up)
        service = replace(self.service, ready=ready, shares=knative.route(targets, ready, up, self.service.shares))
        return replace(self, service=service, component=knative.propagate(self.component, service))

    def create(self) -> State:
        """Create the next revision."""
        number = revision_number(self.service.created) + 1
        return replace(self, service=replace(self.service, created=revision_name("m", number)))


def play(*steps: Step) -> State:
    state = State(None, frozenset(), Service(), Component())
    for step in steps:
        match step:
            case Apply():
                state = replace(state.create() if step.new else state, percent=step.percent).settle()
            case Ready():
                state = replace(state, ready=state.ready | {step.number}).settle()
            case Crash():
                state = replace(state, ready=state.ready - {step.number}).settle()
            case RaceApply():
                state = replace(state, percent=step.percent).settle().create().settle()
    return state


def total(state: State) -> dict[int, int]:
    """Sum the percentages by revision number."""
    sums: dict[int, int] = {}
    for share in state.component.shares:
        sums[revision_number(share.revision)] = sums.get(revision_number(share.revision), 0) + share.percent
    return {number: percent for number, percent in sums.items() if percent}


def prev(state: State) -> int:
    return next((revision_number(s.revision) for s in state.component.shares if s.tag == "prev"), 0)


V1 = (Apply(new=True, percent=None), Ready(1))
V2_CANARY = (*V1, Apply(new=True, percent=0), Ready(2), Apply(new=False, percent=10))

TABLE: dict[str, tuple[tuple[Step, ...], dict[int, int], int]] = {
    "nothing is routed before the first revision is ready": ((Apply(new=True, percent=10),), {}, 0),
    "the first deployment gets everything, whatever N says": (
        (Apply(new=True, percent=10), Ready(1)),
        {1: 100},
        1,
    ),
    "without N a new revision takes over only when it is ready": ((*V1, Apply(new=True, percent=None)), {1: 100}, 0),
    "without N a ready revision gets everything": ((*V1, Apply(new=True, percent=None), Ready(2)), {2: 100}, 0),
    "a candidate at 0 % gets nothing while it starts": ((*V1, Apply(new=True, percent=0)), {1: 100}, 1),
    "a ready candidate gets N, the rolled-out one the rest": (V2_CANARY, {2: 10, 1: 90}, 1),
    "a candidate that never gets ready gets nothing": ((*V1, Apply(new=True, percent=50)), {1: 100}, 1),
    "removing N promotes": ((*V2_CANARY, Apply(new=False, percent=None)), {2: 100}, 0),
    "N of 100 promotes as well": ((*V2_CANARY, Apply(new=False, percent=100)), {2: 100}, 0),
    "a candidate that crashes keeps its callers whatever its share is": (
        (*V2_CANARY, Crash(2), Apply(new=False, percent=0)),
        {2: 10, 1: 90},
        1,
    ),
    "they leave it once it is back": ((*V2_CANARY, Crash(2), Apply(new=False, percent=0), Ready(2)), {1: 100}, 1),
    "a new candidate at 0 % takes them from it once it is ready": (
        (*V2_CANARY, Crash(2), Apply(new=False, percent=0), Apply(new=True, percent=0), Ready(3)),
        {1: 100},
        1,
    ),
    "a stable revision that crashed keeps its callers from a candidate with a share": (
        (*V1, Crash(1), Apply(new=True, percent=0), Ready(2), Apply(new=False, percent=50)),
        {1: 100},
        0,
    ),
    "removing N brings them to it": (
        (*V1, Crash(1), Apply(new=True, percent=0), Ready(2), Apply(new=False, percent=None)),
        {2: 100},
        0,
    ),
    "N of 0 takes all traffic off the candidate": ((*V2_CANARY, Apply(new=False, percent=0)), {1: 100}, 1),
    "a template change in mid-canary leaves N with the old candidate": (
        (*V2_CANARY, Apply(new=True, percent=10)),
        {2: 10, 1: 90},
        1,
    ),
    "and the new candidate gets N once it is ready": (
        (*V2_CANARY, Apply(new=True, percent=10), Ready(3)),
        {3: 10, 1: 90},
        1,
    ),
    "lowering N after a finished rollout swaps prev to the version before": (
        (*V2_CANARY, Apply(new=False, percent=None), Apply(new=False, percent=10)),
        {2: 10, 1: 90},
        1,
    ),
    "0, then a new candidate with N in one apply, leaks N to the rolled-back one": (
        (*V2_CANARY, Apply(new=False, percent=0), Apply(new=True, percent=20)),
        {2: 20, 1: 80},
        1,
    ),
    "dropping N while reverting the template gives the bad candidate everything": (
        (*V2_CANARY, Apply(new=True, percent=None)),
        {2: 100},
        0,
    ),
    "until the reverted revision is ready": (
        (*V2_CANARY, Apply(new=True, percent=None), Ready(3)),
        {3: 100},
        0,
    ),
    "the safe way back keeps stable at 100 % throughout": (
        (*V2_CANARY, Apply(new=False, percent=0), Apply(new=True, percent=0)),
        {1: 100},
        1,
    ),
    "and ends on the restored template": (
        (
            *V2_CANARY,
            Apply(new=False, percent=0),
            Apply(new=True, percent=0),
            Ready(3),
            Apply(new=False, percent=None),
        ),
        {3: 100},
        0,
    ),
    "a second canary keeps prev on the version that was promoted": (
        (*V2_CANARY, Apply(new=False, percent=None), Apply(new=True, percent=0), Ready(3)),
        {2: 100},
        2,
    ),
    "but traffic that is published before the revision is created flips prev to an older one": (
        (*V2_CANARY, Apply(new=False, percent=None), RaceApply(percent=0), Ready(3)),
        {1: 100},
        1,
    ),
    "an older revision that gets ready late does not take the route back": (
        (*V1, Apply(new=True, percent=None), Apply(new=True, percent=None), Ready(3), Ready(2)),
        {3: 100},
        0,
    ),
    "a superseded revision that gets ready first serves until the newest is": (
        (*V1, Apply(new=True, percent=None), Apply(new=True, percent=None), Ready(2)),
        {2: 100},
        0,
    ),
}


@pytest.mark.parametrize("sentence", TABLE)
def test_traffic(sentence: str) -> None:
    steps, traffic, tagged = TABLE[sentence]
    state = play(*steps)
    assert (total(state), prev(state)) == (traffic, tagged)


def test_promotion_moves_the_marks() -> None:
    component = play(*V2_CANARY, Apply(new=False, percent=None)).component
    assert (component.rolledout, component.previous) == ("m-00002", "m-00001")


def test_the_latest_target_carries_its_tag_in_every_stage() -> None:
    rolled_out = Component(rolledout="m-00001")
    for percent, component in ((None, Component()), (10, rolled_out), (100, rolled_out)):
        assert knative.traffic_targets(percent, "latest", component)[0].tag == "latest"
