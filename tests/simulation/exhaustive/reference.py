"""The stories that every fault is tried on, as data: a run can be taken up again anywhere in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.observed import RunState
from tests.simulation.stories import calm, good
from tests.simulation.systems import Metrics
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME, World

Event = Callable[[World], None]
Holds = Callable[[World], bool]


@dataclass(frozen=True, slots=True)
class Stage:
    """Something that happens once `when` holds; None: once everything is at rest."""

    do: Event
    when: Holds | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """What happens, one stage after the other.

    `pairs`: two faults are tried as well. `server_ids`: the training backend makes a run whenever it is asked, as KFP.
    """

    name: str
    stages: tuple[Stage, ...]
    pairs: bool = False
    server_ids: bool = False
    outcomes: Callable[[World], Metrics | None] = lambda _: good()

    def begin(self) -> World:
        """Return a world in which nothing has happened yet."""
        world = World(calm, good)
        world.training.outcomes = lambda: self.outcomes(world)
        world.training.server_ids = self.server_ids
        # Long enough for the lease to go to the other replica, short enough for requests to be under way meanwhile.
        world.pause_seconds = lambda: 1
        return world


def commit(**wish: object) -> Event:
    """Commit a spec."""
    spec = spec_of(Wish(**wish))  # type: ignore[arg-type]  # fields of Wish
    return lambda world: world.source.write(NAME, spec)


def remove(world: World) -> None:
    """Commit a removal."""
    world.source.write(NAME, None)


def edit(world: World) -> None:
    """Remove a field of the InferenceService by hand."""
    world.serving.edit_by_hand(KEY, "minReplicas", None)


def second_is_bad(world: World) -> None:
    """Let version 2 answer its callers with errors."""
    world.bad.add(2)
    commit(parameters=2)(world)


def second_is_bad_in_standard_mode(world: World) -> None:
    """Let version 2 answer its callers with errors."""
    world.bad.add(2)
    commit(mode="Standard", parameters=2)(world)


def second_hangs(world: World) -> None:
    """Keep version 2 from becoming ready."""
    world.serving.never_ready.add(2)
    commit(parameters=2)(world)


def in_canary(world: World) -> bool:
    """Return whether version 2 gets its first share of the traffic."""
    return KEY in world.serving.live and world.serving.shares(KEY).get(2) == 10


def fails_once(world: World) -> Metrics | None:
    """Let the first training fail."""
    runs = world.training.all.get(NAME, ())
    return good() if any(run.state is RunState.FAILED for run in runs) else None


def told(name: str, *events: Event, pairs: bool = False) -> Story:
    """Return a story in which each event waits until the one before has come to rest."""
    return Story(name, tuple(Stage(event) for event in events), pairs=pairs)


STORIES: tuple[Story, ...] = (
    told("first deployment", commit(), pairs=True),
    told("change canaried and promoted", commit(), commit(parameters=2), pairs=True),
    told("bad candidate rolled back", commit(), second_is_bad, pairs=True),
    told("candidate never ready", commit(), second_hangs),
    told("resources changed", commit(), commit(replicas=2)),
    told("bad resources rolled back", commit(), commit(replicas=3)),
    Story("training fails once", (Stage(commit()),), outcomes=fails_once),
    Story("training by KFP", (Stage(commit()), Stage(commit(parameters=2))), server_ids=True),
    Story("training by KFP fails once", (Stage(commit()),), server_ids=True, outcomes=fails_once),
    told("pinned to the version before", commit(), commit(parameters=2), commit(parameters=2, version="1")),
    told("removed and archived", commit(), remove, pairs=True),
    told("removed and deleted", commit(on_removal="delete"), remove),
    told("moved to another namespace", commit(), commit(namespace="other")),
    Story(
        "second commit in a canary",
        (Stage(commit()), Stage(commit(parameters=2)), Stage(commit(parameters=3), when=in_canary)),
    ),
    told("edited by hand", commit(), edit),
    told(
        "approval given",
        commit(approval="required"),
        commit(approval="required", version="1"),
        commit(approval="required", parameters=2),
        commit(approval="required", parameters=2, version="2"),
    ),
    told("change in Standard mode", commit(mode="Standard"), commit(mode="Standard", parameters=2)),
    told("bad candidate in Standard mode", commit(mode="Standard"), second_is_bad_in_standard_mode),
    told("resources in Standard mode", commit(mode="Standard"), commit(mode="Standard", replicas=2)),
)
