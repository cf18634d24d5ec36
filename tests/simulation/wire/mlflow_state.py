"""What an MLflow server holds besides the registry: runs with their metrics, and artifacts behind its proxy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.simulation.registry import SimRegistry

ORIGIN = "http://mlflow.simulated"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"


@dataclass(slots=True)
class MlflowState(SimRegistry):
    """A registry whose versions come from runs."""

    def register(self, name: str, tags: Mapping[str, str], metrics: Mapping[str, float], now: datetime) -> int:
        # `super()` does not find its way through a class with slots that was made anew.
        number = SimRegistry.register(self, name, tags, metrics, now)
        self._edit(name, number, run_id=f"{name}#{number}", source=f"models:/m-{number}")
        return number

    def location(self, name: str, number: int) -> str:
        """Return where a version's artifact lies: behind MLflow's proxy, where KServe can fetch it too."""
        return f"{ORIGIN}{ARTIFACTS}models/{name}/{number}"

    def rows(self, name: str, number: int) -> list[list[float]]:
        """Return the input example that was logged with a version."""
        return [[float(number), 0.0]] * bool(name)

    def run_metrics(self, run_id: str) -> Mapping[str, float] | None:
        """Return the metrics of a run, None when there is none."""
        name, _, number = run_id.rpartition("#")
        return self.metrics.get((name, int(number)))
