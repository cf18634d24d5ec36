"""The random stories of the simulation, told over the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tests.simulation.chaos import Chaos
from tests.simulation.faults import Fault
from tests.simulation.systems import Metrics
from tests.simulation.tape import Tape
from tests.simulation.wire.http_faults import HttpFault, TapedHttp
from tests.simulation.wire.registry import WireRegistry, calm
from tests.simulation.world import World

# Longer than evidence is kept: nobody can tell a false NaN from a true one.
LIES_LAST = 60.0


class RegistryWorld(World):
    """A world whose registry is reached by the real adapter."""

    registry: WireRegistry

    def __init__(
        self,
        choose: Callable[[str], Fault],
        outcomes: Callable[[], Metrics | None],
        odd: Callable[[str], HttpFault] = calm,
        later: Callable[[], int] = int,
    ) -> None:
        self._odd = odd
        self._later = later
        super().__init__(choose, outcomes)

    def restart(self) -> None:
        """Begin a new process with a new adapter."""
        if not isinstance(self.registry, WireRegistry):
            self.registry = WireRegistry(
                self.faults, clock=self.clock, wait=self.wait, odd=self._odd, later=self._later
            )
            self.training.registry = self.truth.registry = self.registry
        self.registry.reopen()
        super().restart()

    def wait(self, seconds: float) -> None:
        """Let a call take its time."""
        self.pass_time(self.now + timedelta(seconds=seconds))


@dataclass(slots=True)
class RegistryChaos(Chaos):
    """A run with every fault of HTTP between the reconciler and MLflow."""

    world: RegistryWorld = field(init=False)

    def made(self, outcomes: Callable[[], Metrics | None]) -> RegistryWorld:
        """Make the world."""
        http = TapedHttp(self.tape)
        return RegistryWorld(self.tape.fault, outcomes, http, http.later)

    def heal(self) -> None:
        """Stop all faults; metrics that were no more than claimed are read again."""
        self.world.wait(LIES_LAST)
        Chaos.heal(self)


def failure(data: bytes, rounds: int) -> tuple[str, RegistryChaos]:
    """Run a tape; return how it failed ("" for not) and the run."""
    chaos = RegistryChaos(Tape(data))
    try:
        chaos.run(rounds)
    except Exception as error:  # noqa: BLE001  whatever goes wrong is the find
        return f"{type(error).__name__}: {error}", chaos
    return "", chaos
