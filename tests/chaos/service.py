"""The real service as a process, started, stopped, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.breakpoints import VARIABLE
from tests.chaos.judge import Judge
from tests.chaos.world import World, environment


@dataclass
class Service:
    """`python -m reconciler run`; `lives` counts how often it was started, `codes` how each ended."""

    world: World
    judge: Judge
    process: subprocess.Popen[bytes] | None = None
    codes: list[int] = field(default_factory=list)

    @property
    def lives(self) -> int:
        """Return how often it was started."""
        return len(self.codes) + (self.process is not None)

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "reconciler", "run", "--config", str(self.world.settings)]
        with (self.world.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**environment(), VARIABLE: str(self.judge.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def alive(self) -> bool:
        """Tell whether it runs; notes how it ended."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self.codes.append(code)
            self.process = None
        return self.process is not None

    def end(self, number: signal.Signals = signal.SIGTERM, patience: float = 20) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(patience)
        self.alive()
        return code

    def serves(self, pid: int) -> bool:
        """Tell whether this process has come so far as to serve its API."""
        try:
            address = json.loads((self.world.state / "http.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(address["pid"] == pid)

    def log(self) -> str:
        """Return what it wrote, in all its lives."""
        return (self.world.folder / "log.txt").read_text(encoding="utf-8", errors="replace")


@contextmanager
def service(world: World, judge: Judge) -> Iterator[Service]:
    """Give a service that is ended with the block, however it is then."""
    made = Service(world, judge)
    try:
        yield made
    finally:
        if made.alive() and made.process is not None:
            # It may stand still at a breakpoint or be stopped: nothing but this ends it surely.
            made.process.kill()
            made.process.wait()


def kill(pid: int) -> None:
    """Kill a process, and return when its threads run no more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    ends = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < ends, f"process {pid} survives SIGKILL"
        time.sleep(0.002)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123  one read
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
