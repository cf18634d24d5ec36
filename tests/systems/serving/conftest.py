"""A namespace of one's own, on the embedded API or on the cluster that --kubeconfig names."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from kubernetes import client, config

from reconciler.demo.kubeapi import KubeApi
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from tests.systems.serving.world import GROUP, PLURAL, VERSION, World

Serve = Callable[..., KServe]


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the kubeconfig of the cluster that the suite runs on."""
    if given := request.config.getoption("--kubeconfig"):
        yield Path(given)
        return
    with KubeApi.serve(None) as api:
        path = tmp_path_factory.mktemp("kube") / "kubeconfig"
        api.write_kubeconfig(path)
        yield path


@pytest.fixture
def world(kubeconfig: Path) -> Iterator[World]:
    """Make a namespace and take it away again, with everything in it."""
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    configuration.retries = False
    api = client.ApiClient(configuration)
    name = f"reconciler-test-{secrets.token_hex(4)}"
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": name, "labels": {"reconciler.dev/test": "true"}}}, _request_timeout=30)
    try:
        yield World(api, name)
    finally:
        _release(api, name)
        core.delete_namespace(name, _request_timeout=30)
        api.rest_client.pool_manager.clear()


def _release(api: client.ApiClient, namespace: str) -> None:
    """Delete what the test left, also where a finalizer holds it."""
    objects = client.CustomObjectsApi(api)
    for item in objects.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL)["items"]:
        name = item["metadata"]["name"]
        if item["metadata"].get("finalizers"):
            objects.patch_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, name, {"metadata": {"finalizers": None}}
            )
        try:
            objects.delete_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
        except client.ApiException as error:
            if error.status != 404:
                raise


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
