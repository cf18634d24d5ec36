"""Child processes of the demo: each in its own group, gone when the demo is gone, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import Terminal

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 20.0


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def child(
    command: Sequence[str], environment: Mapping[str, str], log: Path, until: Callable[[], bool], patience: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; enters when `until` says so. Raises Terminal with its log's end otherwise."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent if os.uname().sysname == "Linux" else None,  # noqa: PLW1509  one prctl
        )
    try:
        _wait(process, log, until, patience)
        yield process
    finally:
        stop(process)


def _wait(process: subprocess.Popen[bytes], log: Path, until: Callable[[], bool], patience: float) -> None:
    ends = time.monotonic() + patience
    while not until():
        if process.poll() is not None:
            raise Terminal(f"{log.stem} ended with code {process.returncode}:\n{_tail(log)}", help=f"see {log}")
        if time.monotonic() > ends:
            raise Terminal(f"{log.stem} did not start within {patience:.0f} s:\n{_tail(log)}", help=f"see {log}")
        time.sleep(0.1)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and its whole group: ask first, then insist."""
    for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
