"""Run tapes, tell how they failed, and shrink those that did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.chaos import Chaos
from tests.simulation.tape import Tape

LENGTH, ROUNDS = 500, 120


@dataclass(frozen=True, slots=True)
class Run:
    """How a tape ended: `failure` is empty where all was well, `trace` a hash of every call and what became of it."""

    failure: str
    story: tuple[str, ...]
    trace: str
    calls: int
    passes: int


def run(data: bytes) -> Run:
    """Run a tape to its end."""
    what, story, chaos = failure(data)
    if chaos is None:
        return Run(what, tuple(story), "", 0, 0)
    faults = chaos.world.faults
    return Run(what, tuple(chaos.story()), faults.trace.hexdigest(), faults.calls, chaos.world.passes)


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
