"""From Git to the desired state: everything at first, one blob after a change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

from reconciler.desired.state import DesiredState
from reconciler.plan.action import Train
from reconciler.plan.planner import Rules, decide
from reconciler.ports import SourceStatus
from reconciler.reconcile import ModelReconciler
from reconciler.source.git import GitSource
from tests.bench import raw
from tests.bench.fleet import Repository, name_of
from tests.bench.report import Row, seconds
from tests.bench.rig import rig
from tests.bench.world import World

NAME = "parsing"
LIMIT_SECONDS = 0.1


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure a cold read of all documents, then commits that change one of them."""
    # The other benchmarks need the fleet as it is.
    repository = Repository(world.folder / "parsing.git")
    shutil.copytree(world.repository.path, repository.path)
    mirror = raw.clone(repository.path, world.folder / "parsing-raw.git")
    base = median(seconds(lambda: raw.load_documents(mirror)) for _ in range(min(rounds, 3)))
    world.remember_releases("parsing")
    settings = world.settings("parsing")
    git = settings.git.model_copy(update={"url": str(repository.path)})
    with rig(settings.model_copy(update={"git": git})) as running:
        running.source.fetch()
        cold = seconds(running.source.desired)
        parsed = running.counts.blobs_parsed
        what = "pygit2 walk + libyaml load"
        documents = "all documents: read, parse, validate"
        yield Row(NAME, world.size, documents, cold, "s", base, what, calls=f"{parsed} blobs parsed")
        running.start()
        running.look_at_all()
        states, plans = [], []
        blobs = writes = 0
        for number in range(rounds):
            changed = number * 7 % world.size
            repository.change(changed, 1_000_000 + number)
            running.reconciler.source = Fetched(running.source, running.source.fetch())
            before = running.counts
            states.append(seconds(running.source.desired))
            plans.append(states[-1] + seconds(partial(_plan, running.reconciler, name_of(changed))))
            counts = running.counts.since(before)
            blobs, writes = max(blobs, counts.blobs_parsed), max(writes, counts.database_writes)
        calls = f"{blobs} blob parsed, {writes} database writes"
        yield Row(NAME, world.size, "one changed blob: fetched to desired state", median(states), "s")
        planned = "one changed blob: fetched to its plan"
        yield Row(NAME, world.size, planned, median(plans), "s", limit=LIMIT_SECONDS, calls=calls)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source that has been fetched: what that takes depends on the network, and is no part of the figure."""

    source: GitSource
    status: SourceStatus

    def fetch(self) -> SourceStatus:
        return self.status

    def desired(self) -> DesiredState | None:
        return self.source.desired()


def _plan(reconciler: ModelReconciler, name: str) -> None:
    """Take over the commit and decide about the model that it changed."""
    assert reconciler.refresh_source() == {name}
    state = reconciler.source.desired()
    assert state is not None
    desired = state.models[name]
    now = reconciler.systems.clock()
    decision = decide(desired, reconciler.observer.observe(desired, now), Rules(state.policy), now)
    assert isinstance(decision.action, Train), decision
