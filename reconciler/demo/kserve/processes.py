"""Model server processes, started and stopped through the spawner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from reconciler.demo.kserve.names import Json

_log = structlog.get_logger(__name__)

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
_ONE_THREAD = dict.fromkeys(_THREAD_LIMITS, "1")
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_STOP_SECONDS = 15.0


class SpawnerGone(Exception):  # noqa: N818  an event, told as one
    """The spawner ended, and all model servers with it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A running model server."""

    id: str
    pid: int
    port: int


class Processes:
    """The spawner and its servers; `on_exit(id, code)` is called from a reader thread for each end.

    Start it from a thread that lives as long as the servers shall: they die with it.
    """

    def __init__(self, log_file: Path, on_exit: Callable[[str, int], None]) -> None:
        self._on_exit = on_exit
        self._lock = threading.Condition()
        self._started: dict[str, Process] = {}
        self._alive: set[str] = set()
        self._gone = False
        with log_file.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "reconciler.demo.kserve.spawner", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_ONE_THREAD, **_QUIET},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name="kserve-spawner-events", daemon=True)
        self._reader.start()

    @property
    def gone(self) -> bool:
        """Whether the spawner has ended."""
        return self._gone

    def start(self, server: str, name: str, directory: Path, log: Path) -> Process:
        """Fork a server; it listens at once and answers when its model is loaded."""
        command = {"do": "start", "id": server, "name": name, "directory": str(directory), "log": str(log)}
        self._send(command)
        with self._lock:
            self._lock.wait_for(lambda: server in self._started or self._gone)
            if server not in self._started:
                raise SpawnerGone
            return self._started.pop(server)

    def stop(self, server: str, signal_number: int) -> None:
        """Send a signal to a server; nothing happens if it has ended."""
        try:
            self._send({"do": "stop", "id": server, "signal": int(signal_number)})
        except SpawnerGone:
            _log.debug("the server is gone with its spawner", server=server)

    def alive(self, server: str) -> bool:
        """Tell whether a started server still runs."""
        with self._lock:
            return server in self._alive

    def close(self) -> None:
        """End all servers and the spawner."""
        stdin = self._child.stdin
        assert stdin is not None  # noqa: S101  opened as a pipe above
        with self._lock:
            stdin.close()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join()

    def _send(self, command: Json) -> None:
        line = json.dumps(command).encode() + b"\n"
        stdin = self._child.stdin
        assert stdin is not None  # noqa: S101  opened as a pipe above
        try:
            with self._lock:
                stdin.write(line)
                stdin.flush()
        except (BrokenPipeError, ValueError) as error:  # ValueError: closed by close()
            raise SpawnerGone from error

    def _read(self) -> None:
        stdout = self._child.stdout
        assert stdout is not None  # noqa: S101  opened as a pipe above
        with stdout:
            for line in stdout:
                self._take(json.loads(line))
        with self._lock:
            self._gone = True
            lost, self._alive = self._alive, set()
            self._lock.notify_all()
        for server in lost:
            self._on_exit(server, -9)

    def _take(self, event: dict[str, Any]) -> None:
        server = event["id"]
        with self._lock:
            if "port" in event:
                self._started[server] = Process(server, event["pid"], event["port"])
                self._alive.add(server)
            elif "exit" in event:
                self._alive.discard(server)
            self._lock.notify_all()
        if "exit" in event:
            self._on_exit(server, event["exit"])
