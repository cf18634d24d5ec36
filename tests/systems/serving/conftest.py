"""A namespace of one's own, on the embedded API or on the cluster that --kubeconfig names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from reconciler.demo.kubeapi import KubeApi
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from tests.clusters import api_client, new_namespace
from tests.systems.serving.world import World

Serve = Callable[..., KServe]


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def kubeconfig(real_cluster: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the kubeconfig of the cluster that the suite runs on."""
    if real_cluster:
        yield real_cluster
        return
    with KubeApi.serve(None) as api:
        path = tmp_path_factory.mktemp("kube") / "kubeconfig"
        api.write_kubeconfig(path)
        yield path


@pytest.fixture
def world(kubeconfig: Path) -> Iterator[World]:
    """Make a namespace and take it away again, with everything in it."""
    api = api_client(kubeconfig)
    with new_namespace(api) as name:
        yield World(api, name)
    api.rest_client.pool_manager.clear()


@pytest.fixture
def serve(kubeconfig: Path, world: World) -> Iterator[Serve]:
    """Return a function that starts an adapter on the test's namespace and waits until it has listed."""
    with ExitStack() as running:

        def start(pace: Pace | None = None) -> KServe:
            connection = Connection(KubernetesSettings(kubeconfig=kubeconfig))
            running.callback(connection.close)
            options = Options(namespaces=(world.namespace,), pace=pace or Pace())
            kserve = running.enter_context(KServe(connection, options, utc_now, Random(1)))
            assert kserve.wait_synced(options.write_timeout), kserve.read_all()
            return kserve

        yield start


@pytest.fixture
def kserve(serve: Serve) -> KServe:
    """Return an adapter that has listed."""
    return serve()
