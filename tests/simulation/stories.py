"""Specs and small stories that tests begin from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.desired.documents import ModelSpec
from tests.simulation.faults import Fault
from tests.simulation.systems import PIPELINE
from tests.simulation.world import NAME, World


def spec(**changes: object) -> ModelSpec:
    """Return a spec with training, a gate, a two-step canary and a probe; `changes` go over the top-level keys."""
    base: dict[str, object] = {
        "training": {
            "kubeflowPipeline": {"package": PIPELINE},
            "parameters": {"n": 1},
            "retries": {"limit": 2, "backoff": "10s"},
        },
        "promotion": {"gates": [{"metric": "accuracy", "min": 0.9}]},
        "serving": {
            "namespace": "models",
            "predictor": {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 1},
        },
        "rollout": {
            "steps": [{"traffic": 10, "hold": "30s"}, {"traffic": 50, "hold": "30s"}],
            "analysis": [
                {"name": "answers", "interval": "10s", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
            ],
            "deadline": "10m",
        },
    }
    return ModelSpec.model_validate({**base, **changes})


def training(n: int) -> dict[str, object]:
    """Return a training section with other parameters."""
    return {
        "kubeflowPipeline": {"package": PIPELINE},
        "parameters": {"n": n},
        "retries": {"limit": 2, "backoff": "10s"},
    }


def good() -> Mapping[str, float] | None:
    """Let every training succeed."""
    return {"accuracy": 0.95}


def calm(_: str) -> Fault:
    """Let nothing fail."""
    return Fault.CALM


def world(choose: Callable[[str], Fault] = calm, outcomes: Callable[[], Mapping[str, float] | None] = good) -> World:
    """Return a world with one spec committed."""
    made = World(choose, outcomes)
    made.source.write(NAME, spec())
    return made
