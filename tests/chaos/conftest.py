"""What the tests here share: worlds around one MLflow server, and how a calm story ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.chaos.ending import check, ending
from tests.chaos.judge import Judge, judging
from tests.chaos.service import Service, service
from tests.chaos.story import tell
from tests.chaos.world import Json, World, world
from tests.conftest import MlflowServer

# These starve and kill real processes for minutes, which wants a machine for itself: `make chaos`, or CHAOS=long for
# all gaps, all outages a minute long, many seeds.
CHAOS = os.environ.get("CHAOS", "")
LONG = CHAOS == "long"
collect_ignore_glob = [] if CHAOS else ["test_*.py"]


@dataclass(frozen=True, slots=True)
class Rig:
    """A world, its reconciler, and the judge of where that may live on."""

    world: World
    service: Service
    judge: Judge


MakeRig = Callable[[], AbstractContextManager[Rig]]


@dataclass(frozen=True, slots=True)
class Calm:
    """How the story ends when nothing goes wrong, and every gap that it passes."""

    ending: Json
    gaps: tuple[str, ...]


@pytest.fixture(scope="session")
def rigs(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> MakeRig:
    """Return a maker of worlds."""
    numbers = count(1)
    root: Path = tmp_path_factory.mktemp("chaos")

    @contextmanager
    def make() -> Iterator[Rig]:
        folder = root / f"world-{next(numbers)}"
        with world(folder, mlflow_server) as around, judging() as judge, service(around, judge) as running:
            yield Rig(around, running, judge)

    return make


@pytest.fixture(scope="session")
def calm(rigs: MakeRig) -> Calm:
    """Tell the story once without any fault."""
    with rigs() as rig:
        tell(rig.service)
        assert rig.service.end() == 0
        check(rig.world, crashes=0)
        return Calm(ending(rig.world), tuple(dict.fromkeys(rig.judge.seen)))
