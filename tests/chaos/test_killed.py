"""SIGKILL at every gap between intent and outcome, and at any time: the story ends as if nothing had happened."""

from __future__ import annotations

import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.conftest import LONG, Calm, MakeRig, Rig
from tests.chaos.ending import check
from tests.chaos.judge import Reached
from tests.chaos.service import kill
from tests.chaos.story import CHAPTERS, ended, keep_up_until, tell

# Stories told at the same time, each killed at its share of the gaps: most of a life after a kill is waiting.
TELLERS = 2 if LONG else 4
MOST_ROUNDS = 6
MOST_RANDOM_KILLS = 40 if LONG else 12


class Executioner:
    """Kills the process at each of these gaps, once."""

    def __init__(self, gaps: set[str]) -> None:
        self.left = set(gaps)
        self.struck: list[str] = []

    def __call__(self, reached: Reached) -> None:
        if reached.gap in self.left:
            self.left.discard(reached.gap)
            self.struck.append(reached.gap)
            kill(reached.pid)


def story_with_kills(rig: Rig, gaps: set[str], calm: Calm) -> set[str]:
    """Tell the story, killed at each of these gaps that it comes to; return where it was."""
    executioner = Executioner(gaps)
    rig.judge.verdict = executioner
    assert tell(rig.service) == calm.endings
    rig.judge.verdict = lambda _: None
    # The last kill may have come when the story was over.
    keep_up_until(rig.service, lambda: ended(rig.world, CHAPTERS[-1]))
    assert rig.service.end() == 0
    assert rig.service.codes[:-1] == [-signal.SIGKILL] * len(executioner.struck)
    check(rig.world, crashes=len(executioner.struck))
    return set(executioner.struck)


def dealt(gaps: set[str]) -> list[set[str]]:
    """Share gaps out to stories: with CHAOS=long one to each, else as many to each as there are tellers."""
    order = sorted(gaps)
    hands = len(order) if LONG else TELLERS
    return [set(order[first::hands]) for first in range(min(hands, len(order)))]


@pytest.mark.timeout(14400 if LONG else 900)
def test_a_story_that_is_killed_at_every_gap_ends_like_a_calm_one(rigs: MakeRig, calm: Calm) -> None:
    wanted = set(calm.gaps)
    left = set(wanted)

    def one(gaps: set[str]) -> set[str]:
        with rigs() as rig:
            return story_with_kills(rig, gaps, calm)

    for _ in range(MOST_ROUNDS):
        # A kill may hide later gaps of the same action: it is done already when it is looked at again.
        with ThreadPoolExecutor(TELLERS) as pool:
            left -= set().union(*pool.map(one, dealt(left)))
        if not left:
            break
    print(f"killed at {len(wanted) - len(left)} of {len(wanted)} gaps")  # noqa: T201  the figure of this test
    assert not left, f"never came to {sorted(left)}"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(20 if LONG else 1))
def test_a_story_that_is_killed_again_and_again_at_any_time_ends_like_a_calm_one(
    seed: int, rigs: MakeRig, calm: Calm
) -> None:
    chance = random.Random(seed)
    with rigs() as rig:
        over = threading.Event()
        thread = threading.Thread(target=kill_at_random, args=(rig, chance, over))
        thread.start()
        try:
            endings = tell(rig.service)
        finally:
            over.set()
            thread.join()
        assert endings == calm.endings
        # The last kill may have come when the story was over.
        keep_up_until(rig.service, lambda: ended(rig.world, CHAPTERS[-1]))
        kills = rig.service.lives - 1
        assert rig.service.end() == 0
        check(rig.world, crashes=kills)


def kill_at_random(rig: Rig, chance: random.Random, over: threading.Event) -> None:
    """Give each life a random time from its first sign on, until the story is over."""
    killed: set[int] = set()
    while len(killed) < MOST_RANDOM_KILLS and not over.wait(0.02):
        process = rig.service.process
        if process is None or process.pid in killed or not rig.service.serves(process.pid):
            continue
        if not over.wait(chance.uniform(0, 2.5)):
            kill(process.pid)
            killed.add(process.pid)
