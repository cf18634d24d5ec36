"""The real service around the real reconciler, and raw eyes at the Kubernetes API that it works on."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import httpx

from reconciler.bootstrap import utc_now
from reconciler.demo.kubeapi.metrics import METRIC
from reconciler.metrics import PREFIX, Metrics
from reconciler.redaction import Redactor
from reconciler.service import Service, Surroundings
from reconciler.settings import HttpSettings, Settings
from tests.bench.rig import Rig, rig
from tests.bench.world import World, wait_until

Json = dict[str, Any]
SERVICES = "/apis/serving.kserve.io/v1beta1/inferenceservices"
READY_SECONDS = 300.0
STOP = timedelta(seconds=30)
_REQUESTS = re.compile(rf'^{METRIC}{{verb="(\w+)",.*}} (\d+)$', re.MULTILINE)
_PASSES = re.compile(rf"^{PREFIX}_passes_total{{.*}} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Live:
    """A service that runs in this process."""

    rig: Rig
    service: Service
    metrics: Metrics

    @property
    def passes(self) -> int:
        """Return how often a model was looked at."""
        return round(sum(float(count) for count in _PASSES.findall(self.metrics.exposition().decode())))


@contextmanager
def live(settings: Settings) -> Iterator[Live]:
    """Run the service over the rig; enters when every model has been looked at."""
    metrics = Metrics("bench")
    settings = settings.model_copy(update={"http": HttpSettings(port=0)})
    with rig(settings) as running:
        watches = running.serving
        around = Surroundings(utc_now, Random(1).uniform, metrics, Redactor(), watches.on_change, watches.sick)
        service = Service(running.reconciler, settings, around)
        service.start()
        try:
            wait_until(lambda: not service.unready(), "ready", READY_SECONDS)
            yield Live(running, service, metrics)
        finally:
            assert not service.stop(STOP)


def requests_at(world: World) -> dict[str, int]:
    """Ask the API how many requests of each verb it was sent."""
    text = httpx.get(f"{world.kubernetes_url}/metrics", timeout=60, trust_env=False).text
    counts: dict[str, int] = {}
    for verb, count in _REQUESTS.findall(text):
        counts[verb] = counts.get(verb, 0) + int(count)
    return counts


@dataclass(slots=True)
class _Wait:
    name: str
    holds: Callable[[Json], bool]
    seen: Future[tuple[float, Json]] = field(default_factory=Future)


class Eye:
    """Watches all InferenceServices with a plain HTTP client."""

    def __init__(self, stream: httpx.Response) -> None:
        self._stream = stream
        self._waits: list[_Wait] = []
        self._lock = threading.Lock()

    def expect(self, name: str, holds: Callable[[Json], bool]) -> Future[tuple[float, Json]]:
        """Return what will tell when a coming event shows an object so, and the object."""
        wait = _Wait(name, holds)
        with self._lock:
            self._waits.append(wait)
        return wait.seen

    def follow(self) -> None:
        """Look until the stream is closed."""
        try:
            for line in self._stream.iter_lines():
                self._see(time.perf_counter(), json.loads(line)["object"])
        except (httpx.HTTPError, httpx.StreamError):
            return  # closed

    def _see(self, at: float, obj: Json) -> None:
        with self._lock:
            met = [w for w in self._waits if w.name == obj["metadata"].get("name") and w.holds(obj)]
            self._waits = [w for w in self._waits if w not in met]
        for wait in met:
            wait.seen.set_result((at, obj))


@contextmanager
def watching(client: httpx.Client) -> Iterator[Eye]:
    """Open a watch until the block ends; what comes from now on is seen."""
    version = client.get(SERVICES, params={"limit": "1"}).raise_for_status().json()["metadata"]["resourceVersion"]
    with client.stream("GET", SERVICES, params={"watch": "true", "resourceVersion": version}) as stream:
        eye = Eye(stream)
        thread = threading.Thread(target=eye.follow, name="eye", daemon=True)
        thread.start()
        try:
            yield eye
        finally:
            stream.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            thread.join()
