"""A run of a story, one round at a time, and how it ended."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

from reconciler.observed import TAG_REJECTED, RegisteredModel
from reconciler.plan.marks import rejection_from_tag
from reconciler.registry_roles import role
from tests.simulation.exhaustive.choices import Choice
from tests.simulation.exhaustive.reference import Story
from tests.simulation.exhaustive.snapshot import copied
from tests.simulation.faults import Fault, Kind
from tests.simulation.serving import Live
from tests.simulation.stories import calm
from tests.simulation.world import NAME, World

QUIET_PASSES = 4
STILL = 2
MEANWHILE = 2
CALM = Choice(Fault.CALM)
Ending = dict[str, object]
Faulted = dict[int, Choice]


def unheard(_: str, __: Kind) -> None:
    """Note nothing."""


def never() -> int:
    """Have nothing late."""
    raise AssertionError("a calm call is late")


def at_once() -> None:
    """Let nothing happen meanwhile."""


@dataclass(slots=True)
class Asked:
    """Answers each call of one round: some of them fail, by their number in the round."""

    faults: Faulted
    told: list[str]
    delay: int = 0
    calls: list[str] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)

    def __call__(self, what: str) -> Fault:
        """Return the fault of a call."""
        choice = self.faults.get(len(self.calls), CALM)
        self.calls.append(what)
        self.delay = choice.delay
        if choice is not CALM:
            self.told.append(f"{what}: {choice}")
        return choice.fault

    def called(self, _: str, kind: Kind) -> None:
        """Note of which kind the call is that is asked about next."""
        self.kinds.append(kind)


@dataclass(slots=True)
class Run:
    """A story that is under way; `still` is how many rounds in a row moved nothing.

    `slept`: a replica slept in the last round, while the other one went on. `told` names the faults so far.
    """

    story: Story
    world: World
    stage: int = 0
    still: int = 0
    begun: bool = False
    slept: bool = False
    told: list[str] = field(default_factory=list)

    @staticmethod
    def of(story: Story) -> Run:
        """Begin a story."""
        run = Run(story, story.begin())
        run._happen()
        return run

    def copied(self) -> Run:
        """Return the same run, to be gone on with apart."""
        return Run(self.story, copied(self.world), self.stage, self.still, self.begun, told=[*self.told])

    @property
    def resting(self) -> bool:
        """Return whether nothing moves, also at the next periodic look: a read that failed wakes nobody."""
        return self.still >= STILL

    @property
    def ended(self) -> bool:
        """Return whether everything happened and came to rest."""
        return self.resting and self.stage == len(self.story.stages)

    def round(self, faults: Faulted) -> Asked:
        """Let the process look once, the controllers do what they can, and time pass; hold the invariants."""
        asked, world = Asked(faults, self.told), self.world
        world.faults.choose, world.faults.on_call = asked, asked.called
        world.faults.delay, world.meanwhile = lambda: asked.delay, self._meanwhile
        if not self.begun:
            world.restart()
            self.begun = True
        self.slept = False
        moved = self._look() or self.slept
        world.faults.choose, world.faults.on_call = calm, unheard
        world.faults.delay, world.meanwhile = never, at_once
        moved = moved or world._wait((NAME,))
        self.still = 0 if moved or faults else self.still + 1
        self._happen()
        return asked

    def _meanwhile(self) -> None:
        """Let the other replica look, and the controllers do what they can, while one sleeps."""
        for _ in range(MEANWHILE):
            self._look()
        self.slept = True

    def _look(self) -> bool:
        world = self.world
        moved = bool(world.one_pass())
        world.truth.published()
        world.check()
        while world.tick():
            moved = True
            world.check()
        return world.training.tick(NAME) or moved

    def _happen(self) -> None:
        """Let happen what waited for this."""
        while self.stage < len(self.story.stages):
            stage = self.story.stages[self.stage]
            due = stage.when(self.world) if stage.when else self.resting or not self.stage
            if not due:
                return
            stage.do(self.world)
            self.stage, self.still = self.stage + 1, 0

    def stay_quiet(self) -> None:
        """Hold that nothing is done and written at rest."""
        world = self.world
        before = (world.registry.writes, world.serving.writes, len(world.ledger.records))
        for _ in range(QUIET_PASSES):
            acted = world.one_pass()
            assert not acted, f"I8: at rest, but {acted}"
            world.check()
            world.now += timedelta(minutes=5)
        after = (world.registry.writes, world.serving.writes, len(world.ledger.records))
        assert before == after, f"I8: written at rest: {before} {after}"


def ending(world: World) -> Ending:
    """Return what a story leaves behind, each part under its name. How long it took is no part of it."""
    status = world.status()
    told = None if status is None else (status.sync, status.health, status.phase, status.waits_for, status.blocked_by)
    stalled = status.conditions.stalled.message if status else ""
    return {
        "versions": _versions(world.registry.models.get(NAME)),
        "rejections": _rejections(world.registry.models.get(NAME)),
        "served": {key: _served(world, key, live) for key, live in world.serving.live.items()},
        "trainings": [(run.key, run.attempt, run.state) for run in world.training.all.get(NAME, ())],
        "started": list(world.training.started),
        "specs": {name: (id(model.spec), model.removed) for name, model in world.memory.specs.items()},
        "releases": {name: sorted(records) for name, records in world.memory.kept.items() if records},
        "claims": sorted(world.memory.claims),
        "told": told,
        "stalled": stalled,
    }


def _versions(model: RegisteredModel | None) -> object:
    if model is None:
        return None
    tags = {v.version: {key: value for key, value in v.tags.items() if key != TAG_REJECTED} for v in model.versions}
    roles = {v.version: (role(v), v.stage, v.aliases) for v in model.versions}
    return (roles, json.dumps(tags, sort_keys=True), dict(model.tags))


def _rejections(model: RegisteredModel | None) -> object:
    """Return what was rejected, under which wishes and why, but not when."""
    found = [
        rejection_from_tag(v.tags[TAG_REJECTED]) for v in (model.versions if model else ()) if TAG_REJECTED in v.tags
    ]
    return [(r.release, r.wanted, r.reason) for r in found if r]


def _served(world: World, key: tuple[str, str], live: Live) -> object:
    return (live.manifest, live.percent, world.serving.releases(key))
