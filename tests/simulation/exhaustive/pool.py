"""Try faults in two processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation.exhaustive.explore import Explorer, Report
from tests.simulation.exhaustive.reference import STORIES

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried on a story: `kind` is "singles" or "pairs"."""

    story: str
    kind: str


def trials(names: Iterable[str]) -> list[Trial]:
    """Return everything to be tried on these stories, the longest first."""
    wanted = set(names)
    chosen = [story for story in STORIES if story.name in wanted]
    pairs = [Trial(story.name, "pairs") for story in chosen if story.pairs]
    return [*pairs, *(Trial(story.name, "singles") for story in chosen)]


def tried(trial: Trial) -> Report:
    """Try it here."""
    explorer = Explorer(next(story for story in STORIES if story.name == trial.story))
    return explorer.pairs() if trial.kind == "pairs" else explorer.singles()


def results(wanted: list[Trial]) -> dict[Trial, Report]:
    """Try all of it, in processes that have ended when this returns."""
    # Begun anew and not forked: the process that asks may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as processes:
        return dict(zip(wanted, processes.map(tried, wanted), strict=True))
