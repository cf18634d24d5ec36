"""A small process that has everything imported and forks the model servers.

A fork starts in a tenth of the time of a fresh interpreter and shares the libraries' memory. It reads
one JSON command a line from stdin and writes one JSON event a line to stdout:

    {"do": "start", "id": ..., "name": ..., "directory": ..., "log": ...}   -> {"id", "pid", "port"}
    {"do": "stop", "id": ..., "signal": 15}                                 -> {"id", "exit"} once it ended

It ends, and takes every server with it, when stdin closes or the thread that started it dies.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 3.0
_PRELOADED = (
    "reconciler.demo.kserve.modelserver",
    "mlflow.sklearn",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "skops.io",
)


class Spawner:
    """The servers it forked, by id; a pid is only signalled while it is known to be unreaped."""

    def __init__(self) -> None:
        self._running: dict[int, str] = {}

    def handle(self, command: dict[str, Any]) -> None:
        """Carry out one command; a stop for a server that has ended does nothing."""
        if command["do"] == "start":
            self._start(command)
            return
        for pid, server in self._running.items():
            if server == command["id"]:
                os.kill(pid, command["signal"])

    def reap(self) -> None:
        """Collect every server that has ended and tell its exit code (negative: the signal)."""
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _tell({"id": self._running.pop(pid), "exit": os.waitstatus_to_exitcode(status)})

    def end_all(self) -> None:
        """End every server, by force after a short grace."""
        deadline = time.monotonic() + _GRACE_SECONDS
        self._signal_all(signal.SIGTERM)
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
            self.reap()
        self._signal_all(signal.SIGKILL)
        for pid in self._running:
            os.waitpid(pid, 0)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, number)

    def _start(self, command: dict[str, Any]) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        # The event loop takes a socket by its descriptor for a Unix one and leaves Nagle's delay of 40 ms on.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become_server(command, listener, parent)
        port = listener.getsockname()[1]
        listener.close()
        self._running[pid] = command["id"]
        _tell({"id": command["id"], "pid": pid, "port": port})


def _become_server(command: dict[str, Any], listener: socket.socket, parent: int) -> None:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent(parent)
        _redirect(Path(command["log"]))
        from reconciler.demo.kserve.modelserver import serve  # noqa: PLC0415  imported by main() already

        serve(command["name"], Path(command["directory"]), listener)
        code = 0
    except BaseException:  # noqa: BLE001  the process ends here; the log is its termination message
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it dies (Linux only)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _redirect(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)


def _tell(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _preload() -> None:
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve commands until stdin closes."""
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    _preload()
    _tell({"id": "", "ready": True})
    _loop(Spawner(), woken)


def _loop(spawner: Spawner, woken: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    pending = b""
    while True:
        for key, _ in selector.select():
            if key.fileobj is woken:
                woken.recv(4096)
                spawner.reap()
                continue
            received = os.read(sys.stdin.fileno(), 65536)
            if not received:
                spawner.end_all()
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                spawner.handle(json.loads(line))


if __name__ == "__main__":
    main()
