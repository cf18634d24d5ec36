"""An InferenceService's status in Standard mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from reconciler.demo.kserve.deployments import predictor_ready
from reconciler.demo.kserve.names import Json
from reconciler.demo.kserve.pods import INITIALIZER, Absent, Broken, Fetching, Loading, PodState, Running
from reconciler.demo.kserve.standard import CanaryStatus
from reconciler.demo.kserve.status import NO, Condition, condition, initialised, load_failure, set_conditions

_CANARIES = "CanaryPredictorReady"


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the stable Deployment's status and pod, the canaries and the ingress."""

    deployment: Json
    pod: PodState
    canaries: tuple[CanaryStatus, ...]
    ingress: Condition
    runtime: str
    url: str
    stable_url: str


def serving(before: Json, seen: Seen, now: str) -> Json:
    """Write the status for a service that runs or is about to; `now` is RFC 3339."""
    status = initialised(before, "Standard", now)
    predictor = predictor_ready(seen.deployment)
    standing = status.get("components", {}).get("predictor", {})
    status |= {
        "clusterServingRuntimeName": seen.runtime,
        "components": {"predictor": {"url": seen.stable_url} if predictor.status == "True" else standing},
        "observedGeneration": seen.deployment["observedGeneration"],
    }
    if seen.ingress.status == "True":
        # The address inside the cluster is the stable Service's: it goes round the routes and their weights.
        status |= {"url": seen.url, "address": {"url": seen.stable_url}}
    _set_canaries(status, seen.canaries)
    changes = {"PredictorReady": predictor, "IngressReady": seen.ingress, "Stopped": NO}
    if seen.canaries:
        changes[_CANARIES] = canaries_ready(seen.canaries)
    set_conditions(status, changes, now)
    status["modelStatus"] = _model_status(status, seen.pod)
    return status


def canaries_ready(canaries: tuple[CanaryStatus, ...]) -> Condition:
    """Tell whether all canaries are ready; this is no part of Ready."""
    if all(canary.ready for canary in canaries):
        return Condition("True", "AllCanariesReady")
    return Condition("False", "CanariesNotReady")


def _set_canaries(status: Json, canaries: tuple[CanaryStatus, ...]) -> None:
    status.pop("canaryStatuses", None)
    if canaries:
        status["canaryStatuses"] = [{"name": c.name, "ready": c.ready, "trafficPercent": c.percent} for c in canaries]
    status["conditions"] = [c for c in status["conditions"] if canaries or c["type"] != _CANARIES]


def _model_status(status: Json, pod: PodState) -> Json:
    """Follow PropagateModelStatus: the newest pod's initializer comes first, then Ready, whichever pods serve."""
    before = status.get("modelStatus", {})
    ready = condition(status, "Ready").status == "True"
    target, transition = _model_state(pod, "Loaded" if ready else "Pending")
    active = "Loaded" if target == "Loaded" else before.get("states", {}).get("activeModelState", "")
    model: Json = {
        "transitionStatus": transition,
        "states": {"activeModelState": active, "targetModelState": target},
        "copies": {"failedCopies": 0, **({"totalCopies": 1} if isinstance(pod, Running) else {})},
    }
    if target == "FailedToLoad" and isinstance(pod, Broken):
        model["lastFailureInfo"] = load_failure(pod)
    elif "lastFailureInfo" in before:
        model["lastFailureInfo"] = before["lastFailureInfo"]
    return model


def _model_state(pod: PodState, otherwise: str) -> tuple[str, str]:
    loaded = (otherwise, "UpToDate" if otherwise == "Loaded" else "InProgress")
    match pod:
        case Absent():
            return "Pending", "InProgress"
        case Fetching():
            return "Loading", "InProgress"
        case Broken(container=container):
            hidden = container != INITIALIZER and otherwise == "Loaded"
            return loaded if hidden else ("FailedToLoad", "BlockedByFailedLoad")
        case Loading() | Running():
            return loaded
        case _:
            assert_never(pod)
