"""Options of the whole suite, and servers that several suites share."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog
from hypothesis import settings

START_SECONDS = 120


def pytest_configure(config: pytest.Config) -> None:
    """Let an example take as long as a busy machine needs, as the tests have time-outs of their own; hear Ctrl-C.

    A shell starts what runs in the background deaf to Ctrl-C, and all that it starts would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--kubeconfig") is not None:
        # Whether the cluster's certificate is looked at is for the kubeconfig to say.
        config.addinivalue_line("filterwarnings", "ignore:Unverified HTTPS request")
    write_logs_plainly()
    chosen = settings.get_profile(settings.get_current_profile_name())
    settings.register_profile("unhurried", chosen, deadline=None)
    settings.load_profile("unhurried")


def write_logs_plainly() -> None:
    """Set the logs up as long as no test does: without the values of variables, which other threads change meanwhile.

    structlog's own default writes them out with an exception, and fails where a dict grows under its hands.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --kubeconfig."""
    parser.addoption(
        "--kubeconfig",
        metavar="FILE",
        default=None,
        help="run the Kubernetes suite against this cluster (it needs KServe's CRD) instead of the embedded API",
    )


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Undo what a test that sets the process's logs up changed, so that no other test depends on it."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    processors = structlog.get_config()["processors"]
    yield
    if structlog.get_config()["processors"] is not processors:
        structlog.reset_defaults()
        write_logs_plainly()
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level, sys.excepthook, threading.excepthook = before


@pytest.fixture(scope="session")
def real_cluster(request: pytest.FixtureRequest) -> Iterator[Path | None]:
    """Return the kubeconfig that --kubeconfig names, of a cluster that has what the suite needs; None without one."""
    given = request.config.getoption("--kubeconfig")
    if given is None:
        yield None
        return
    from tests import clusters  # noqa: PLC0415  most tests need no Kubernetes client

    with clusters.prepared(Path(given)):
        yield Path(given)


@pytest.fixture(scope="session")
def controllers(real_cluster: Path | None) -> bool:
    """Tell whether a controller manager works on the cluster that --kubeconfig names."""
    from tests import clusters  # noqa: PLC0415  most tests need no Kubernetes client

    return real_cluster is not None and clusters.controllers_run(real_cluster)


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A running `mlflow server` with its artifact folder."""

    url: str
    artifacts: Path


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Start a real MLflow server over SQLite that proxies its artifacts."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    artifacts = folder / "artifacts"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--serve-artifacts", "--artifacts-destination", str(artifacts),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    url = f"http://127.0.0.1:{port}"
    with running(command, environment, folder, f"{url}/health"):
        yield MlflowServer(url, artifacts)


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path, health: str) -> Iterator[None]:
    """Run a server in a process group of its own until the block ends; fail with its log when it does not start."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_healthy(process, health, log)
        yield
    finally:
        _end_group(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            pytest.fail(f"the server ended with {process.returncode}:\n{_tail(log)}")
        if _answers(health):
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not answer {health} within {START_SECONDS} s:\n{_tail(log)}")


def _answers(health: str) -> bool:
    try:
        return httpx.get(health, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-5000:]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: the server's workers outlive a leader that is killed alone."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait(10)
