"""Everything may happen in any order, with the real serving adapter and every fault of its API and watches.

SIMULATION_WIRE_EXAMPLES sets how many runs are made; `python -m tests.simulation.wire.hunt_serving SECONDS` looks
further.
"""

from __future__ import annotations

import os
from random import Random

from tests.simulation.tape import Tape
from tests.simulation.wire.hunt_serving import LENGTH, ROUNDS
from tests.simulation.wire.kube_faults import OnWatch, Wire
from tests.simulation.wire.world import WireChaos

EXAMPLES = int(os.environ.get("SIMULATION_WIRE_EXAMPLES", "80"))


def test_whatever_happens_on_the_wire_the_invariants_hold_and_it_comes_to_rest() -> None:
    never_met = {fault.value for fault in (*Wire, *OnWatch)}
    for seed in range(EXAMPLES):
        chaos = WireChaos(Tape(Random(seed).randbytes(LENGTH)))
        try:
            chaos.run(ROUNDS)
        except BaseException as error:
            error.add_note("\n".join([f"seed {seed}", *chaos.story()]))
            raise
        said = "\n".join(chaos.story())
        never_met = {fault for fault in never_met if f": {fault}" not in said}
    # Faults that never happen would prove nothing.
    assert len(never_met) <= 2 or EXAMPLES < 50, never_met
