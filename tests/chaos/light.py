"""Model servers light enough for hundreds of revisions: threads of this process instead of KServe's model server.

All else of KServe's stand-in is the real one: controller, revisions, routing, scaling, status.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient

from reconciler.demo.kserve.cluster import Cluster
from reconciler.demo.kserve.controller import Controller
from reconciler.demo.kserve.kubelet import Kubelet
from reconciler.demo.kserve.parts import Parts
from reconciler.demo.kserve.pods import Pods, PodState, RevisionId, Running
from reconciler.demo.kserve.processes import Process, Processes
from reconciler.demo.kserve.router import Entry, Router
from reconciler.demo.kserve.scaling import Scaler
from reconciler.demo.kserve.standard_mode import StandardOptions
from reconciler.demo.kserve.standin import _running, utc_now
from reconciler.demo.kserve.workqueue import WorkQueue

MODEL_FILE = "model.json"


class _Handler(BaseHTTPRequestHandler):
    """Speaks V2: answers the number that the model is, or fails."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    model: dict[str, Any]

    def do_GET(self) -> None:
        self._send(200, {"ready": True})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.model["wrong"]:
            self._send(500, {"error": "this model answers nothing"})
        else:
            output = {"name": "level", "shape": [1], "datatype": "INT64", "data": [self.model["level"]]}
            self._send(200, {"outputs": [output]})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's signature
        """Stay silent."""

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Threads(Processes):
    """Starts servers as threads."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._servers: dict[str, ThreadingHTTPServer] = {}

    @property
    def gone(self) -> bool:
        return False

    def start(self, server: str, name: str, directory: Path, log: Path) -> Process:
        del name, log
        model = json.loads((directory / MODEL_FILE).read_text(encoding="utf-8"))
        http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"model": model}))
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        with self._lock:
            self._servers[server] = http
        return Process(server, 0, http.server_port)

    def stop(self, server: str, signal_number: int) -> None:
        del signal_number
        with self._lock:
            http = self._servers.pop(server, None)
        if http is not None:
            http.shutdown()
            http.server_close()

    def alive(self, server: str) -> bool:
        with self._lock:
            return server in self._servers

    def close(self) -> None:
        for server in list(self._servers):
            self.stop(server, 0)


class LightPods(Pods):
    """Pods whose servers are threads."""

    def warm_up(self) -> Processes:
        if self._processes is None:
            self._processes = Threads()
        return self._processes


AS_RELEASED = StandardOptions(routes_canaries=True, progress_deadline=600.0)


@contextmanager
def light_kserve(client: ApiClient, work_dir: Path, standard: StandardOptions = AS_RELEASED) -> Iterator[str]:
    """Play KServe on a Kubernetes API until the block ends; yields the ingress."""
    owners: dict[RevisionId, Entry] = {}
    clock: Callable[[], float] = time.monotonic
    queue: WorkQueue[Entry] = WorkQueue(clock)
    router = Router(lambda revision: queue.add(owners[revision]), clock, random.Random(0), 10.0)

    def pod_changed(revision: RevisionId, state: PodState) -> None:
        router.backend(revision, state.port if isinstance(state, Running) else None)
        if revision in owners:
            queue.add(owners[revision])

    pods = LightPods(work_dir, pod_changed, clock, load_timeout=10.0, first_backoff=0.5)
    scaler = Scaler(pods, router, clock, 0.3, 90.0)
    with router.serve(0) as url:
        cluster = Cluster(client)
        parts = Parts(cluster, pods, router, scaler, queue, utc_now, url, owners, Kubelet(cluster, pods))
        with _running(Controller(parts, standard), cluster, queue):
            yield url
