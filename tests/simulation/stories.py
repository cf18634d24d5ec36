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


class Script:
    """Faults for named calls, each once, in order; `await_` is a part of the call's name."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, Fault]] = []

    def then(self, await_: str, fault: Fault) -> None:
        """Let the next call whose name contains these words fail so."""
        self.faults.append((await_, fault))

    def __call__(self, what: str) -> Fault:
        """Return the fault of a call."""
        if self.faults and self.faults[0][0] in what:
            return self.faults.pop(0)[1]
        return Fault.CALM


def until(made: World, holds: Callable[[], bool], name: str = NAME) -> None:
    """Let passes, controllers and time go on until something holds."""
    for _ in range(200):
        if holds():
            return
        moved = bool(made.one_pass(name))
        made.check(name)
        if holds():
            return
        while made.tick(name):
            moved = True
            made.check(name)
        moved = made.training.tick(name) or moved
        status = made.status(name)
        if not moved and status is not None and status.look_again_at is not None:
            made.now = max(made.now, status.look_again_at)
    raise AssertionError(f"it never came to that: {made.status(name)}")
