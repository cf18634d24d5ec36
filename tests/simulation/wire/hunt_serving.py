"""Look for failing tapes on the wire of serving: `python -m tests.simulation.wire.hunt_serving [seconds] [seed]`."""

from __future__ import annotations

import random
import sys
import time

from tests.simulation.hunt import kind, shrink
from tests.simulation.tape import Tape
from tests.simulation.wire.world import WireChaos

LENGTH, ROUNDS = 800, 120
_SHRINKING_SECONDS = 120.0


def failure(data: bytes) -> tuple[str, WireChaos]:
    """Run a tape; return how it failed, "" for not, and the run."""
    chaos = WireChaos(Tape(data))
    try:
        chaos.run(ROUNDS)
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the find
        return f"{type(error).__name__}: {error}", chaos
    return "", chaos


def shrunk(data: bytes, wanted: str) -> bytes:
    """Shrink a failing tape for some time."""
    ends = time.monotonic() + _SHRINKING_SECONDS
    return shrink(data, lambda tried: time.monotonic() < ends and kind(failure(tried)[0]) == wanted)


def main() -> int:
    """Hunt; print the first failure with its shrunk story."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began, runs, passes, calls = time.monotonic(), 0, 0, 0
    while time.monotonic() < began + seconds:
        data = random.Random(seed + runs).randbytes(LENGTH)
        what, chaos = failure(data)
        passes, calls = passes + chaos.world.passes, calls + chaos.world.faults.calls
        if what:
            what, chaos = failure(shrunk(data, kind(what)))
            sys.stdout.write("\n  ".join([f"seed {seed + runs}: {what}", *chaos.story()]) + "\n")
            return 1
        runs += 1
    took = time.monotonic() - began
    sys.stdout.write(f"{runs} runs, {passes} passes, {calls} calls ({calls / took:,.0f} a second), no failure\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
