"""Start and stop the stand-in as a whole."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kubernetes.client import ApiClient

from reconciler.demo.kserve.cluster import Cluster
from reconciler.demo.kserve.controller import Controller
from reconciler.demo.kserve.kubelet import Kubelet
from reconciler.demo.kserve.parts import Parts
from reconciler.demo.kserve.pods import Pods, PodState, RevisionId, Running
from reconciler.demo.kserve.router import Entry, Router
from reconciler.demo.kserve.scaling import Scaler
from reconciler.demo.kserve.standard_mode import StandardOptions
from reconciler.demo.kserve.workqueue import WorkQueue


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Options:
    """How it behaves; all times in seconds, `clock` is monotonic."""

    ingress_port: int = 0  # 0: any free port
    scale_down_seconds: float = 5.0  # from losing the last route to the server's end
    idle_seconds: float = 90.0  # without requests, for minReplicas 0
    load_timeout: float = 120.0
    first_backoff: float = 10.0  # of a model that fails to load; doubles up to five minutes
    activation_timeout: float = 60.0  # how long a request waits for a revision that is at zero
    routes_canaries: bool = True  # False: as KServe up to v0.20.0, which deploys spec.canary and routes nothing to it
    progress_deadline: float = 600.0  # of a Deployment's new template
    gateway_api: bool = True  # False: Ingress even where HTTPRoutes are served, as KServe is configured by default
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = utc_now
    rng: random.Random | None = None


@dataclass(frozen=True, slots=True)
class KServeStandIn:
    """A running stand-in; `ingress_url` is the root of `/serving/...` and `/stats`."""

    ingress_url: str

    @classmethod
    @contextmanager
    def start(cls, api_client: ApiClient, work_dir: Path, options: Options | None = None) -> Iterator[KServeStandIn]:
        """Control the InferenceServices of an API server until the block ends, then stop all servers.

        Models and logs go below `work_dir`. Everything else is in the API: a later start takes up there.
        """
        chosen = options or Options()
        owners: dict[RevisionId, Entry] = {}
        queue: WorkQueue[Entry] = WorkQueue(chosen.clock)
        router = Router(
            lambda revision: queue.add(owners[revision]),
            chosen.clock,
            chosen.rng or random.Random(),  # noqa: S311  splits traffic, guards nothing
            chosen.activation_timeout,
        )

        def pod_changed(revision: RevisionId, state: PodState) -> None:
            router.backend(revision, state.port if isinstance(state, Running) else None)
            if revision in owners:
                queue.add(owners[revision])

        pods = Pods(work_dir, pod_changed, chosen.clock, chosen.load_timeout, chosen.first_backoff)
        scaler = Scaler(pods, router, chosen.clock, chosen.scale_down_seconds, chosen.idle_seconds)
        with router.serve(chosen.ingress_port) as url:
            cluster = Cluster(api_client)
            parts = Parts(cluster, pods, router, scaler, queue, chosen.now, url, owners, Kubelet(cluster, pods))
            standard = StandardOptions(chosen.routes_canaries, chosen.progress_deadline, chosen.gateway_api)
            with _running(Controller(parts, standard), cluster, queue):
                yield cls(url)


@contextmanager
def _running(controller: Controller, cluster: Cluster, queue: WorkQueue[Entry]) -> Iterator[None]:
    closed = threading.Event()
    threads = [
        threading.Thread(target=controller.run, name="kserve-controller", daemon=True),
        threading.Thread(target=controller.follow, args=[closed], name="kserve-watch", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        closed.set()
        cluster.close()
        queue.close()
        for thread in threads:
            thread.join()
