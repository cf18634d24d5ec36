"""Replay one run, or look for failing ones: `python -m tests.simulation --seed 7`, or `--minutes 60`, or `--corpus`."""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.pool
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from tests.simulation.corpus import CORPUS, tape
from tests.simulation.hunt import Run, alike, kind, run, shrink

PIECE = 25


@dataclass(frozen=True, slots=True)
class Found:
    """What the runs of some seeds came to."""

    runs: int
    passes: int
    calls: int
    failed: tuple[int, ...]


def replay(seed: int, out: TextIO) -> int:
    """Tell the story of one seed: shrunk when it fails, whole when it does not."""
    whole = run(tape(seed))
    if not whole.failure:
        out.write("\n  ".join([f"seed {seed}: all is well", *whole.story]) + "\n")
        out.write(f"trace {whole.trace} of {whole.calls} calls in {whole.passes} passes\n")
        return 0
    short = run(shrink(tape(seed), alike(kind(whole.failure))))
    out.write("\n  ".join([f"seed {seed}: {whole.failure}", "", "shrunk to:", *short.story, short.failure]) + "\n")
    out.write(f"trace {whole.trace} of {whole.calls} calls in {whole.passes} passes\n")
    return 1


def search(seeds: tuple[int, int]) -> Found:
    """Run the seeds of a range."""
    made: list[tuple[int, Run]] = [(seed, run(tape(seed))) for seed in range(*seeds)]
    failed = tuple(seed for seed, one in made if one.failure)
    return Found(len(made), sum(one.passes for _, one in made), sum(one.calls for _, one in made), failed)


def _until(first: int, ends: float) -> Iterator[tuple[int, int]]:
    while time.monotonic() < ends:
        yield first, first + PIECE
        first += PIECE


def _many(first: int, runs: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + PIECE, first + runs)) for start in range(first, first + runs, PIECE))


def hunt(pieces: Iterator[tuple[int, int]], first: int, jobs: int, out: TextIO) -> int:
    """Look for failing seeds on several cores, until one is found or there are no more."""
    began, runs, passes, calls = time.monotonic(), 0, 0, 0
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for found in _bounded(pool, jobs, pieces):
            runs, passes, calls = runs + found.runs, passes + found.passes, calls + found.calls
            if found.failed:
                out.write(f"after {runs} runs:\n")
                return replay(found.failed[0], out)
    seconds = time.monotonic() - began
    rate = calls / seconds / jobs if seconds else 0
    out.write(
        f"{runs:,} runs, {passes:,} passes, {calls:,} fault points in {seconds:.0f} s on {jobs} cores: no failure\n"
        f"{rate:,.0f} fault points per second and core; next: --first {first + runs}\n"
    )
    return 0


def _bounded(pool: multiprocessing.pool.Pool, jobs: int, pieces: Iterator[tuple[int, int]]) -> Iterator[Found]:
    """Keep only as many pieces under way as there are cores, so that the time given holds."""
    waiting = [pool.apply_async(search, (piece,)) for _, piece in zip(range(jobs), pieces, strict=False)]
    while waiting:
        yield waiting.pop(0).get()
        waiting += [pool.apply_async(search, (piece,)) for _, piece in zip(range(1), pieces, strict=False)]


def corpus(out: TextIO) -> int:
    """Run every tape that failed once."""
    failed = {name: made.failure for name, data in CORPUS.items() if (made := run(data)).failure}
    out.write("".join(f"{name}: {why}\n" for name, why in failed.items()))
    out.write(f"{len(CORPUS)} tapes that failed once, {len(failed)} fail now\n")
    return 1 if failed else 0


def main(arguments: list[str], out: TextIO) -> int:
    """Read the command line and do what it says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="replay this seed and tell its story, shrunk if it fails")
    what.add_argument("--minutes", type=float, help="look for failing seeds for so long")
    what.add_argument("--runs", type=int, help="look for failing seeds among so many")
    what.add_argument("--corpus", action="store_true", help="run every tape that failed once")
    parser.add_argument("--first", type=int, default=0, help="the first seed to look at (default 0)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="cores to use (default: all)")
    said = parser.parse_args(arguments)
    if said.seed is not None:
        return replay(said.seed, out)
    if said.corpus:
        return corpus(out)
    ends = time.monotonic() + (said.minutes or 0) * 60
    pieces = _until(said.first, ends) if said.runs is None else _many(said.first, said.runs)
    return hunt(pieces, said.first, said.jobs, out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout))
