"""One mutant in a forked child: the tests that reach it, the fastest first, until one fails."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.mutation.sites import Mutant
from tests.mutation.swap import swap_in

# How many times longer than before a test may take, beside the patience.
SLOWER = 10.0
# Seconds on the wall for one test, in case it waits for what never comes.
STUCK = 60.0
MEMORY = 2 * 2**30

Run = Callable[[int], bool]
"""Runs the test of a number; tells whether it failed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant and the tests to try, in order, each with the seconds it takes on the code as it is."""

    mutant: Mutant
    tests: Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a mutant ended: `killer` is the number of the test that failed, None for a survivor."""

    mutant: Mutant
    killer: int | None
    seconds: float
    too_long: bool = False


@dataclass(slots=True)
class Child:
    """A process that tries a mutant; `said` is what it wrote so far."""

    process: int
    trial: Trial
    started: float
    said: bytes = b""


def trials(todo: Sequence[Trial], run: Run, jobs: int, patience: float) -> Iterator[Verdict]:
    """Try every mutant, so many at a time; yield the verdicts as they come.

    `patience` is how many processor seconds a test may take that took no time before.
    """
    gc.collect()
    gc.freeze()
    running: dict[int, Child] = {}
    waiting = list(reversed(todo))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                trial = waiting.pop()
                if trial.tests:
                    pipe, child = _start(trial, run, patience)
                    running[pipe] = child
                else:
                    yield Verdict(trial.mutant, None, 0.0)
            yield from _ended(running)
    finally:
        for pipe, child in running.items():
            os.kill(child.process, signal.SIGKILL)
            os.waitpid(child.process, 0)
            os.close(pipe)
        gc.unfreeze()


def _start(trial: Trial, run: Run, patience: float) -> tuple[int, Child]:
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return reader, Child(child, trial, time.monotonic())
    try:
        os.close(reader)
        _try(trial, run, patience, writer)
    except BaseException:  # noqa: BLE001  nothing may leave the child, which is a copy of its parent
        os.write(writer, f"broken {traceback.format_exc()}".encode())
    finally:
        os._exit(0)


def _try(trial: Trial, run: Run, patience: float, writer: int) -> None:
    """Report each test that is begun, and at the end the one that failed or 0; in the child."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY + _address_space(), resource.RLIM_INFINITY))
    for ending in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(ending, signal.SIG_DFL)
    swap_in(trial.mutant)
    for number, seconds in trial.tests:
        os.write(writer, f"{number} ".encode())
        signal.setitimer(signal.ITIMER_PROF, patience + SLOWER * seconds)
        signal.setitimer(signal.ITIMER_REAL, STUCK)
        if run(number):
            os.write(writer, b"failed")
            return
    os.write(writer, b"survived")


def _address_space() -> int:
    return os.sysconf("SC_PAGE_SIZE") * int(_statm().split()[0])


def _statm() -> str:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  a child's few lines
        return file.read()


def _ended(running: dict[int, Child]) -> Iterator[Verdict]:
    """Listen until one ends: its end of the pipe is then closed."""
    for pipe in select.select(list(running), [], [])[0] if running else ():
        if heard := os.read(pipe, 65536):
            running[pipe].said += heard
        else:
            os.close(pipe)
            yield _verdict(running.pop(pipe))


def _verdict(child: Child) -> Verdict:
    """Tell how a child ended. One that its limits ended, or what the change did to it, was killed."""
    os.waitpid(child.process, 0)
    before, _, broken = child.said.decode().partition("broken ")
    if broken:
        raise RuntimeError(f"the mutant {child.trial.mutant.key} could not be tried:\n{broken}")
    *begun, last = before.split(" ")
    seconds = time.monotonic() - child.started
    if last == "survived":
        return Verdict(child.trial.mutant, None, seconds)
    if not begun:
        raise RuntimeError(f"the mutant {child.trial.mutant.key} could not be put in: its process ended")
    return Verdict(child.trial.mutant, int(begun[-1]), seconds, too_long=last != "failed")
