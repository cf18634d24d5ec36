"""Everything may happen in any order; I1 to I8 hold after every event, and it comes to rest once it is left alone.

SIMULATION_EXAMPLES sets how many runs are made (default 500); `python -m tests.simulation --minutes 60` looks further.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.simulation.chaos import Chaos
from tests.simulation.hunt import LENGTH, ROUNDS
from tests.simulation.tape import Tape

EXAMPLES = int(os.environ.get("SIMULATION_EXAMPLES", "500"))


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(st.binary(min_size=LENGTH, max_size=LENGTH))
def test_whatever_happens_the_invariants_hold_and_it_comes_to_rest(data: bytes) -> None:
    chaos = Chaos(Tape(data))
    try:
        chaos.run(ROUNDS)
    except BaseException:
        for line in chaos.story():
            note(line)
        raise
