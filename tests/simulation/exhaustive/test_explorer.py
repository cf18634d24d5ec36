"""The explorer itself: going on from a copy is going on, sparing runs hides nothing, and what is broken is found."""

from __future__ import annotations

import pytest

from reconciler.observed import RunState, TrainingRequest, TrainingRun
from tests.simulation.exhaustive.explore import Explorer, digest_of
from tests.simulation.exhaustive.reference import STORIES, Story
from tests.simulation.exhaustive.run import Run, ending
from tests.simulation.systems import SimTraining
from tests.simulation.world import World

NAMED = {story.name: story for story in STORIES}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_run_that_goes_on_from_a_copy_is_the_run_itself(story: Story) -> None:
    run = Run.of(story)
    apart = run.copied()
    while not run.ended:
        asked, again = run.round({}), apart.round({})
        assert asked.calls == again.calls
        assert digest_of(run) == digest_of(apart)
        apart = apart.copied()
    assert apart.ended
    assert ending(apart.world) == ending(run.world)
    assert apart.world.faults.log == run.world.faults.log


def test_going_on_with_a_run_leaves_its_copy_alone() -> None:
    run = Run.of(NAMED["edited by hand"])
    for _ in range(4):
        run.round({})
    kept, before = run.copied(), digest_of(run)
    while not run.ended:
        run.round({})
    assert digest_of(kept) == before != digest_of(run)


@pytest.mark.parametrize("name", ["removed and archived", "training fails once"])
def test_runs_that_are_spared_end_as_they_do_when_they_are_gone_on_with(name: str) -> None:
    spared, whole = Explorer(NAMED[name]).singles(), Explorer(NAMED[name], prune=False).singles()
    assert (spared.runs, spared.equal, spared.differences) == (whole.runs, whole.equal, whole.differences)
    assert spared.asked < whole.asked
    assert not whole.failures


class Forgetful(SimTraining):
    """Starts a run for every request, as a backend without names does."""

    __slots__ = ()

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        return self.faults.call(f"training.start {request.model}", lambda: self._again(request))

    def _again(self, request: TrainingRequest) -> TrainingRun:
        run_id = f"{request.key}-{len(self.started)}"
        run = TrainingRun(request.key, request.attempt, run_id, RunState.RUNNING, self.clock())
        self.all.setdefault(request.model, []).append(run)
        self.started.append(f"{request.model}/{request.key}-{request.attempt}")
        return run


def test_a_backend_that_starts_twice_what_is_asked_for_twice_is_found() -> None:
    class Broken(Story):
        def begin(self) -> World:
            world = Story.begin(self)
            world.training.__class__ = Forgetful
            return world

    story = NAMED["first deployment"]
    report = Explorer(Broken(story.name, story.stages)).singles()
    assert any("started twice" in failure.why for failure in report.failures)


def test_a_story_that_ends_otherwise_is_told_with_its_faults_and_what_happened() -> None:
    explorer = Explorer(NAMED["removed and deleted"])
    explorer.end = {**explorer.end, "claims": ["another"]}
    explorer.known.clear()
    report = explorer.singles()
    assert report.failures
    assert "ended otherwise: claims: ['iris/" in str(report.failures[0])
    assert report.equal == 0


def test_a_field_that_nobody_named_keeps_states_apart() -> None:
    run = Run.of(NAMED["first deployment"])
    known = digest_of(run)
    run.world.anything = 1  # type: ignore[attr-defined]  # a field that a later world may have
    assert digest_of(run) != known
