"""Look for failing tapes for as long as wanted: `python -m tests.simulation.hunt [seconds] [seed]`."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from tests.simulation.chaos import Chaos
from tests.simulation.tape import Tape

LENGTH, ROUNDS = 500, 120


def failure(data: bytes) -> tuple[str, list[str], Chaos | None]:
    """Run a tape; return how it failed ("" for not), its story and the run."""
    chaos = None
    try:
        chaos = Chaos(Tape(data))
        chaos.run(ROUNDS)
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the find
        what = f"{type(error).__name__}: {error}"
        return what, chaos.story() if chaos else [], chaos
    return "", [], chaos


def kind(what: str) -> str:
    """Return what failures of one kind have in common."""
    return "".join(c for c in what if not c.isdigit())[:60]


def shrink(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Zero as much of a failing tape as possible, in blocks that get smaller."""
    size = len(data) // 2
    while size:
        for start in range(0, len(data), size):
            tried = data[:start] + bytes(len(data[start : start + size])) + data[start + size :]
            if tried != data and fails(tried):
                data = tried
        size //= 2
    return data


def alike(wanted: str) -> Callable[[bytes], bool]:
    """Return a test for failures of one kind."""
    return lambda data: kind(failure(data)[0]) == wanted


def main() -> int:
    """Hunt; print the first failure with its shrunk story."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    ends, runs, passes, calls = time.monotonic() + seconds, 0, 0, 0
    while time.monotonic() < ends:
        data = random.Random(seed + runs).randbytes(LENGTH)
        what, _, chaos = failure(data)
        if chaos is not None:
            passes, calls = passes + chaos.world.passes, calls + chaos.world.faults.calls
        if what:
            what, story, _ = failure(shrink(data, alike(kind(what))))
            sys.stdout.write("\n  ".join([f"seed {seed + runs}: {what}", *story]) + "\n")
            return 1
        runs += 1
    sys.stdout.write(f"{runs} runs, {passes} passes, {calls} calls, no failure\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
