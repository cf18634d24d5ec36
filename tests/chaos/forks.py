"""A parent that has imported the reconciler once, and forks each life of it: imports are most of what a start costs.

The forked process is one of its own, with signals, threads, files and an end like any other.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS = 120
# What is imported only while it runs.
_LATER = ("alembic.command", "fastapi", "kfp_server_api", "kubernetes.client", "uvicorn")
_NOT_OURS = (".demo", ".migrations", "__main__", ".cli.demo")


@dataclass
class Life:
    """One forked process; speaks like subprocess.Popen as far as it is needed."""

    pid: int
    returncode: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing where it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


class Parent:
    """The side of the tests: asks for lives, and is told of their ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._asking = threading.Lock()
        self._heard = threading.Condition()
        self._started: list[int] = []
        self._lives: dict[int, Life] = {}
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def close(self) -> None:
        """End every life, and then the parent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(START_SECONDS)
        self._listening.join()
        self._process.stdout.close()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Life:
        """Start `reconciler` with these arguments."""
        request = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        assert self._process.stdin is not None
        with self._asking:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            with self._heard:
                assert self._heard.wait_for(lambda: self._started, START_SECONDS), "the parent starts nothing"
                return self._lives[self._started.pop()]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, pid, code = line.split()
            with self._heard:
                # A short life may have ended before its start is told.
                life = self._lives.setdefault(int(pid), Life(int(pid)))
                if word == b"started":
                    self._started.append(life.pid)
                    self._heard.notify_all()
                else:
                    life.returncode = int(code)
                    life.ended.set()


@contextmanager
def parent() -> Iterator[Parent]:
    """Give a parent that is ended with the block, after all of its children."""
    command = [sys.executable, "-m", "tests.chaos.forks"]
    where = {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        command, env={**os.environ, **where}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    made = Parent(process)
    try:
        yield made
    finally:
        made.close()


def _warm_up() -> None:
    import reconciler  # noqa: PLC0415  only the parent pays

    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not any(part in module.name for part in _NOT_OURS):
            importlib.import_module(module.name)
    for name in _LATER:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _tell(word: str, pid: int, code: int) -> None:
    # One write: the handler of SIGCHLD may come between any two.
    os.write(1, f"{word} {pid} {code}\n".encode())


def _reap(children: set[int]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            children.discard(pid)
            _tell("ended", pid, os.waitstatus_to_exitcode(status))


def _fork_as_asked() -> dict[str, Any] | None:
    """Fork for each request; returns the request in the child, and None in the parent when nobody asks any more."""
    children: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: _reap(children))
    for line in sys.stdin:
        # Ends are told after starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            found: dict[str, Any] = json.loads(line)
            return found
        children.add(pid)
        _tell("started", pid, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for pid in tuple(children):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return None


def main() -> None:
    """Be the parent, and in a forked process the reconciler."""
    _warm_up()
    request = _fork_as_asked()
    if request is None:
        return
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, theirs)
    sys.argv = ["reconciler", *request["arguments"]]
    from reconciler.cli import main as run  # noqa: PLC0415  as the console script does

    run()


if __name__ == "__main__":
    main()
