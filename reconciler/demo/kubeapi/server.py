"""Run the embedded Kubernetes API in a thread of this process."""

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from reconciler.demo.kubeapi.admission import Admission
from reconciler.demo.kubeapi.cluster import Cluster
from reconciler.demo.kubeapi.faults import Faults
from reconciler.demo.kubeapi.http import HttpOptions, KubeHttp
from reconciler.demo.kubeapi.journal import MemoryJournal, SqliteJournal
from reconciler.demo.kubeapi.listing import Lister
from reconciler.demo.kubeapi.store import Store

STATE_FILE = "kubeapi.sqlite"


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def random_id() -> str:
    """Return a new uid."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Options:
    """How the server behaves; the clock and the ids are here so that tests can choose them."""

    token: str | None = None
    bookmark_seconds: float = 10.0
    history_limit: int = 5_000  # changes kept for each resource
    left_out: frozenset[str] = frozenset()  # definitions, as `httproutes.gateway.networking.k8s.io`, that are not there
    faults: Faults | None = None  # what tests let go wrong
    now: Callable[[], datetime] = utc_now
    new_id: Callable[[], str] = random_id


@dataclass(frozen=True, slots=True)
class KubeApi:
    """A running server: where it listens, and the cluster behind it."""

    url: str
    cluster: Cluster
    options: Options

    @property
    def store(self) -> Store:
        """Return the objects; hold `cluster.reading()` while looking at more than one."""
        return self.cluster.store

    @property
    def admission(self) -> Admission:
        """Return where hooks are registered."""
        return self.cluster.admission

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> None:
        """Write a kubeconfig for this server; JSON is YAML. Only its owner may read it."""
        user = {"token": self.options.token} if self.options.token else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": {"server": self.url}}],
            "users": [{"name": "embedded", "user": user}],
            "contexts": [
                {
                    "name": "embedded",
                    "context": {"cluster": "embedded", "user": "embedded", "namespace": namespace},
                }
            ],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    @contextmanager
    def serve(cls, state_dir: Path | None, port: int = 0, options: Options | None = None) -> Iterator["KubeApi"]:
        """Serve on 127.0.0.1 (port 0: a free one) until the block ends.

        State is kept in `state_dir` and found again there; None keeps it in memory only.
        """
        chosen = options or Options()
        journal = SqliteJournal(state_dir / STATE_FILE) if state_dir else MemoryJournal()
        cluster = Cluster(journal, chosen.now, chosen.new_id, chosen.history_limit, chosen.left_out)
        answers = HttpOptions(chosen.token, chosen.bookmark_seconds, chosen.faults)
        http = KubeHttp(cluster, Lister(cluster, chosen.new_id), answers)
        try:
            with socket.create_server(("127.0.0.1", port)) as listener, _running(http, listener):
                yield cls(f"http://127.0.0.1:{listener.getsockname()[1]}", cluster, chosen)
        finally:
            cluster.close()


@contextmanager
def _running(http: KubeHttp, listener: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(
        http,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # Clients may connect at once: the socket already listens, and queues them until the loop runs.
    thread = threading.Thread(target=server.run, args=([listener],), name="kubeapi", daemon=True)
    thread.start()
    try:
        yield
    finally:
        http.stop()
        server.should_exit = True
        thread.join()
