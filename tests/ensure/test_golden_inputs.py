"""Golden inputs are sent as a whole, over real HTTP: no row is left out for being far down in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.analysis.finding import Verdict
from reconciler.analysis.verdict import judge
from reconciler.desired.checks import Check
from reconciler.ensure.scene import Scene
from reconciler.observed import Measurement
from reconciler.systems.probe import HttpProber
from tests.ensure.stage import in_canary, scene_of, wanting
from tests.ensure.test_analysis import analyse
from tests.systems.scripted_http import Answer, Asked, Hang, Reply, Script, ScriptedServer, scripted

ROWS, WRONG_FROM = 100, 20
GOLDEN = json.dumps({"inputs": [[n] for n in range(ROWS)], "expected": list(range(ROWS))}).encode()
CHECK: dict[str, Any] = {
    "name": "answers",
    "probe": {"inputs": {"file": "rows.json"}, "agreement": {"with": "expected", "min": 1.0}},
}


def row_of(asked: Asked) -> int:
    (value,) = asked.body["inputs"][0]["data"]
    return int(value)


def answer(value: int) -> Answer:
    return Answer({"outputs": [{"name": "o", "shape": [1, 1], "datatype": "INT64", "data": [value]}]})


def right(asked: Asked) -> Reply:
    return answer(row_of(asked))


def wrong_far_down(asked: Asked) -> Reply:
    return answer(row_of(asked) if row_of(asked) < WRONG_FROM else -1)


@dataclass(frozen=True, slots=True)
class Stage:
    """A canary whose sides are two real servers."""

    scene: Scene
    candidate: ScriptedServer
    stable: ScriptedServer

    def measure(self, prober: HttpProber, **probe: object) -> tuple[Measurement, Verdict]:
        check = {**CHECK, "probe": {**CHECK["probe"], **probe}}
        rollout = {"steps": [{"traffic": 10, "hold": "30s"}], "analysis": [check]}
        scene = wanting(self.scene, {"rows.json": GOLDEN}, rollout=rollout)
        measured = analyse(replace(scene, systems=replace(scene.systems, prober=prober)))
        return measured, judge(Check.model_validate(check), [measured]).verdict


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def staged(stack: ExitStack, candidate: Script, stable: Script = right) -> Stage:
    ours, theirs = stack.enter_context(scripted(candidate)), stack.enter_context(scripted(stable))
    scene = scene_of(in_canary())
    urls = {"latest": ours.url, "prev": theirs.url}
    traffic = tuple(replace(t, url=urls[t.tag or ""]) for t in scene.live().traffic)
    seen = replace(scene, facts=replace(scene.facts, live=replace(scene.live(), traffic=traffic)))
    return Stage(seen, ours, theirs)


@pytest.fixture
def prober() -> Iterator[HttpProber]:
    with HttpProber(timeout=timedelta(seconds=5), deadline=timedelta(seconds=30)) as opened:
        yield opened


def test_a_candidate_that_is_wrong_for_rows_far_down_fails(servers: ExitStack, prober: HttpProber) -> None:
    stage = staged(servers, wrong_far_down)
    measured, verdict = stage.measure(prober)
    assert (measured.error, measured.compared, measured.agreed) == (None, ROWS, WRONG_FROM)
    assert verdict is Verdict.FAIL
    for side in (stage.candidate, stage.stable):
        assert sorted(row_of(asked) for asked in side.asked) == list(range(ROWS))


def test_one_that_is_right_for_all_of_them_passes_whatever_more_is_sent(servers: ExitStack, prober: HttpProber) -> None:
    measured, verdict = staged(servers, right).measure(prober, requests=130)
    assert (measured.error, measured.compared, measured.agreed) == (None, 130, 130)
    assert verdict is Verdict.PASS


def lazy(asked: Asked) -> Reply:
    return replace(answer(row_of(asked)), delay=0.1)


def never_ending(asked: Asked) -> Reply:
    return Hang() if row_of(asked) else right(asked)


@pytest.mark.parametrize("slow", ["candidate", "stable"])
def test_rows_that_there_was_no_time_for_make_no_measurement(servers: ExitStack, slow: str) -> None:
    stage = staged(servers, lazy) if slow == "candidate" else staged(servers, right, lazy)
    with HttpProber(timeout=timedelta(seconds=5), deadline=timedelta(seconds=0.3)) as hurried:
        measured, verdict = stage.measure(hurried, maxErrorRate=0.9)
    assert "rows.json: only " in str(measured.error)
    assert f" of {ROWS} rows were sent" in str(measured.error)
    assert verdict is Verdict.INCONCLUSIVE


def test_a_candidate_that_fails_by_the_rows_that_were_sent_fails(servers: ExitStack) -> None:
    with HttpProber(timeout=timedelta(seconds=0.1), deadline=timedelta(seconds=0.5)) as hurried:
        measured, _ = staged(servers, never_ending).measure(hurried)
    assert measured.error is None
    assert 0 < measured.candidate.requests < ROWS
    assert measured.candidate.errors
