"""Run named hostile inputs in a process of its own, with a limit on time and memory for each.

A corpus is a module with `CASES` (a name and a function that feeds one input to the product) and `EXPECTED` (the
exceptions that the product raises on purpose). The process ends when a case takes too long or crashes the
interpreter; the cases after it run in a new one.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a case ended: `wrong` is "" when the product took it well."""

    seconds: float
    wrong: str


class _TooLong(BaseException):
    """Passes every `except Exception`."""


def run_corpus(corpus: str, seconds: float, megabytes: int) -> dict[str, Ended]:
    """Run every case of a corpus; `megabytes` is what a case may take beyond what importing took."""
    ended: dict[str, Ended] = {}
    names = list(importlib.import_module(corpus).CASES)
    while left := [name for name in names if name not in ended]:
        ended |= _run_some(corpus, left, seconds, megabytes)
    return ended


def _run_some(corpus: str, names: list[str], seconds: float, megabytes: int) -> dict[str, Ended]:
    """Run cases until one kills the process, or all are done."""
    asked = json.dumps({"corpus": corpus, "names": names, "seconds": seconds, "megabytes": megabytes})
    command = [sys.executable, "-m", "tests.hostile.bounded"]
    limit = 30 + seconds * len(names)
    # Each thread would reserve an arena of its own, which counts as memory though nobody touches it.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(
        command, input=asked.encode(), capture_output=True, cwd=ROOT, env=environment, timeout=limit, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    ended = {line["name"]: Ended(line["seconds"], line["wrong"]) for line in lines}
    if len(ended) < len(names):
        how = f"ended the process with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}"
        ended[names[len(ended)]] = Ended(0.0, how)
    return ended


def _main() -> None:
    asked = json.load(sys.stdin)
    corpus = importlib.import_module(asked["corpus"])
    _limit_memory(asked["megabytes"])
    signal.signal(signal.SIGALRM, _stop)
    for name in asked["names"]:
        began = time.monotonic()
        wrong = _take(corpus, name, asked["seconds"])
        line = {"name": name, "seconds": round(time.monotonic() - began, 3), "wrong": wrong}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if wrong.startswith("took longer"):
            os._exit(1)


def _limit_memory(megabytes: int) -> None:
    threading.stack_size(512 * 1024)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _TooLong


def _take(corpus: Any, name: str, seconds: float) -> str:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # A loop in C never comes back to see the signal: then the whole process ends.
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 2, resource.RLIM_INFINITY))
    try:
        corpus.CASES[name]()
    except corpus.EXPECTED:
        return ""
    except _TooLong:
        return f"took longer than {seconds} s"
    except BaseException as error:  # noqa: BLE001  whatever comes out is what the test is about
        return f"{type(error).__module__}.{type(error).__qualname__}: {str(error)[:300]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


if __name__ == "__main__":
    _main()
