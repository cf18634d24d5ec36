"""Every call over HTTP ends within its time-out, also when each wait for a byte is short."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError, Transient, UnknownOutcome
from reconciler.ports import ProbeTarget
from reconciler.settings import KubernetesSettings, MlflowSettings
from reconciler.systems.probe import HttpProber
from reconciler.systems.registry.rest import MlflowRegistry
from reconciler.systems.serving.api import INFERENCE_SERVICES, Call
from reconciler.systems.serving.connect import Connection
from reconciler.systems.training.kfp_client import KfpClient
from tests.hanging import Play, drip, dripping_headers, playing, silent

TIMEOUT = timedelta(seconds=0.6)
RUN = {"experiment_id": "e", "display_name": "n", "description": "", "parameters": {}}
READ = Call("get", INFERENCE_SERVICES, "models", "iris")
DELETE = Call("delete", INFERENCE_SERVICES, "models", "iris", body={})


def dripping_body(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    drip(connection, over, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n", b" ")


def kubernetes(url: str, folder: Path) -> Connection:
    path = folder / "kubeconfig"
    cluster = {"clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}]}
    context = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **cluster, **context}))
    return Connection(KubernetesSettings(kubeconfig=path, timeout=TIMEOUT))


def mlflow(url: str) -> MlflowRegistry:
    return MlflowRegistry(MlflowSettings(tracking_uri=url, timeout=TIMEOUT))


def kfp(url: str) -> KfpClient:
    return KfpClient(url, token=lambda: None, timeout=TIMEOUT)


CALLS: dict[str, tuple[type[ReconcilerError], Callable[[str, Path], object]]] = {
    "reading the registry": (Transient, lambda url, _: mlflow(url).read("iris")),
    "writing to the registry": (UnknownOutcome, lambda url, _: mlflow(url).tag("iris", 1, "k", "v")),
    "reading runs": (Transient, lambda url, _: kfp(url).get_run("r")),
    "creating a run": (UnknownOutcome, lambda url, _: kfp(url).create_run(RUN)),
    "reading an object": (Transient, lambda url, folder: kubernetes(url, folder).call(READ)),
    "deleting an object": (UnknownOutcome, lambda url, folder: kubernetes(url, folder).call(DELETE)),
}
GAMES: dict[str, Play] = {"silent": silent, "headers drip": dripping_headers, "the body drips": dripping_body}


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("case", CALLS)
def test_a_call_ends_within_its_time_out_and_says_what_is_known(case: str, game: str, tmp_path: Path) -> None:
    error, call = CALLS[case]
    with playing(GAMES[game]) as address:
        began = time.monotonic()
        with pytest.raises(ReconcilerError) as raised:
            call(f"http://{address}", tmp_path)
        took = time.monotonic() - began
    assert type(raised.value) is error
    assert took < 3 * TIMEOUT.total_seconds()


@pytest.mark.parametrize("game", GAMES)
def test_a_probe_counts_what_does_not_end_as_an_error(game: str) -> None:
    with playing(GAMES[game]) as address, HttpProber(TIMEOUT, timedelta(seconds=5)) as prober:
        began = time.monotonic()
        result = prober.probe(ProbeTarget(f"http://{address}", "iris", "v1"), [[1]], 2, lambda: None)
        took = time.monotonic() - began
    assert (result.side.requests, result.side.errors) == (2, 2)
    assert took < 3 * TIMEOUT.total_seconds()


def test_a_watch_whose_line_never_ends_breaks(tmp_path: Path) -> None:
    def line(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        event = json.dumps({"type": "BOOKMARK", "object": {}}).encode() + b"\n"
        drip(connection, over, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + event, b"x")

    watch = Call("watch", INFERENCE_SERVICES, "models")
    seen: list[bytes] = []
    with playing(line) as address:
        began = time.monotonic()
        with (
            pytest.raises(Transient, match=r"no whole line for 0\.5 s"),
            kubernetes(f"http://{address}", tmp_path).open(watch, 0.5) as stream,
        ):
            seen.extend(stream.lines())
        took = time.monotonic() - began
    assert len(seen) == 1
    assert took < 3


def test_an_open_watch_outlives_the_time_out_of_a_call(tmp_path: Path) -> None:
    def events(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        drip(connection, over, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"{}\n")

    watch = Call("watch", INFERENCE_SERVICES, "models")
    began = time.monotonic()
    with playing(events) as address, kubernetes(f"http://{address}", tmp_path).open(watch, 5) as stream:
        for _ in stream.lines():
            if time.monotonic() - began > 2 * TIMEOUT.total_seconds():
                break
    assert time.monotonic() - began > 2 * TIMEOUT.total_seconds()
