"""KServe for the contract: the simulation, the adapter over it, the stand-in over HTTP, and a real cluster."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from kubernetes import client

from reconciler.demo.kserve import standin
from reconciler.demo.kserve.cluster import Cluster
from reconciler.demo.kserve.controller import Controller
from reconciler.demo.kserve.knative import revision_name
from reconciler.demo.kserve.kubelet import Kubelet
from reconciler.demo.kserve.parts import Parts
from reconciler.demo.kserve.podobjects import PodTemplate
from reconciler.demo.kserve.pods import Absent, Broken, Order, Pods, PodState, RevisionId, Running
from reconciler.demo.kserve.router import Entry, Router
from reconciler.demo.kserve.scaling import Scaler
from reconciler.demo.kserve.standard_mode import StandardOptions
from reconciler.demo.kserve.webhook import register
from reconciler.demo.kserve.workqueue import WorkQueue
from reconciler.demo.kubeapi import KubeApi
from reconciler.observed import InferenceService, Known
from reconciler.ports import Serving
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.api import INFERENCE_SERVICES
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from tests.clusters import api_client, new_namespace
from tests.simulation.faults import Faults
from tests.simulation.serving import SimServing
from tests.simulation.stories import calm
from tests.simulation.wire.kubernetes import MERGE
from tests.simulation.wire.serving import WireServing

Json = dict[str, Any]
Holds = Callable[[InferenceService], bool]
PERSON = "kubectl-edit"
PATIENCE_SECONDS = 90.0
_PATH = (INFERENCE_SERVICES.group, INFERENCE_SERVICES.version)
_BROKEN = Broken("the model does not load", 1, float("inf"))
_CRASHED = Broken("it was killed", 137, float("inf"))


class Bench(Protocol):
    """One KServe; a test owns the namespace and the name `iris` in it."""

    namespace: str

    @property
    def serving(self) -> Serving: ...

    def until(self, holds: Holds) -> InferenceService:
        """Let the controllers work until something holds of the service as it is read."""

    def rest(self) -> None:
        """Let the controllers do what they still have to do, and the watch show it."""

    def hang(self, *versions: int) -> None:
        """Keep these versions, and no others, from becoming ready."""

    def crash(self, *numbers: int) -> None:
        """Let these revisions, and no others, be without pods."""

    def edit(self, predictor: Json) -> None:
        """Change fields of the predictor as a person does; None removes one."""

    def label(self, labels: Json) -> None:
        """Change labels of the object as a person does."""

    def delete_by_hand(self) -> None:
        """Delete the object as a person does."""

    def create_by_hand(self, body: Json) -> None:
        """Create the object as a person does."""


def live(bench: Bench) -> InferenceService | None:
    """Return the service as it is read."""
    answer = bench.serving.read_all()
    assert isinstance(answer, Known), answer
    return answer.value.get((bench.namespace, "iris"))


class Simulated:
    """The simulation, or the adapter over it: whoever waits moves the controllers himself."""

    namespace = "models"

    def __init__(self, make: Callable[[Faults, Callable[[], datetime], Callable[[float], None]], SimServing]) -> None:
        self._now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
        self._faults = Faults(calm)
        self.serving = make(self._faults, lambda: self._now, self._sleep)
        self.serving.read_all()

    def _sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    @property
    def _key(self) -> tuple[str, str]:
        return (self.namespace, "iris")

    def until(self, holds: Holds) -> InferenceService:
        for _ in range(100):
            found = live(self)
            if found is not None and holds(found):
                return found
            self.serving.tick(self._key)
            self._sleep(0.1)
        raise AssertionError(f"it never came to that: {live(self)}")

    def rest(self) -> None:
        while self.serving.tick(self._key):
            self._sleep(0.1)
        self.serving.read_all()

    def hang(self, *versions: int) -> None:
        self.serving.never_ready.clear()
        self.serving.never_ready.update(versions)

    def crash(self, *numbers: int) -> None:
        self.serving.recover(self._key)
        for number in numbers:
            self.serving.crash(self._key, revision_name("iris-predictor", number))

    def edit(self, predictor: Json) -> None:
        for name, value in predictor.items():
            self.serving.edit_by_hand(self._key, name, value)
        self.serving.read_all()

    def label(self, labels: Json) -> None:
        self.serving.label_by_hand(self._key, labels)
        self.serving.read_all()

    def delete_by_hand(self) -> None:
        self.serving.delete_by_hand(self._key)
        self.rest()

    def create_by_hand(self, body: Json) -> None:
        self.serving.create_by_hand(copy.deepcopy(body))


def simulated() -> Simulated:
    """Return the simulation."""
    return Simulated(lambda faults, clock, _: SimServing(faults, clock))


def over_the_wire() -> Simulated:
    """Return the adapter over the simulation."""
    return Simulated(WireServing)


class InstantPods(Pods):
    """Pods that are there at once, or break at once, and start no process."""

    def __init__(self, on_change: Callable[[RevisionId, PodState], None]) -> None:
        self.hanging: frozenset[str] = frozenset()
        self.crashed: frozenset[str] = frozenset()
        self._tell = on_change
        self._orders: dict[RevisionId, Order] = {}

    def warm_up(self) -> Any:
        return None

    def state(self, revision: RevisionId) -> PodState:
        order = self._orders.get(revision)
        if order is None:
            return Absent()
        if revision.name in self.crashed:
            return _CRASHED
        return _BROKEN if order.storage_uri.rpartition("/")[2] in self.hanging else Running(1, 1)

    def ensure(self, order: Order) -> None:
        if order.revision not in self._orders:
            self._orders[order.revision] = order
            self._tell(order.revision, self.state(order.revision))

    def hang(self, versions: frozenset[str]) -> None:
        """Keep the models of these versions, and no others, from loading."""
        self.hanging = versions
        self._tell_all()

    def crash(self, *numbers: int) -> None:
        """Let these revisions, and no others, end."""
        self.crashed = frozenset(revision_name("iris-predictor", number) for number in numbers)
        self._tell_all()

    def _tell_all(self) -> None:
        for revision in tuple(self._orders):
            self._tell(revision, self.state(revision))

    def stop(self, revision: RevisionId) -> None:
        self._orders.pop(revision, None)

    def ended(self, revision: RevisionId) -> bool:
        return revision not in self._orders

    def close(self) -> None:
        self._orders.clear()


class NoKubelet(Kubelet):
    """Shows no Pods: on a real cluster somebody would try to run them."""

    def sync(self, isvc: Json, templates: Iterable[PodTemplate], now: str) -> bool:
        del isvc, templates, now
        return True


class Http:
    """The adapter with the real client over HTTP; `pods` are what becomes ready, or does not, as the test says.

    What is stored is at rest when nothing changed for so many seconds: `rests_after`.
    """

    def __init__(
        self, api: client.ApiClient, namespace: str, serving: KServe, pods: InstantPods | None, rests_after: float
    ) -> None:
        self.namespace = namespace
        self._rests_after = rests_after
        self.serving = serving
        self._pods = pods
        self._api = api

    def hang(self, *versions: int) -> None:
        if self._pods is not None:
            self._pods.hang(frozenset(map(str, versions)))

    def crash(self, *numbers: int) -> None:
        if self._pods is not None:
            self._pods.crash(*numbers)

    def until(self, holds: Holds) -> InferenceService:
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = live(self)
            if found is not None and holds(found):
                return found
            assert time.monotonic() < ends, f"it never came to that: {found}"
            time.sleep(0.01)

    def rest(self) -> None:
        """Wait until what is stored has stayed the same for a while, and the watch shows it."""
        ends = time.monotonic() + PATIENCE_SECONDS
        since, last = time.monotonic(), ""
        while time.monotonic() - since < self._rests_after or not self._shows(last):
            assert time.monotonic() < ends, "the controllers do not come to rest"
            now = self._version()
            if now != last:
                since, last = time.monotonic(), now
            time.sleep(0.02)

    def _version(self) -> str:
        try:
            return str(self._objects("get_namespaced_custom_object", "iris")["metadata"]["resourceVersion"])
        except client.ApiException as error:
            if error.status != 404:
                raise
            return ""

    def _shows(self, version: str) -> bool:
        found = live(self)
        return (found.resource_version if found else "") == version

    def _objects(self, verb: str, *rest: Any, **options: Any) -> Json:
        call = getattr(client.CustomObjectsApi(self._api), verb)
        answer: Json = call(*_PATH, self.namespace, INFERENCE_SERVICES.plural, *rest, **options)
        return answer

    def _patch(self, body: Json) -> None:
        found = self._api.call_api(
            INFERENCE_SERVICES.path(self.namespace, "iris"),
            "PATCH",
            query_params=[("fieldManager", PERSON)],
            header_params={"Content-Type": MERGE},
            body=body,
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=(10, 30),
        )
        version = int(found["metadata"]["resourceVersion"])
        self.until(lambda service: int(service.resource_version) >= version)

    def edit(self, predictor: Json) -> None:
        self._patch({"spec": {"predictor": predictor}})

    def label(self, labels: Json) -> None:
        self._patch({"metadata": {"labels": labels}})

    def delete_by_hand(self) -> None:
        self._objects("delete_namespaced_custom_object", "iris")
        self.rest()

    def create_by_hand(self, body: Json) -> None:
        self._objects("create_namespaced_custom_object", body, field_manager=PERSON)
        self.rest()


@contextmanager
def embedded(folder: Path) -> Iterator[tuple[Path, InstantPods]]:
    """Serve the embedded API with KServe's webhook and the stand-in's controller on it."""
    with KubeApi.serve(None) as api:
        register(api.admission)
        path = folder / "kubeconfig"
        api.write_kubeconfig(path)
        with controlled(path) as pods:
            yield path, pods


@contextmanager
def controlled(kubeconfig: Path) -> Iterator[InstantPods]:
    """Run the stand-in's controller on a cluster."""
    owners: dict[RevisionId, Entry] = {}
    queue: WorkQueue[Entry] = WorkQueue(time.monotonic)

    def pod_changed(revision: RevisionId, _: PodState) -> None:
        if revision in owners:
            queue.add(owners[revision])

    pods = InstantPods(pod_changed)
    router = Router(lambda _: None, time.monotonic, random.Random(1), 1.0)
    scaler = Scaler(pods, router, time.monotonic, 0.0, 1e9)
    cluster = Cluster(api_client(kubeconfig))
    kubelet = NoKubelet(cluster, pods)
    parts = Parts(cluster, pods, router, scaler, queue, standin.utc_now, "http://127.0.0.1:1", owners, kubelet)
    options = StandardOptions(routes_canaries=True, progress_deadline=600.0)
    with standin._running(Controller(parts, options), cluster, queue):
        yield pods


@contextmanager
def over_http(kubeconfig: Path, pods: InstantPods | None, rests_after: float = 0.15) -> Iterator[Http]:
    """Make a namespace on this cluster, follow it with the real adapter, and take it away again."""
    api = api_client(kubeconfig)
    with ExitStack() as stack:
        stack.callback(api.rest_client.pool_manager.clear)
        name = stack.enter_context(new_namespace(api))
        connection = Connection(KubernetesSettings(kubeconfig=kubeconfig))
        stack.callback(connection.close)
        options = Options(namespaces=(name,))
        serving = stack.enter_context(KServe(connection, options, standin.utc_now, random.Random(1)))
        assert serving.wait_synced(options.write_timeout), serving.read_all()
        bench = Http(api, name, serving, pods, rests_after)
        yield bench
        bench.hang()
        bench.crash()
