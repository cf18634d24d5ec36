"""The API server goes away and comes back; Knative comes and goes. Needs an API server that may be stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from kubernetes import client

from reconciler.demo.kubeapi import KubeApi
from reconciler.errors import Transient
from reconciler.observed import InferenceService, Known, Unknown
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.api import DEPLOYMENTS, HTTP_ROUTES, INFERENCE_SERVICES, REVISIONS
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from tests.conftest import free_port
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.world import World, eventually, manifest, release

FAST = Pace(backoff_min=0.02, backoff_max=0.1, rediscover=0.05, watch_seconds=1.0, doubt=0.05)
KNATIVE = "revisions.serving.knative.dev"
WATCHED = (INFERENCE_SERVICES, REVISIONS, DEPLOYMENTS, HTTP_ROUTES)


@dataclass(slots=True)
class Embedded:
    """An embedded API on a port of its own, that can be stopped and started again with its state."""

    folder: Path
    port: int
    running: ExitStack

    def start(self) -> None:
        api = self.running.enter_context(KubeApi.serve(self.folder, self.port))
        api.write_kubeconfig(self.folder / "kubeconfig")

    def stop(self) -> None:
        self.running.pop_all().close()

    def world(self) -> World:
        configuration = client.Configuration(host=f"http://127.0.0.1:{self.port}")
        configuration.retries = False
        return World(client.ApiClient(configuration), "default")


@pytest.fixture
def embedded(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Embedded]:
    if request.config.getoption("--kubeconfig"):
        pytest.skip("stops and starts the API server, which a real cluster would not like")
    with ExitStack() as running:
        found = Embedded(tmp_path, free_port(), running)
        found.start()
        yield found


@pytest.fixture
def kserve(embedded: Embedded) -> Iterator[KServe]:
    connection = Connection(KubernetesSettings(kubeconfig=embedded.folder / "kubeconfig"))
    options = Options(stale_after=timedelta(milliseconds=200), write_timeout=timedelta(seconds=5), pace=FAST)
    with KServe(connection, options, utc_now, Random(1)) as kserve:
        assert kserve.wait_synced(timedelta(seconds=10))
        yield kserve
    connection.close()


def seen(kserve: KServe, name: str = "iris") -> InferenceService | None:
    answer = kserve.read_all()
    return answer.value.get(("default", name)) if isinstance(answer, Known) else None


def test_a_stopped_api_server_is_unknown_and_then_known_again(embedded: Embedded, kserve: KServe) -> None:
    kserve.apply(manifest("default", "iris"))

    embedded.stop()

    unknown = eventually(lambda: answer if isinstance(answer := kserve.read_all(), Unknown) else None)
    # Whichever of the watches noticed first.
    assert unknown.why.split(":")[0] in {resource.qualified for resource in WATCHED}
    assert unknown.since is not None
    eventually(lambda: "Connection refused" in str(kserve.read_all()))
    with pytest.raises(Transient):
        kserve.apply(manifest("default", "iris", version=2))

    embedded.start()

    assert eventually(lambda: seen(kserve)).release == release("default", 1)
    kserve.apply(manifest("default", "iris", version=2))
    assert eventually(lambda: seen(kserve)).release == release("default", 2)


def test_what_happened_while_nobody_watched_is_seen_afterwards(embedded: Embedded, kserve: KServe) -> None:
    kserve.apply(manifest("default", "iris"))
    kserve.apply(manifest("default", "wine"))
    embedded.stop()
    eventually(lambda: isinstance(kserve.read_all(), Unknown))
    changed: list[tuple[str, str]] = []
    kserve.on_change(lambda namespace, name: changed.append((namespace, name)))

    embedded.start()
    embedded.world().delete("wine")
    embedded.world().edit("iris", {"spec": {"predictor": {"minReplicas": 4}}}, "kubectl-edit")

    eventually(lambda: sorted(set(changed)) == [("default", "iris"), ("default", "wine")])
    assert eventually(lambda: seen(kserve)).generation == 2
    assert seen(kserve, "wine") is None


def revisions(kserve: KServe) -> dict[str, str] | None:
    found = seen(kserve)
    if found is None or found.revisions is None:
        return None
    return {name: str(one) for name, one in found.revisions.items()}


def test_knative_may_be_taken_away_and_installed_later(embedded: Embedded, kserve: KServe) -> None:
    kserve.apply(manifest("default", "iris"))
    assert revisions(kserve) == {}
    api = embedded.world().api
    definitions = client.ApiextensionsV1Api(api)
    definition = api.sanitize_for_serialization(definitions.read_custom_resource_definition(KNATIVE))

    definitions.delete_custom_resource_definition(KNATIVE)
    assert eventually(lambda: (found := seen(kserve)) and found.revisions is None)

    definitions.create_custom_resource_definition({**definition, "metadata": {"name": KNATIVE}, "status": None})
    assert eventually(lambda: revisions(kserve) == {})
