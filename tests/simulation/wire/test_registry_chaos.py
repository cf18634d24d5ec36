"""Whatever HTTP does between us and MLflow, the invariants hold, and it comes to rest once the network is well.

WIRE_EXAMPLES sets how many runs are made (default 60).
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.simulation.hunt import LENGTH, ROUNDS
from tests.simulation.tape import Tape
from tests.simulation.wire.chaos import RegistryChaos

EXAMPLES = int(os.environ.get("WIRE_EXAMPLES", "60"))


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(st.binary(min_size=LENGTH, max_size=LENGTH))
def test_whatever_http_does_the_invariants_hold_and_it_comes_to_rest(data: bytes) -> None:
    chaos = RegistryChaos(Tape(data))
    try:
        chaos.run(ROUNDS)
    except BaseException:
        for line in chaos.story():
            note(line)
        raise
