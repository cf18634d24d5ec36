"""One fault of HTTP at every exchange of every call of the registry adapter: what it then says is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import ReconcilerError, UnknownOutcome
from reconciler.observed import ModelVersion, Stage
from tests.simulation.faults import Fault, Faults
from tests.simulation.wire.http_faults import HttpFault
from tests.simulation.wire.registry import WireRegistry

NAME = "iris"
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@dataclass(slots=True)
class Scene:
    """A registry with three models whose pages are small, and one fault at one exchange."""

    fault: HttpFault
    at: int
    now: datetime = START
    made: int = 0
    registry: WireRegistry = field(init=False)

    def __post_init__(self) -> None:
        faults = Faults(lambda _: Fault.CALM)
        self.registry = WireRegistry(faults, clock=lambda: self.now, wait=self.wait, odd=self.odd)
        for name in (NAME, "rose", "wine"):
            for number in range(1, 5):
                self.registry.register(name, {"k": str(number)}, {"accuracy": number / 10}, START)
            self.registry._transition(name, 2, Stage.PRODUCTION)
            self.registry._point(name, "champion", 2)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def odd(self, _: str) -> HttpFault:
        self.made += 1
        return self.fault if self.made == self.at else HttpFault.CALM

    def version(self, number: int) -> ModelVersion:
        found = self.registry.models[NAME].get(number)
        assert found is not None
        return found


def warm(scene: Scene) -> Scene:
    """Let the adapter have read everything before, as it has after its first seconds."""
    at, scene.at = scene.at, 0
    scene.registry.read_all()
    scene.made, scene.at = 0, at
    return scene


Read = Callable[[Scene], object]
READS: dict[str, tuple[Read, Read]] = {
    "all": (lambda s: warm(s).registry.read_all(), lambda s: s.registry.models),
    "one": (lambda s: s.registry.read(NAME), lambda s: s.registry.models[NAME]),
    "absent": (lambda s: s.registry.read("never"), lambda _: None),
    "evidence": (
        lambda s: (found := s.registry.evidence(NAME, s.version(3))) and (found.metrics, found.artifact_uri),
        lambda s: ({"accuracy": 0.3}, s.registry.location(NAME, 3)),
    ),
    "rows": (lambda s: s.registry.input_rows(NAME, 3), lambda s: s.registry.rows(NAME, 3)),
}  # fmt: skip
WRITES: dict[str, Callable[[Scene], None]] = {
    "promote": lambda s: s.registry.set_stage(NAME, 3, Stage.PRODUCTION),
    "archive": lambda s: s.registry.set_stage(NAME, 2, Stage.ARCHIVED),
    "tag": lambda s: s.registry.tag(NAME, 3, "new", "v"),
    "untag": lambda s: s.registry.tag(NAME, 3, "k", None),
    "tag model": lambda s: s.registry.tag_model(NAME, "new", "v"),
    "delete": lambda s: s.registry.delete(NAME),
}
# NaN is a true value as far as anybody can tell.
FAULTS = [fault for fault in HttpFault if fault not in (HttpFault.CALM, HttpFault.NAN)]
# `{}` is what MLflow itself says when a tag or an alias is written.
TOLD = [fault for fault in FAULTS if fault is not HttpFault.EMPTY]


def exchanges(call: Read) -> int:
    scene = Scene(HttpFault.CALM, 0)
    call(scene)
    return scene.made


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_says_what_is_or_that_it_does_not_know(fault: HttpFault, what: str) -> None:
    call, truth = READS[what]
    for at in range(1, exchanges(call) + 1):
        scene = Scene(fault, at)
        try:
            said = call(scene)
        except ReconcilerError:
            continue
        assert said == truth(scene), f"exchange {at}"


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("fault", TOLD)
def test_a_write_is_done_or_not_done_as_it_says(fault: HttpFault, what: str) -> None:
    write = WRITES[what]
    done = Scene(HttpFault.CALM, 0)
    write(done)
    for at in range(1, done.made + 1):
        scene = Scene(fault, at)
        before = dict(scene.registry.models)
        try:
            write(scene)
        except UnknownOutcome:
            continue
        except ReconcilerError:
            assert scene.registry.models == before or what in ("promote", "archive"), f"exchange {at}"
            continue
        assert scene.registry.models == done.registry.models, f"exchange {at}"


@pytest.mark.parametrize("number", [2, 3])
def test_a_transition_that_is_answered_with_nothing_is_not_taken_for_done(number: int) -> None:
    promoted = 0
    for at in range(1, 20):
        scene = Scene(HttpFault.EMPTY, at)
        scene.registry._transition(NAME, 2, Stage.STAGING)
        try:
            scene.registry.set_stage(NAME, number, Stage.PRODUCTION)
        except ReconcilerError:
            continue
        promoted += 1
        assert scene.version(number).stage is Stage.PRODUCTION, f"exchange {at}"
    assert promoted


def test_a_version_that_one_list_leaves_out_is_not_gone() -> None:
    """A page that came an item short hid version 1, which no model names as its latest."""
    scene = Scene(HttpFault.FEWER, 2)
    found = scene.registry.read(NAME)
    assert found is not None
    assert [v.version for v in found.versions] == [1, 2, 3, 4]


def test_a_version_that_is_gone_costs_one_more_look_and_none_after_that() -> None:
    scene = Scene(HttpFault.CALM, 0)
    whole = (scene.registry.read(NAME), scene.made)[1]
    scene.registry.drop(NAME, 1)
    costs = []
    for _ in range(3):
        before = scene.made
        found = scene.registry.read(NAME)
        assert found is not None
        assert [v.version for v in found.versions] == [2, 3, 4]
        costs.append(scene.made - before)
    assert costs[0] > costs[1] == costs[2]
    assert costs[2] <= whole
