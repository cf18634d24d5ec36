"""Specs as a few choices each, so that a tape can change one of them at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from reconciler.desired.documents import ModelSpec
from tests.simulation.stories import spec


@dataclass(frozen=True, slots=True)
class Wish:
    """One spec; every first choice is the calm one."""

    parameters: int = 1
    replicas: int = 1
    namespace: str = "models"
    steps: tuple[int, ...] = (10, 50)
    hold: str = "30s"
    gate: str = "absolute"
    version: str = "auto"
    approval: str = "none"
    suspend: bool = False
    on_failure: str = "rollback"
    on_removal: str = "archive"
    served: bool = True
    trained: bool = True
    analysed: bool | str = True
    schedule: str | None = None
    max_age: str | None = None
    take_ownership: bool = False
    adopt: bool = False
    prune: bool = True
    strategy: str | None = None
    on_revert: str = "immediate"
    mode: str = "Knative"


CHOICES: tuple[tuple[str, tuple[object, ...]], ...] = (
    ("parameters", (1, 2, 3, 4)),
    ("parameters", (1, 2, 3, 4)),
    ("replicas", (1, 2, 3)),
    ("replicas", (1, 2, 3)),
    ("steps", ((10, 50), (20,), (), (5, 10, 90))),
    ("hold", ("30s", "5s", "untilApproved", "window")),
    ("version", ("auto", "1", "2", "9")),
    ("gate", ("absolute", "none", "stricter", "regression")),
    ("approval", ("none", "required")),
    ("suspend", (False, True)),
    ("on_failure", ("rollback", "pause")),
    ("on_removal", ("archive", "retain", "delete")),
    ("served", (True, False)),
    ("namespace", ("models", "other")),
    ("trained", (True, False)),
    ("analysed", (True, "metered", False, "both")),
    ("schedule", (None, "*/20 * * * *")),
    ("max_age", (None, "1h")),
    ("strategy", (None, "canary", "blueGreen", "immediate")),
    ("on_revert", ("immediate", "steps")),
    ("mode", ("Knative", "Standard")),
)
WINDOW = {"cron": "*/15 * * * *", "duration": "4m"}
_GATES: dict[str, list[dict[str, object]]] = {
    "absolute": [{"metric": "accuracy", "min": 0.9}],
    "none": [],
    "stricter": [{"metric": "accuracy", "min": 0.97}],
    "regression": [{"metric": "accuracy", "against": "production", "maxRegression": 0.01}],
}


@lru_cache
def spec_of(wish: Wish) -> ModelSpec:
    """Return the spec; the same wish gives the same object."""
    base = spec()
    assert base.training is not None
    assert base.serving is not None
    triggers = {"onChange": True, "schedule": wish.schedule, "maxAge": wish.max_age}
    training = {**base.training.content(), "parameters": {"n": wish.parameters}, "triggers": triggers}
    predictor = {**base.serving.predictor, "minReplicas": wish.replicas}
    return spec(
        suspend=wish.suspend,
        training=training if wish.trained else None,
        promotion={"gates": _GATES[wish.gate], "version": wish.version, "approval": wish.approval},
        rollout=_rollout(wish, base),
        serving={
            "namespace": wish.namespace,
            "mode": wish.mode,
            "predictor": predictor,
            "takeOwnership": wish.take_ownership,
            "adopt": wish.adopt,
        }
        if wish.served
        else None,
        retention={"onRemoval": wish.on_removal, "prune": wish.prune},
    )


METERED: dict[str, object] = {
    "name": "errors",
    "interval": "10s",
    "prometheus": {"template": "error-rate", "flavour": "knative", "max": 0.01},
}


METERED_BY_ISTIO: dict[str, object] = {
    **METERED,
    "prometheus": {"template": "error-rate", "flavour": "istio", "max": 0.01},
}
JOB: dict[str, object] = {"name": "own", "interval": "10s", "job": {"image": "tests:1"}}


def _checks(base: ModelSpec, analysed: bool | str, mode: str) -> list[object]:
    """Return the checks: probes, Prometheus, or Prometheus and a Job while probes only report."""
    probes = base.rollout.content()["analysis"]
    metered = METERED if mode == "Knative" else METERED_BY_ISTIO
    match analysed:
        case "metered":
            return [metered]
        case "both":
            return [metered, JOB, *({**probe, "dryRun": True} for probe in probes)]
        case _:
            return list(probes) if analysed else []


def foreign(key: tuple[str, str], uri: str, mode: str = "Knative", **predictor: object) -> dict[str, object]:
    """Return an InferenceService as a person writes it."""
    model = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "storageUri": uri}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "namespace": key[0],
            "name": key[1],
            "annotations": {"serving.kserve.io/deploymentMode": mode},
        },
        "spec": {"predictor": {"model": model, "minReplicas": 1, **predictor}},
    }


def _rollout(wish: Wish, base: ModelSpec) -> dict[str, object]:
    hold = WINDOW if wish.hold == "window" else wish.hold
    stepwise = wish.strategy in (None, "canary")
    strategy = None if wish.strategy == "canary" and not wish.steps else wish.strategy
    # Without callers, metrics have nothing to read.
    analysed = True if strategy == "blueGreen" and wish.analysed == "metered" else wish.analysed
    return {
        **base.rollout.content(),
        "strategy": strategy,
        "steps": [{"traffic": step, "hold": hold} for step in wish.steps] if stepwise else [],
        "hold": hold if strategy == "blueGreen" else None,
        "analysis": _checks(base, analysed, wish.mode) if strategy != "immediate" else [],
        "onFailure": wish.on_failure,
        "onRevert": wish.on_revert,
    }
