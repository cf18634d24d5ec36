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


def test_a_process_asked_to_end_or_frozen_in_the_middle_of_an_action_goes_on_where_it_was(
    rigs: MakeRig, calm: Calm
) -> None:
    ended = AskToEnd("Train: claimed", "StageCandidate: wrote POST registered-models/alias", "CutTraffic: intended")
    frozen = Freeze("Promote: wrote POST registered-models/alias", "ShiftTraffic: intended", "TakeDown: wrote delete")

    def both(reached: Reached) -> None:
        ended(reached)
        frozen(reached)

    with rigs() as rig:
        rig.judge.verdict = both
        assert tell(rig.service) == calm.endings
        assert rig.service.end() == 0
        assert (ended.left, frozen.left) == ([], [])
        assert rig.service.codes == [0, 0, 0, 0]
        check(rig.world, crashes=0)
