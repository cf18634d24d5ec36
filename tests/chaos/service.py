"""The real service as a process, started, stopped, killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.breakpoints import VARIABLE
from tests.chaos.forks import Life
from tests.chaos.judge import Judge
from tests.chaos.world import World, environment

Start = Callable[[Sequence[str], Mapping[str, str], Path], Life | subprocess.Popen[bytes]]
"""Starts `reconciler` with arguments and an environment; what it says goes to the end of a file."""


@dataclass
class Service:
    """`reconciler run`; `lives` counts how often it was started, `codes` how each ended."""

    world: World
    judge: Judge
    begin: Start
    process: Life | subprocess.Popen[bytes] | None = None
    codes: list[int] = field(default_factory=list)

    @property
    def lives(self) -> int:
        """Return how often it was started."""
        return len(self.codes) + (self.process is not None)

    def start(self) -> None:
        """Start it."""
        arguments = ["run", "--config", str(self.world.settings)]
        self.process = self.begin(arguments, self.environment(), self.world.folder / "log.txt")

    def environment(self) -> dict[str, str]:
        """Return the environment that it is started with."""
        return {**environment(), VARIABLE: str(self.judge.path)}

    def alive(self) -> bool:
        """Tell whether it runs; notes how it ended."""
        if self.process is not None and (code := self.process.poll()) is not None:
            self.codes.append(code)
            self.process = None
        return self.process is not None

    def end(self, number: signal.Signals = signal.SIGTERM, patience: float = 180) -> int:
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
def service(world: World, judge: Judge, begin: Start) -> Iterator[Service]:
    """Give a service that is ended with the block, however it is then."""
    made = Service(world, judge, begin)
    try:
        yield made
    finally:
        if made.alive() and made.process is not None:
            # It may stand still at a breakpoint or be stopped: nothing but this ends it surely.
            made.process.kill()
            made.process.wait()


def execute(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start it as a service manager does."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "reconciler", *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def kill(pid: int) -> None:
    """Kill a process, and return when its threads run no more."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    ends = time.monotonic() + 60
    while _runs(pid):
        assert time.monotonic() < ends, f"process {pid} survives SIGKILL"
        time.sleep(0.002)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123  one read
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
