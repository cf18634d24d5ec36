"""Killed while it starts a training on this machine: the training takes place once, and costs no attempt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.breakpoints import VARIABLE
from reconciler.observed import RunState
from tests.chaos.judge import Reached, judging
from tests.chaos.service import kill
from tests.systems.training import pipelines
from tests.systems.training.conftest import ended, open_training, request

PLACES = ("run named", "run begun")
_START = """
import sys
from pathlib import Path
from reconciler.observed import Package
from tests.systems.training.conftest import open_training, request
runs, package, out = map(Path, sys.argv[1:])
asked = request(Package("p.yaml", package.read_bytes()), {"path": str(out)})
open_training(runs).ensure_started(asked)
"""


@pytest.mark.parametrize("place", PLACES)
def test_a_run_whose_start_was_cut_short_takes_place_once(place: str, tmp_path: Path) -> None:
    package, out = pipelines.package(pipelines.writes, tmp_path), tmp_path / "out"

    def kill_there(reached: Reached) -> None:
        if reached.gap.endswith(place):
            kill(reached.pid)

    with judging() as judge:
        judge.verdict = kill_there
        command = [sys.executable, "-c", _START, str(tmp_path / "runs"), str(tmp_path / "pipeline.yaml"), str(out)]
        environment = {**os.environ, VARIABLE: str(judge.path), "PYTHONPATH": str(Path(__file__).parents[2])}
        assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    training = open_training(tmp_path / "runs")
    try:
        training.ensure_started(request(package, {"path": str(out)}))
        assert ended(training).state is RunState.SUCCEEDED
        assert [run.attempt for run in training.runs("iris")] == [1]
    finally:
        training.stop_all()
    assert out.read_text(encoding="utf-8") == "done" + "iris/k1/1"
