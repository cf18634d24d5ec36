"""A seed tells the same story everywhere, and what failed once does not fail again."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.corpus import CORPUS
from tests.simulation.hunt import alike, kind, run, shrink

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", CORPUS)
def test_what_failed_once_does_not_fail_again(name: str) -> None:
    assert run(CORPUS[name]).failure == ""


@pytest.mark.parametrize("seed", [3, 42, 80])
def test_the_same_seed_makes_the_same_calls_in_two_processes_whatever_the_hash_seed(seed: int) -> None:
    told = set()
    for hash_seed in ("0", "4242"):
        command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
        made = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(made.stdout)
    assert len(told) == 1
    assert "trace " in told.pop()


def test_two_seeds_do_not_make_the_same_calls() -> None:
    assert run(CORPUS["a create that lands after the removal"]).trace != run(bytes(500)).trace


def test_a_hunt_says_how_much_it_looked_at() -> None:
    out = io.StringIO()
    assert main(["--minutes", "0.01", "--jobs", "1"], out) == 0
    assert "fault points" in out.getvalue()
    assert "no failure" in out.getvalue()


def test_what_fails_is_shrunk_to_what_matters() -> None:
    data = bytes([7]) * 64
    assert shrink(data, lambda tried: tried[10] == 7) == bytes(10) + bytes([7]) + bytes(53)
    assert alike(kind("boom 12"))(b"") is False
