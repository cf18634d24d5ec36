"""The unfriendly cluster, over real HTTP with the real adapter: nothing wrong is done, nothing lost, it recovers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kubernetes import client

from reconciler.demo.kubeapi import KubeApi
from reconciler.demo.kubeapi.faults import WRITES, Fault, Faults
from reconciler.demo.kubeapi.server import Options as ServerOptions
from reconciler.errors import Conflict, ReconcilerError, Transient, UnknownOutcome
from reconciler.observed import InferenceService, Known
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.api import INFERENCE_SERVICES
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from tests.conftest import free_port
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.scripted import write_kubeconfig
from tests.systems.serving.world import World, eventually, manifest, release

FAST = Pace(backoff_min=0.02, backoff_max=0.1, rediscover=0.05, watch_seconds=2.0)
HUNG = 3.0


@dataclass(slots=True)
class Cluster:
    """An API server of one's own that fails on demand, and an adapter on it."""

    folder: Path
    port: int
    faults: Faults = field(default_factory=Faults)
    running: ExitStack = field(default_factory=ExitStack)
    api: KubeApi | None = None

    def start(self) -> None:
        options = ServerOptions(token="first-token", bookmark_seconds=0.2, faults=self.faults)
        self.api = self.running.enter_context(KubeApi.serve(self.folder, self.port, options))

    def stop(self) -> None:
        self.running.pop_all().close()

    def cut_watches(self) -> None:
        assert self.api is not None
        self.faults.cuts += 1
        self.api.store.wake()

    def world(self) -> World:
        configuration = client.Configuration(host=f"http://127.0.0.1:{self.port}")
        configuration.retries = False
        configuration.api_key["authorization"] = f"Bearer {self.faults.token or 'first-token'}"
        return World(client.ApiClient(configuration), "default")


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.config.getoption("--kubeconfig"):
        pytest.skip("needs an API server that fails on demand")
    made = Cluster(tmp_path, free_port())
    with made.running:
        made.start()
        write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{made.port}", "first-token")
        yield made
        made.stop()


@pytest.fixture
def kserve(cluster: Cluster) -> Iterator[KServe]:
    settings = KubernetesSettings(kubeconfig=cluster.folder / "kubeconfig", timeout=timedelta(seconds=1))
    connection = Connection(settings, reload_seconds=0.0)
    options = Options(stale_after=timedelta(seconds=1), write_timeout=timedelta(seconds=5), pace=FAST)
    with KServe(connection, options, utc_now, Random(1)) as kserve:
        assert kserve.wait_synced(timedelta(seconds=10))
        kserve.apply(manifest("default", "iris"))
        kserve.apply(manifest("default", "iris", canary=0))
        yield kserve
    connection.close()


def shown(kserve: KServe) -> InferenceService | None:
    answer = kserve.read_all()
    return answer.value.get(("default", "iris")) if isinstance(answer, Known) else None


def persist(do: Callable[[], None]) -> list[ReconcilerError]:
    """Try as the loop does: again after each failure, for as long as it takes; return the failures."""
    failures: list[ReconcilerError] = []
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            do()
        except (Transient, UnknownOutcome, Conflict) as error:
            failures.append(error)
            time.sleep(min(getattr(error, "retry_after", None) or 0.02, 1.0))
        else:
            return failures
    raise AssertionError(f"it never recovered: {failures[-3:]}")


REFUSALS: dict[str, tuple[Fault, type[ReconcilerError]]] = {
    "a conflict": (Fault(WRITES, 409, "Conflict"), Conflict),
    "gone": (Fault(WRITES, 410, "Expired"), Transient),
    "too many requests": (Fault(WRITES, 429, "TooManyRequests", retry_after=1), Transient),
    "an internal error": (Fault(WRITES, 500), UnknownOutcome),
    "an internal error after it was done": (Fault(WRITES, 500, late=True), UnknownOutcome),
    "not available": (Fault(WRITES, 503, "ServiceUnavailable"), UnknownOutcome),
    "not available after it was done": (Fault(WRITES, 503, "ServiceUnavailable", late=True), UnknownOutcome),
    "no answer": (Fault(WRITES, 500, hang=HUNG), UnknownOutcome),
    "no answer, though it was done": (Fault(WRITES, 500, hang=HUNG, late=True), UnknownOutcome),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_write_that_fails_is_known_for_what_it_is_and_is_done_once_in_the_end(
    cluster: Cluster, kserve: KServe, what: str
) -> None:
    fault, kind = REFUSALS[what]
    before = cluster.world().generation("iris")
    cluster.faults.then(fault)

    failures = persist(lambda: kserve.apply(manifest("default", "iris", version=2, canary=0)))

    assert isinstance(failures[0], kind)
    assert cluster.faults.left == 0
    live = cluster.world().live("iris")
    assert live["metadata"]["generation"] == before + 1
    assert live["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/2"
    assert eventually(lambda: shown(kserve)).release == release("default", 2)


@pytest.mark.parametrize("what", ["gone", "too many requests", "not available", "no answer"])
def test_a_delete_that_fails_is_done_in_the_end_and_only_to_that_object(
    cluster: Cluster, kserve: KServe, what: str
) -> None:
    cluster.faults.then(REFUSALS[what][0])
    uid = eventually(lambda: shown(kserve)).uid

    assert persist(lambda: kserve.delete("default", "iris", uid))

    assert eventually(lambda: shown(kserve) is None)


def test_too_many_requests_is_told_with_the_pause_that_was_asked_for(cluster: Cluster, kserve: KServe) -> None:
    cluster.faults.then(REFUSALS["too many requests"][0])
    with pytest.raises(Transient) as refused:
        kserve.apply(manifest("default", "iris", version=2, canary=0))
    assert refused.value.retry_after == 1.0


LISTS: dict[str, tuple[Fault, ...]] = {
    "expired": (Fault(("list",), 410, "Expired"),),
    "too many": (Fault(("list",), 429, "TooManyRequests", retry_after=1),),
    "errors": (Fault(("list",), 500), Fault(("list",), 503, "ServiceUnavailable")),
    "expired watches": (Fault(("watch",), 410, "Expired"), Fault(("watch",), 410, "Expired")),
    "no answer": (Fault(("list", "watch"), 500, hang=HUNG),),
}


@pytest.mark.parametrize("what", LISTS)
def test_what_happens_while_lists_and_watches_fail_is_seen_afterwards(
    cluster: Cluster, kserve: KServe, what: str
) -> None:
    cluster.faults.then(*LISTS[what])
    cluster.cut_watches()
    cluster.world().edit("iris", {"spec": {"predictor": {"maxReplicas": 4}}}, "kubectl-edit")
    wanted = cluster.world().generation("iris")

    assert eventually(lambda: (found := shown(kserve)) is not None and found.generation == wanted)


def test_a_cut_watch_loses_nothing(cluster: Cluster, kserve: KServe) -> None:
    for number in range(3):
        cluster.cut_watches()
        cluster.world().edit("iris", {"spec": {"predictor": {"maxReplicas": 4 + number}}}, "kubectl-edit")
    wanted = cluster.world().generation("iris")
    assert eventually(lambda: (found := shown(kserve)) is not None and found.generation == wanted)


def test_a_stale_list_takes_nothing_away_that_is_there(cluster: Cluster, kserve: KServe) -> None:
    # The first list was answered before there was anything.
    removed: list[Any] = []
    kserve.on_change(lambda *_: removed.append(shown(kserve)))
    services = INFERENCE_SERVICES.plural
    cluster.faults.then(
        Fault(("watch",), 410, "Expired", plural=services), Fault(("list",), stale=True, plural=services)
    )
    cluster.cut_watches()

    kserve_is_back = lambda: cluster.faults.left == 0 and shown(kserve) is not None  # noqa: E731  a condition
    assert eventually(kserve_is_back)
    assert None not in removed
    kserve.apply(manifest("default", "iris", version=2, canary=0))


def test_an_expired_token_is_read_anew_from_its_file(cluster: Cluster, kserve: KServe) -> None:
    cluster.faults.token = "second-token"
    with pytest.raises(Transient, match="does not know us"):
        kserve.apply(manifest("default", "iris", version=2, canary=0))
    write_kubeconfig(cluster.folder / "kubeconfig", f"http://127.0.0.1:{cluster.port}", "second-token")

    persist(lambda: kserve.apply(manifest("default", "iris", version=2, canary=0)))
    assert eventually(lambda: shown(kserve)).release == release("default", 2)


def test_a_server_that_restarts_with_its_storage_is_followed_on(cluster: Cluster, kserve: KServe) -> None:
    cluster.stop()
    with pytest.raises(ReconcilerError):
        kserve.apply(manifest("default", "iris", version=2, canary=0))
    cluster.start()

    persist(lambda: kserve.apply(manifest("default", "iris", version=2, canary=0)))
    assert cluster.world().live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/2"
