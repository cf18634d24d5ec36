"""The embedded stack: MLflow, a Kubernetes API with KServe's stand-in, and the reconciler itself, all on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from reconciler.bootstrap import utc_now
from reconciler.demo.kserve.standin import KServeStandIn, Options
from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi
from reconciler.demo.processes import child
from reconciler.demo.prometheus import installed, running_prometheus
from reconciler.demo.repository import DemoRepository, Flavour, Mode
from reconciler.systems.training.local import LocalTraining, child_environment

NAMESPACE = "models"
# In which words the ingress tells what it measured.
FLAVOUR: Mapping[Mode, Flavour] = {"Knative": "knative", "Standard": "istio"}
START_SECONDS = 120.0
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True, slots=True)
class Folders:
    """Where everything of a demo lies."""

    root: Path

    @property
    def repository(self) -> Path:
        """Return the Git repository that people edit."""
        return self.root / "repo"

    @property
    def mode(self) -> Path:
        """Return where stands in which mode of KServe this demo serves."""
        return self.root / "mode"

    @property
    def state(self) -> Path:
        """Return the reconciler's state."""
        return self.root / "state"

    @property
    def ledger(self) -> Path:
        """Return the reconciler's ledger."""
        return self.state / "ledger.db"

    @property
    def logs(self) -> Path:
        """Return the logs of every process."""
        return self.root / "logs"

    @property
    def artifacts(self) -> Path:
        """Return MLflow's artifact store."""
        return self.root / "artifacts"

    @property
    def settings(self) -> Path:
        """Return the reconciler's settings file."""
        return self.root / "reconciler.yaml"

    @property
    def tokens(self) -> Path:
        """Return the reconciler's token file."""
        return self.root / "tokens"

    @property
    def own_token(self) -> Path:
        """Return the token of whoever runs the demo."""
        return self.state / "token"

    @property
    def kubeconfig(self) -> Path:
        """Return the kubeconfig of the embedded API."""
        return self.root / "kubeconfig"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack; `prometheus_url` is empty where there is no Prometheus."""

    folders: Folders
    mode: Mode
    repository: DemoRepository
    mlflow_url: str
    prometheus_url: str
    ingress_url: str
    reconciler_url: str
    reconciler: subprocess.Popen[bytes]


@contextmanager
def running_stack(root: Path, mode: Mode, said: Callable[[str], None]) -> Iterator[Stack]:
    """Start everything, in order; stop everything at the end. `said` is told what is going on."""
    from kubernetes import client, config  # noqa: PLC0415  not for the other commands

    folders = Folders(root)
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        said("Starting a Git repository made from example-repo")
        repository = DemoRepository.open(folders.repository)
        repository.serve_in(mode)
        said("Starting a Kubernetes API, in this process")
        api = stack.enter_context(KubeApi.serve(root / "kubernetes"))
        register(api.admission)
        api.write_kubeconfig(folders.kubeconfig)
        configuration = client.Configuration()
        config.load_kube_config(str(folders.kubeconfig), client_configuration=configuration)
        cluster = stack.enter_context(client.ApiClient(configuration))
        _ensure_namespace(client, cluster)
        said("Starting KServe's stand-in")
        kserve = stack.enter_context(KServeStandIn.start(cluster, root / "kserve", Options(ingress_port=_free_port())))
        prometheus_url = stack.enter_context(prometheus(root / "prometheus", kserve.ingress_url, said))
        repository.ask(FLAVOUR[mode] if prometheus_url else None)
        said("Starting the MLflow server (its first start takes a quarter of a minute)")
        mlflow_url = stack.enter_context(_mlflow(folders))
        said("Starting the reconciler")
        stack.callback(_stop_training, folders, mlflow_url)
        _write_settings(folders, mlflow_url, prometheus_url, kserve.ingress_url)
        process = stack.enter_context(_reconciler(folders))
        yield Stack(
            folders, mode, repository, mlflow_url, prometheus_url, kserve.ingress_url, _address(folders), process
        )


def _ensure_namespace(client: object, cluster: object) -> None:
    core = client.CoreV1Api(cluster)  # type: ignore[attr-defined]  # the kubernetes package has no types
    if all(n.metadata.name != NAMESPACE for n in core.list_namespace().items):
        core.create_namespace({"metadata": {"name": NAMESPACE}})


@contextmanager
def _mlflow(folders: Folders) -> Iterator[str]:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folders.root / 'mlflow.db'}",
        "--serve-artifacts", "--artifacts-destination", str(folders.artifacts),
    ]  # fmt: skip
    environment = {**os.environ, **QUIET}
    with child(command, environment, folders.logs / "mlflow.log", lambda: _answers(f"{url}/health"), START_SECONDS):
        yield url


@contextmanager
def prometheus(folder: Path, ingress_url: str, said: Callable[[str], None]) -> Iterator[str]:
    """Run a Prometheus where there is one; yield its address, "" where there is none."""
    program = installed()
    if program is None:
        said("There is no prometheus on PATH: candidates are proven by probes alone")
        yield ""
        return
    said("Starting Prometheus")
    url = f"http://127.0.0.1:{_free_port()}"
    with running_prometheus(program, folder, url, ingress_url, _answers):
        yield url


def _write_settings(folders: Folders, mlflow_url: str, prometheus_url: str, ingress_url: str) -> None:
    settings = {
        "stateDir": str(folders.state),
        "git": {"url": str(folders.repository), "ref": "main", "pollInterval": "2s"},
        "mlflow": {
            "trackingUri": mlflow_url,
            "readInterval": "5s",
            # KServe's stand-in reads MLflow's artifact store on this disk.
            "artifactDestinations": {"mlflow-artifacts:/": f"file://{folders.artifacts}/"},
        },
        "kubernetes": {
            "kubeconfig": str(folders.kubeconfig),
            # Names inside the cluster do not resolve here.
            "serviceUrl": f"{ingress_url}/serving/{{namespace}}/{{service}}",
        },
        "prometheus": {"url": prometheus_url},
        "training": {"backend": "local", "pollInterval": "1s"},
        "http": {"port": 0},
        "api": {"tokens": str(folders.tokens)},
        "log": {"format": "json"},
    }
    _write_token(folders)
    # JSON is YAML.
    folders.settings.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _write_token(folders: Folders) -> None:
    """Give whoever runs the demo a token: commands find it beside the reconciler's address."""
    folders.state.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(24)
    digest = hashlib.sha256(token.encode()).hexdigest()
    for file, text in ((folders.own_token, token), (folders.tokens, f"demo operate sha256:{digest}")):
        file.touch(mode=0o600)
        file.write_text(text + "\n", encoding="utf-8")


@contextmanager
def _reconciler(folders: Folders) -> Iterator[subprocess.Popen[bytes]]:
    (folders.state / "http.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "reconciler", "run", "--config", str(folders.settings)]
    log = folders.logs / "reconciler.log"
    with child(command, {**os.environ, **QUIET}, log, lambda: _serves(folders), START_SECONDS) as process:
        yield process


def _serves(folders: Folders) -> bool:
    return (folders.state / "http.json").exists() and _answers(f"{_address(folders)}/healthz")


def _address(folders: Folders) -> str:
    try:
        return str(json.loads((folders.state / "http.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        return "http://127.0.0.1:9"


def _stop_training(folders: Folders, mlflow_url: str) -> None:
    """End trainings that are under way: they would outlive the reconciler, which takes them up again."""
    environment = child_environment(os.environ, mlflow_url)
    training = LocalTraining(
        folders.state / "runs", tracking_uri=mlflow_url, environment=environment, parallel=1, clock=utc_now
    )
    training.stop_all()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
