"""A second reconciler on the same state: it is refused in plain words, and the first one does not notice."""

from __future__ import annotations

import subprocess
import sys

from tests.chaos.conftest import MakeRig, Rig
from tests.chaos.ending import check
from tests.chaos.story import CHAPTERS, tell


def test_beside_a_running_service_nobody_else_reconciles(rigs: MakeRig) -> None:
    first, second = CHAPTERS[:2]
    with rigs() as rig:
        tell(rig.service, (first,))
        for command in (("run",), ("apply", "--yes")):
            check_refused(rig, command)
        tell(rig.service, (second,))
        assert rig.service.end() == 0
        assert rig.service.codes == [0], "it ended by itself"
        check(rig.world, crashes=0)


def check_refused(rig: Rig, command: tuple[str, ...]) -> None:
    """Start a second one, and hear what it says."""
    running = rig.service.process
    assert running is not None
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", *command, "--config", str(rig.world.settings)],
        env=rig.service.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"process {running.pid}" in done.stderr
    assert "two would fight" in done.stderr
    assert "Traceback" not in done.stderr
