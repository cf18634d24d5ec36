"""What the tests here share: worlds around one MLflow server, and how a calm story goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.chaos.ending import check
from tests.chaos.forks import parent
from tests.chaos.judge import Judge, judging
from tests.chaos.service import Service, Start, execute, service
from tests.chaos.story import tell
from tests.chaos.world import Json, World, world
from tests.conftest import MlflowServer

# `make chaos` sets it to "short", which adds what is too long for every run of the tests. "long" goes through all: each
# gap in a story of its own, every system gone for a minute in each phase, many seeds, and each start from nothing.
CHAOS = os.environ.get("CHAOS", "")
LONG = CHAOS == "long"
collect_ignore = [] if CHAOS else ["test_git_away.py"]


@dataclass(frozen=True, slots=True)
class Rig:
    """A world, its reconciler, and the judge of where that may live on."""

    world: World
    service: Service
    judge: Judge


MakeRig = Callable[[], AbstractContextManager[Rig]]


@dataclass(frozen=True, slots=True)
class Calm:
    """How each chapter of the story ends when nothing goes wrong, and every gap that it passes."""

    endings: list[Json]
    gaps: tuple[str, ...]


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Return what starts the reconciler."""
    if LONG:
        yield execute
    else:
        with parent() as forking:
            yield forking.start


@pytest.fixture(scope="session")
def rigs(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory, start: Start) -> MakeRig:
    """Return a maker of worlds."""
    numbers = count(1)
    root: Path = tmp_path_factory.mktemp("chaos")

    @contextmanager
    def make() -> Iterator[Rig]:
        folder = root / f"world-{next(numbers)}"
        with world(folder, mlflow_server) as around, judging() as judge, service(around, judge, start) as running:
            yield Rig(around, running, judge)

    return make


@pytest.fixture(scope="session")
def calm(rigs: MakeRig) -> Calm:
    """Tell the story once without any fault."""
    with rigs() as rig:
        endings = tell(rig.service)
        assert rig.service.end() == 0
        check(rig.world, crashes=0)
        return Calm(endings, tuple(dict.fromkeys(rig.judge.seen)))
