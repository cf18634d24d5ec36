"""The world with the real serving adapter in it, and the chaos that runs in such a world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.simulation.chaos import Chaos
from tests.simulation.faults import Fault
from tests.simulation.invariants import Truth
from tests.simulation.systems import Metrics, SimProber
from tests.simulation.wire.serving import Pick, WireServing, calmest
from tests.simulation.world import World

# Longer than the watches go on without a list of everything.
_RESYNC = timedelta(minutes=11)


class WireWorld(World):
    """A world whose KServe is behind the real adapter."""

    def __init__(
        self, choose: Callable[[str], Fault], outcomes: Callable[[], Metrics | None], pick: Pick = calmest
    ) -> None:
        super().__init__(choose, outcomes)
        self.wire = self.serving = WireServing(self.faults, self.clock, self.sleep, pick)
        self.prober = SimProber(self.faults, self.bad, self.serving)
        self.truth = Truth(self.registry, self.serving, self.training, self.ledger, self.source, self.prober)
        self.restart()

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def restart(self) -> None:
        """Begin a new process, with an empty cache."""
        if isinstance(self.serving, WireServing):
            self.serving.restart()
        super().restart()


@dataclass(slots=True)
class WireChaos(Chaos):
    """The same stories in such a world."""

    calm_calls: int = 0

    def made(self, outcomes: Callable[[], Metrics | None]) -> WireWorld:
        """Make the world."""
        world = WireWorld(self.tape.fault, outcomes, self._pick)
        world.wire.api.often = self._fails
        return world

    def _fails(self, likely: int) -> bool:
        """Fail a call on the wire now and then: a byte says after how many, 0 never."""
        if not self.tape.running:
            return False
        if self.calm_calls <= 0:
            self.calm_calls = self.tape.byte() or 10_000
        self.calm_calls -= likely
        return self.calm_calls <= 0

    def _pick(self, options: Sequence[Any]) -> Any:
        return self.tape.pick(options) if self.tape.running else calmest(options)

    def heal(self) -> None:
        """Stop all faults; what a watch has lost is found by the next list of everything."""
        Chaos.heal(self)
        self.world.now += _RESYNC
