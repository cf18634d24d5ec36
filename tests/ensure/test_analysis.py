"""Measuring a canary: the same requests to both sides, or why it could not be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.desired.question import question_of
from reconciler.ensure.analysis import ensure_analysed, from_json
from reconciler.ensure.scene import Scene
from reconciler.errors import Refused
from reconciler.observed import Measurement, Release, Side
from reconciler.plan.action import Analyse
from reconciler.ports import ProbeResult, ProbeTarget
from tests.ensure.stage import Answers, in_canary, scene_of, wanting
from tests.simulation.registry import SimRegistry
from tests.simulation.world import World

STEPS = [{"traffic": 10, "hold": "30s"}]
ROWS = b'{"inputs": [[1], [2]], "expected": [10, 20]}'


def checks(**probe: object) -> dict[str, object]:
    check = {"name": "answers", "interval": "10s", "minSamples": 20}
    other = {"name": "other", "interval": "10s", "probe": {"inputs": {"from": "inputExample"}, "requests": 3}}
    inputs = {"inputs": {"from": "inputExample"}, "requests": 4}
    return {"rollout": {"steps": STEPS, "analysis": [other, {**check, "probe": {**inputs, **probe}}]}}


def answering(made: World, candidate: Sequence[Any], stable: Sequence[Any]) -> Answers:
    live = scene_of(made).live()
    latest = next(t for t in live.traffic if t.tag == "latest")
    prev = next(t for t in live.traffic if t.tag == "prev")
    return Answers({latest.revision: candidate, prev.revision: stable})


def analyse(scene: Scene, check: str = "answers") -> Measurement:
    release = scene.facts.rollout.release if scene.facts.rollout else Release(2, "x")
    measured = from_json(ensure_analysed(Analyse(release, 1, check), scene))
    assert measured is not None
    return measured


COMPARED: dict[str, tuple[dict[str, object], Sequence[Any], Sequence[Any], tuple[int, int]]] = {
    "without agreement nothing is compared": ({}, [1, 1, 1, 1], [2, 2, 2, 2], (0, 0)),
    "answers are compared with those of stable": (
        {"agreement": {"with": "stable", "min": 0.5}}, [1, 2, 3, None], [1, 2, 4, 5], (3, 2),
    ),
    "answers are compared with what is expected, in turn": (
        {"agreement": {"with": "expected", "min": 0.5}, "inputs": {"file": "rows.json"}},
        [10, 20, 10, 10], [0, 0, 0, 0], (4, 3),
    ),
    "an absolute tolerance counts beside it": (
        {"agreement": {"with": "stable", "min": 0.5, "tolerance": 0.1, "absoluteTolerance": 1.0}},
        [1.0, 1.0, 0.0], [1.05, 2.0, 1.5], (3, 2),
    ),
    "a tolerance counts": (
        {"agreement": {"with": "stable", "min": 0.5, "tolerance": 0.1}}, [1.0, 1.0], [1.05, 2.0], (2, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", COMPARED)
def test_what_is_compared(sentence: str) -> None:
    probe, candidate, stable, expected = COMPARED[sentence]
    made = in_canary()
    scene = wanting(scene_of(made, answering(made, candidate, stable)), {"rows.json": ROWS}, **checks(**probe))
    measured = analyse(scene)
    assert measured.error is None
    assert (measured.compared, measured.agreed) == expected
    assert (measured.shape_compared, measured.shape_agreed) == (0, 0)
    assert measured.check == "answers"
    assert measured.candidate.requests == 4


def test_the_schema_of_each_answer_is_held_against_stables() -> None:
    made = in_canary()
    answers = answering(made, [[1, "a"], [1, 2], {"p": True}, None], [[2.5, "b"], [1, "b"], {"p": False}, [1]])
    measured = analyse(wanting(scene_of(made, answers), None, **checks(schema="stable")))
    assert (measured.shape_compared, measured.shape_agreed) == (3, 2)
    assert (measured.compared, measured.agreed) == (0, 0)


def test_each_side_is_measured_by_its_own_tag_and_not_by_its_place() -> None:
    made = in_canary()
    scene = scene_of(made, answering(made, [None], [1]))
    turned = replace(scene.live(), traffic=tuple(reversed(scene.live().traffic)))
    measured = analyse(replace(scene, facts=replace(scene.facts, live=turned)))
    assert (measured.candidate.errors, measured.stable.errors) == (1, 0)


CANNOT: dict[str, tuple[dict[str, object], str]] = {
    "expected answers that the input example does not have": (
        checks(agreement={"with": "expected", "min": 0.5}), "needs `expected` in the probe file",
    ),
    "a file that Git does not have": (checks(inputs={"file": "gone.json"}), "gone.json: not a probe file"),
    "a spec without serving": ({**checks(), "serving": None}, "has no address tagged latest"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", CANNOT)
def test_a_check_that_cannot_be_made_says_why_and_counts_as_none(sentence: str) -> None:
    changes, words = CANNOT[sentence]
    measured = analyse(wanting(scene_of(in_canary()), {"rows.json": ROWS}, **changes))
    assert words in str(measured.error)
    assert measured.candidate == measured.stable == Side(0, 0)


@pytest.mark.parametrize(("tag", "gone"), [("latest", False), ("prev", False), ("latest", True), ("prev", True)])
def test_a_side_without_an_address_is_named(tag: str, *, gone: bool) -> None:
    scene = scene_of(in_canary())
    live = scene.live()
    kept = tuple(t for t in live.traffic if not (gone and t.tag == tag))
    live = replace(live, traffic=tuple(replace(t, url=None) if t.tag == tag else t for t in kept))
    measured = analyse(replace(scene, facts=replace(scene.facts, live=live)))
    assert f"has no address tagged {tag}" in str(measured.error)


@dataclass(slots=True)
class Exampleless(SimRegistry):
    """A registry whose models were logged without an input example."""

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        del name, version
        return None


def test_a_version_without_an_input_example_asks_for_one() -> None:
    made = in_canary()
    scene = scene_of(made)
    measured = analyse(replace(scene, systems=replace(scene.systems, registry=Exampleless(made.faults))))
    assert "has no input example" in str(measured.error)


def test_a_check_that_the_spec_does_not_have_any_more_is_refused() -> None:
    with pytest.raises(Refused, match="no check gone any more"):
        ensure_analysed(Analyse(Release(2, "x"), 1, "gone"), scene_of(in_canary()))


COUNTED: dict[str, tuple[dict[str, Any], bool]] = {
    "one of the same step": ({}, True),
    "one at the very begin of the step": ({"at": "since"}, True),
    "one before the step began": ({"at": "before"}, False),
    "one of another step": ({"step": 2}, False),
    "one of another release": ({"release": Release(2, "other")}, False),
    "one that asked something else": ({"question": "x"}, False),
    "one of an older release, which does not say what it asked": ({"question": ""}, False),
    "one of another check": ({"check": "other"}, False),
}


@pytest.mark.parametrize("sentence", COUNTED)
def test_the_verdict_on_the_ledger_counts_the_measurements_of_the_running_step(sentence: str) -> None:
    changes, counts = COUNTED[sentence]
    scene = scene_of(in_canary())
    rollout = scene.facts.rollout
    assert rollout is not None
    times = {"since": rollout.since, "before": rollout.since - timedelta(seconds=1), None: scene.now}
    at, side = times[changes.get("at")], Side(100, 0)
    made = Measurement("answers", rollout.release, 1, at, side, side, question=question(scene))
    other = replace(made, **{name: value for name, value in changes.items() if name != "at"})
    assert samples(remembering(scene, other)) == samples(remembering(scene)) + 100 * counts


def test_without_a_rollout_on_record_all_measurements_of_the_step_count() -> None:
    scene = scene_of(in_canary())
    assert scene.facts.rollout is not None
    release = scene.facts.rollout.release
    bare = replace(scene, facts=replace(scene.facts, rollout=None))
    side, at = Side(100, 0), scene.now - timedelta(days=1)
    made = Measurement("answers", release, 1, at, side, side, question=question(scene))
    assert samples(remembering(bare, made), release) == samples(remembering(bare), release) + 100


def question(scene: Scene) -> str:
    (check,) = scene.desired.spec.rollout.analysis
    return question_of(check, scene.desired.files)


@pytest.mark.parametrize("inputs", [{"from": "inputExample"}, {"file": "gone.json"}])
def test_a_measurement_says_what_was_asked_also_where_it_could_not_be_made(inputs: dict[str, str]) -> None:
    scene = wanting(scene_of(in_canary()), None, **checks(inputs=inputs))
    measured = analyse(scene)
    assert (measured.question, measured.error is None) == (
        question_of(scene.desired.spec.rollout.analysis[1], scene.desired.files), "from" in inputs
    )  # fmt: skip


@dataclass(slots=True)
class Slow:
    """A prober that takes seven seconds of the world's time for each side."""

    made: World

    def probe(
        self, target: ProbeTarget, rows: Sequence[Any], requests: int, before_each: Callable[[], None]
    ) -> ProbeResult:
        del target, rows, before_each
        self.made.now += timedelta(seconds=7)
        return ProbeResult(Side(requests, 0, (5.0,) * requests), (1,) * requests)


def test_a_measurement_says_when_it_was_over() -> None:
    made = in_canary()
    begun = made.now
    measured = analyse(scene_of(made, Slow(made)))
    assert measured.over_at == begun + timedelta(seconds=14)


def samples(scene: Scene, release: Release | None = None) -> int:
    about = scene.facts.rollout.release if scene.facts.rollout else release
    assert about is not None
    counted: int = ensure_analysed(Analyse(about, 1, "answers"), scene)["verdict"]["samples"]
    return counted


def remembering(scene: Scene, *made: Measurement) -> Scene:
    memory = replace(scene.observed.memory, measurements=made)
    return replace(scene, facts=replace(scene.facts, observed=replace(scene.observed, memory=memory)))
