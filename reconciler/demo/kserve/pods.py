"""Bring revisions up and down: fetch the model, start its server, wait until it answers, start over."""

from __future__ import annotations

import http.client
import math
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reconciler.demo.kserve import storage
from reconciler.demo.kserve.processes import Processes, SpawnerGone

_TAIL_BYTES = 2048
_LONGEST_BACKOFF = 300.0
SERVER: Final = "kserve-container"
INITIALIZER: Final = "storage-initializer"


@dataclass(frozen=True, slots=True, order=True)
class RevisionId:
    """What one server process serves: a Knative revision, or a Deployment at one of its pod templates."""

    namespace: str
    name: str
    template_hash: str = ""
    """Empty for a Knative revision; a Deployment that is being updated has two at a time."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod_name}"

    @property
    def pod_name(self) -> str:
        """Return the name that its files and its pod go by."""
        return "-".join(part for part in (self.name, self.template_hash) if part)


@dataclass(frozen=True, slots=True)
class Order:
    """What a revision serves, under which model name."""

    revision: RevisionId
    storage_uri: str
    model_name: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Scaled to zero, or never started."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """The storage initializer is at work."""


@dataclass(frozen=True, slots=True)
class Loading:
    """The server process loads the model."""


@dataclass(frozen=True, slots=True)
class Running:
    """The server answers on this port of 127.0.0.1."""

    port: int
    pid: int
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """The last try ended; the next one follows after a backoff, as in a crash loop."""

    message: str
    exit_code: int
    retry_at: float
    container: str = SERVER
    failures: int = 1


PodState = Absent | Fetching | Loading | Running | Broken


class _NotLoadedError(Exception):
    """The server is there, and its model is not."""


@dataclass(slots=True)
class _Pod:
    order: Order
    server: str
    state: PodState
    log: Path
    failures: int = 0
    stopped: bool = False


class Pods:
    """One pod per revision; `on_change(revision, state)` is called, from any thread, after each.

    Call `ensure` from one long-lived thread only: the server processes live no longer than it.
    """

    def __init__(
        self,
        work_dir: Path,
        on_change: Callable[[RevisionId, PodState], None],
        clock: Callable[[], float],
        load_timeout: float,
        first_backoff: float,
    ) -> None:
        self._work_dir = work_dir
        self._on_change = on_change
        self._clock = clock
        self._load_timeout = load_timeout
        self._first_backoff = first_backoff
        self._lock = threading.Lock()
        self._pods: dict[RevisionId, _Pod] = {}
        self._ending: dict[RevisionId, list[str]] = {}
        self._started = 0
        self._processes: Processes | None = None
        (work_dir / "logs").mkdir(parents=True, exist_ok=True)

    def warm_up(self) -> Processes:
        """Have a spawner ready, so that the first server starts as fast as the others."""
        if self._processes is None or self._processes.gone:
            self._processes = Processes(self._work_dir / "logs" / "spawner.log", self._exited)
        return self._processes

    def state(self, revision: RevisionId) -> PodState:
        """Tell how a revision's pod is."""
        with self._lock:
            pod = self._pods.get(revision)
            return pod.state if pod else Absent()

    def ensure(self, order: Order) -> None:
        """Start the revision unless it is up, on its way, or in its backoff."""
        processes = self.warm_up()
        with self._lock:
            standing = self._pods.get(order.revision)
            if standing and not self._due(standing):
                return
            pod = self._new_pod(order, standing)
        threading.Thread(
            target=self._bring_up, args=(pod, processes), name=f"pod {order.revision}", daemon=True
        ).start()

    def stop(self, revision: RevisionId) -> None:
        """Scale a revision to zero; its process ends by itself after the requests it has."""
        with self._lock:
            pod = self._pods.pop(revision, None)
            if pod is None:
                return
            pod.stopped = True
            self._ending.setdefault(revision, []).append(pod.server)
        if self._processes is not None:
            self._processes.stop(pod.server, signal.SIGTERM)

    def ended(self, revision: RevisionId) -> bool:
        """Tell whether no process of a stopped revision is left."""
        with self._lock:
            servers = self._ending.get(revision, [])
            alive = self._processes.alive if self._processes else lambda _server: False
            servers[:] = [server for server in servers if alive(server)]
            return not servers

    def close(self) -> None:
        """End every server."""
        with self._lock:
            for pod in self._pods.values():
                pod.stopped = True
            self._pods.clear()
        if self._processes is not None:
            self._processes.close()

    def _due(self, pod: _Pod) -> bool:
        return isinstance(pod.state, Broken) and self._clock() >= pod.state.retry_at

    def _new_pod(self, order: Order, failed: _Pod | None) -> _Pod:
        self._started += 1
        name = f"{order.revision.namespace}.{order.revision.pod_name}"
        log = self._work_dir / "logs" / f"{name}.log"
        pod = _Pod(order, f"{name}#{self._started}", Fetching(), log)
        if failed is not None and isinstance(failed.state, Broken):
            # A crash loop shows its last failure until a try succeeds.
            pod.state, pod.failures = replace(failed.state, retry_at=math.inf), failed.failures
        self._pods[order.revision] = pod
        return pod

    def _bring_up(self, pod: _Pod, processes: Processes) -> None:
        revision = pod.order.revision
        target = self._work_dir / "models" / revision.namespace / revision.pod_name
        pod.log.write_bytes(b"")
        try:
            directory = storage.fetch(pod.order.storage_uri, target)
            self._enter(pod, Loading())
            process = processes.start(pod.server, pod.order.model_name, directory, pod.log)
            if pod.stopped:
                processes.stop(pod.server, signal.SIGKILL)
            elif _answers(process.port, pod.order.model_name, self._load_timeout):
                self._enter(pod, Running(process.port, process.pid, pod.failures))
                if not processes.alive(pod.server):
                    self._exited(pod.server, -1)
        except _NotLoadedError:
            self._break(pod, f"the model was not loaded within {self._load_timeout:g} s", -signal.SIGKILL)
            processes.stop(pod.server, signal.SIGKILL)
        except (storage.StorageError, OSError) as error:
            self._break(pod, str(error), 1, INITIALIZER)
        except SpawnerGone:
            self._break(pod, "the process that starts model servers ended", -signal.SIGKILL)

    def _exited(self, server: str, code: int) -> None:
        with self._lock:
            pod = next((pod for pod in self._pods.values() if pod.server == server), None)
        if pod is not None and not _given_up(pod.state):
            self._break(pod, _tail(pod.log) or f"the model server ended with {code}", code)

    def _break(self, pod: _Pod, message: str, code: int, container: str = SERVER) -> None:
        wait = min(self._first_backoff * 2.0**pod.failures, _LONGEST_BACKOFF)
        pod.failures += 1
        self._enter(pod, Broken(message, code, self._clock() + wait, container, pod.failures))

    def _enter(self, pod: _Pod, state: PodState) -> None:
        with self._lock:
            if pod.stopped or (isinstance(pod.state, Broken) and not isinstance(state, Broken | Running)):
                return
            pod.state = state
        self._on_change(pod.order.revision, state)


def _answers(port: int, model_name: str, timeout: float) -> bool:
    """Wait for the server, which listens from the start and answers as soon as the model is loaded.

    False when it ends instead: its exit then tells why. Raises _NotLoadedError when it takes too long.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", f"/v2/models/{model_name}/ready")
        if connection.getresponse().status != 200:
            raise _NotLoadedError
    except TimeoutError as error:
        raise _NotLoadedError from error
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _given_up(state: PodState) -> bool:
    """Tell whether a try has failed already, and the next one is not under way."""
    return isinstance(state, Broken) and state.retry_at != math.inf


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
