"""Asked to end, and stopped for longer than anybody waits, in the middle of an action."""

from __future__ import annotations

import os
import signal
import time

from tests.chaos.conftest import Calm, MakeRig
from tests.chaos.ending import check
from tests.chaos.judge import Reached
from tests.chaos.story import tell

LONGER_THAN_ANY_TIMEOUT = 3.0


class At:
    """Does something once at each of these gaps."""

    def __init__(self, *gaps: str) -> None:
        self.left = list(gaps)

    def __call__(self, reached: Reached) -> None:
        if reached.gap in self.left:
            self.left.remove(reached.gap)
            self.act(reached.pid)

    def act(self, pid: int) -> None:
        """Do it."""
        raise NotImplementedError


class AskToEnd(At):
    """Asks the process to end, as Kubernetes does."""

    def act(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)


class Freeze(At):
    """Stops the process for a while."""

    def act(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(LONGER_THAN_ANY_TIMEOUT)
        os.kill(pid, signal.SIGCONT)


def test_sigterm_in_the_middle_of_an_action_lets_it_end_and_the_next_start_goes_on(rigs: MakeRig, calm: Calm) -> None:
    middle = AskToEnd("Train: claimed", "StageCandidate: wrote POST registered-models/alias", "CutTraffic: intended")
    with rigs() as rig:
        rig.judge.verdict = middle
        assert tell(rig.service) == calm.endings
        assert rig.service.end() == 0
        assert middle.left == []
        assert rig.service.codes == [0, 0, 0, 0]
        check(rig.world, crashes=0)


def test_a_process_stopped_for_longer_than_any_timeout_goes_on_where_it_was(rigs: MakeRig, calm: Calm) -> None:
    middle = Freeze("Promote: wrote POST registered-models/alias", "ShiftTraffic: intended")
    with rigs() as rig:
        rig.judge.verdict = middle
        assert tell(rig.service) == calm.endings
        assert rig.service.end() == 0
        assert middle.left == []
        assert rig.service.codes == [0]
        check(rig.world, crashes=0)
