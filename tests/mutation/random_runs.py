"""The last resort: a bounded number of random runs of the whole world, each from its seed."""

from __future__ import annotations

import random

import pytest

from tests.simulation.hunt import LENGTH, failure

SEEDS = 24


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_run_holds(seed: int) -> None:
    assert failure(random.Random(seed).randbytes(LENGTH))[0] == ""
