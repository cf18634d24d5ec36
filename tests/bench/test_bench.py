"""Every benchmark runs, and makes the calls that it should: how many, never how fast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench import parsing
from tests.bench.__main__ import BENCHES
from tests.bench.rig import Counts, rig
from tests.bench.world import Mlflow, World, running_world
from tests.conftest import MlflowServer

MODELS = 20


@pytest.fixture(scope="module")
def world(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = mlflow_server.artifacts.parent / "mlflow.db"
    folder = tmp_path_factory.mktemp("bench") / "world"
    with running_world(folder, MODELS, Mlflow(mlflow_server.url, database)) as world:
        world.remember_releases("counted")
        yield world


def test_a_start_reads_each_system_once_and_lists_kubernetes_twice_but_asks_about_no_model(world: World) -> None:
    with rig(world.settings("counted")) as running:
        running.start()
        running.look_at_all()
        counts = running.counts

    assert counts.registry_requests == 2
    assert (counts.kubernetes_lists, counts.kubernetes_other) == (8, 0), "four kinds; a second list confirms"
    assert counts.blobs_parsed == MODELS + 1, "each model's document, and the pipeline beside them"


def test_a_steady_pass_reads_the_registry_twice_and_nothing_else(world: World) -> None:
    with rig(world.settings("counted")) as running:
        running.start()
        running.look_at_all()
        before = running.counts

        running.reconciler.refresh_registry()
        running.look_at_all()

        assert running.counts.since(before) == Counts(registry_requests=2)


def test_a_changed_blob_is_the_only_one_that_is_parsed(world: World) -> None:
    *_, planned = parsing.run(world, 1)
    assert planned.calls == "1 blob parsed, 2 database writes"


EXPECTED = {
    "planning": {""},
    "steady": {"", "registry 2 bulk reads (1+1 pages), Kubernetes 0, ledger writes 0, database reads 0"},
    "cold": {
        "registry 2 requests, Kubernetes 8 list pages and 0 other, 21 blobs, database reads 7, writes 3",
        "registry 2 requests, Kubernetes 8 list pages and 0 other, 21 blobs, database reads 7, writes 0",
    },
    "quiet": {"Kubernetes 0"},
    "events": {""},
    "reaction": {""},  # last: it leaves rollouts under way
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_benchmark_makes_the_calls_that_it_should(name: str, world: World) -> None:
    rows = list(BENCHES[name](world, 1))
    assert {row.models for row in rows} == {MODELS}
    assert {row.calls for row in rows} == EXPECTED[name]
