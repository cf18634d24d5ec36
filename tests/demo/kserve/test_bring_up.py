"""What a pod says of a server that does not come up: its own last words, or that it took too long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.demo.kserve.pods import Broken, Order, Pods, PodState, RevisionId
from reconciler.demo.kserve.processes import Process, Processes
from tests.demo.kserve.conftest import eventually

REVISION = RevisionId("models", "iris-1")


class Scripted(Processes):
    """A server that listens, and does with a connection what the test says."""

    def __init__(self, port: int, on_exit: Callable[[str, int], None]) -> None:
        self._port = port
        self.on_exit = on_exit
        self.stopped: list[int] = []
        self.log = Path()

    @property
    def gone(self) -> bool:
        return False

    def start(self, server: str, name: str, directory: Path, log: Path) -> Process:
        del name, directory
        self.log = log
        return Process(server, 0, self._port)

    def stop(self, server: str, signal_number: int) -> None:
        self.stopped.append(signal_number)
        self.on_exit(server, -signal_number)

    def alive(self, server: str) -> bool:
        return bool(server) and not self.stopped

    def close(self) -> None:
        """End nothing."""


class ScriptedPods(Pods):
    """Pods on that server."""

    port = 0

    def warm_up(self) -> Processes:
        if self._processes is None:
            self._processes = Scripted(self.port, self._exited)
        return self._processes


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def pods_on(listener: socket.socket, folder: Path, load_timeout: float) -> tuple[ScriptedPods, list[PodState]]:
    """Start a pod whose server is this listener; return its states as they come."""
    (folder / "model").mkdir()
    states: list[PodState] = []
    pods = ScriptedPods(folder, lambda _, state: states.append(state), time.monotonic, load_timeout, 60.0)
    pods.port = listener.getsockname()[1]
    pods.ensure(Order(REVISION, (folder / "model").as_uri(), "iris"))
    return pods, states


def test_a_server_that_breaks_off_is_judged_by_its_end(tmp_path: Path, listener: socket.socket) -> None:
    pods, states = pods_on(listener, tmp_path, load_timeout=30.0)
    listener.accept()[0].close()
    waiting = [t for t in threading.enumerate() if t.name == f"pod {REVISION}"]
    for thread in waiting:
        thread.join()
    assert not any(isinstance(state, Broken) for state in states)
    server = pods.warm_up()
    assert isinstance(server, Scripted)
    server.log.write_text("it is no zip file\n")
    server.on_exit(f"{REVISION.namespace}.{REVISION.name}#1", 1)
    broken = states[-1]
    assert isinstance(broken, Broken)
    assert (broken.message, broken.exit_code, broken.failures) == ("it is no zip file", 1, 1)


def test_a_server_that_takes_too_long_is_ended_and_counted_once(tmp_path: Path, listener: socket.socket) -> None:
    pods, states = pods_on(listener, tmp_path, load_timeout=0.2)
    server = pods.warm_up()
    assert isinstance(server, Scripted)
    eventually(lambda: server.stopped)
    broken = eventually(lambda: isinstance(states[-1], Broken) and states[-1])
    assert (broken.message, broken.failures) == ("the model was not loaded within 0.2 s", 1)
    assert server.stopped == [9]
    assert [state for state in states if isinstance(state, Broken)] == [broken]
