"""An InferenceService's status as KServe's controller writes it: in Knative mode, and what both modes share."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Final, assert_never

from reconciler.demo.kserve.knative import Component, Share
from reconciler.demo.kserve.names import Json
from reconciler.demo.kserve.pods import Absent, Broken, Fetching, Loading, PodState, Running
from reconciler.demo.kserve.runtimes import InvalidSpec

_DECIDE_READY: Final = ("PredictorReady", "IngressReady")


@dataclass(frozen=True, slots=True)
class Condition:
    """A verdict: "True", "False" or "Unknown", and why."""

    status: str
    reason: str = ""
    message: str = ""


YES: Final = Condition("True")
NO: Final = Condition("False")
UNKNOWN: Final = Condition("Unknown")


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the Knative Service and the pod behind the latest created revision."""

    component: Component
    configuration: Condition
    route: Condition
    pod: PodState
    generation: int
    runtime: str
    url: str


def component_of(status: Json) -> Component:
    """Read the predictor's marks back from a status; this is all that KServe remembers."""
    predictor = status.get("components", {}).get("predictor", {})
    return Component(
        created=predictor.get("latestCreatedRevision", ""),
        ready=predictor.get("latestReadyRevision", ""),
        rolledout=predictor.get("latestRolledoutRevision", ""),
        previous=predictor.get("previousRolledoutRevision", ""),
        shares=tuple(
            Share(t["revisionName"], t["percent"], t.get("tag", ""), latest=t["latestRevision"])
            for t in predictor.get("traffic", [])
        ),
    )


def serving(before: Json, seen: Seen, now: str) -> Json:
    """Write the status for a service that runs or is about to; `now` is RFC 3339."""
    status = initialised(before, "Knative", now)
    service = _all_of(seen.configuration, seen.route)
    predictor = _component(before, seen, service)
    status |= {
        "observedGeneration": seen.generation,
        "clusterServingRuntimeName": seen.runtime,
        "components": {**status.get("components", {}), "predictor": predictor},
    }
    changes = {
        "PredictorReady": service,
        "PredictorRouteReady": seen.route,
        "PredictorConfigurationReady": seen.configuration,
        "Stopped": NO,
        "RoutesReady": _across("PredictorRouteReady", seen.route),
        "LatestDeploymentReady": _across("PredictorConfigurationReady", seen.configuration),
    }
    if "url" in predictor:
        status |= {"url": seen.url, "address": {"url": seen.url}}
        changes["IngressReady"] = YES
    set_conditions(status, changes, now)
    status["modelStatus"] = _model_status(status, seen, service)
    return status


def invalid(before: Json, mode: str, error: InvalidSpec, now: str) -> Json:
    """Write the status for a spec that no runtime takes; the rest of it keeps its old values."""
    status = initialised(before, mode, now)
    model = status.setdefault("modelStatus", {})
    states = model.setdefault("states", {"activeModelState": ""})
    states["targetModelState"] = "FailedToLoad"
    model["transitionStatus"] = "InvalidSpec"
    model["lastFailureInfo"] = {"reason": error.reason, "message": error.status_message}
    return status


def stopped(before: Json, mode: str, now: str) -> Json:
    """Write the status for a service that its annotation stops."""
    status: Json = {"deploymentMode": mode, "conditions": before.get("conditions", [])}
    reason = Condition("False", "Stopped")
    set_conditions(status, {"PredictorReady": reason, "IngressReady": reason, "Stopped": YES}, now)
    kept = {"PredictorReady", "IngressReady", "Stopped", "Ready"}
    status["conditions"] = [c for c in status["conditions"] if c["type"] in kept]
    return status


def initialised(before: Json, mode: str, now: str) -> Json:
    """Return a status that has conditions, whatever happens next."""
    status = copy.deepcopy(before)
    status["deploymentMode"] = mode
    if not status.get("conditions"):
        status["conditions"] = []
        set_conditions(status, dict.fromkeys(_DECIDE_READY, UNKNOWN), now)
    return status


def condition(status: Json, name: str) -> Condition:
    """Read a condition; Unknown when it is missing."""
    found: Json = next((c for c in status.get("conditions", []) if c["type"] == name), {})
    return Condition(found.get("status", "Unknown"), found.get("reason", ""), found.get("message", ""))


def configuration(created: str, readiness: Condition) -> Condition:
    """Tell how the Configuration stands, from its newest revision."""
    if readiness.status == "False":
        message = f'Revision "{created}" failed with message: {readiness.message}.'
        return Condition("False", "RevisionFailed", message)
    return Condition(readiness.status)


def route(missing: str | None, configuration: Condition, service: str) -> Condition:
    """Tell how the Route stands: all of its targets have to be ready; "" is missing where no revision ever was."""
    if missing is None:
        return YES
    if missing:
        return Condition("False", "RevisionMissing", f'Revision "{missing}" failed to become ready.')
    if configuration.status == "False":
        message = f'Configuration "{service}" does not have any ready Revision.'
        return Condition("False", "RevisionMissing", message)
    message = f'Configuration "{service}" is waiting for a Revision to become ready.'
    return Condition("Unknown", "RevisionMissing", message)


def _component(before: Json, seen: Seen, service: Condition) -> Json:
    standing = before.get("components", {}).get("predictor", {})
    component = seen.component
    written: Json = {
        "latestCreatedRevision": component.created,
        "latestReadyRevision": component.ready,
        "latestRolledoutRevision": component.rolledout,
        "previousRolledoutRevision": component.previous,
    }
    written = {key: value for key, value in written.items() if value}
    if component.shares:
        written["traffic"] = [_traffic(share, seen.url) for share in component.shares]
    if service.status == "True" or "url" in standing:
        written |= {"url": seen.url, "address": {"url": seen.url}}
    return written


def _traffic(share: Share, url: str) -> Json:
    target: Json = {
        "revisionName": share.revision,
        "percent": share.percent,
        "latestRevision": share.latest,
    }
    if share.tag:
        target |= {"tag": share.tag, "url": f"{url}--{share.tag}"}
    return target


def _all_of(*parts: Condition) -> Condition:
    for verdict in ("False", "Unknown"):
        for part in parts:
            if part.status == verdict:
                return part
    return YES


def _across(name: str, part: Condition) -> Condition:
    return YES if part.status == "True" else Condition(part.status, f"{name} not ready")


def set_conditions(status: Json, changes: dict[str, Condition], now: str) -> None:
    """Bring conditions up to date, and Ready after them; what does not decide it is marked Info."""
    conditions = {c["type"]: c for c in status["conditions"]}
    for name, change in changes.items():
        severity = "" if name in _DECIDE_READY else "Info"
        conditions[name] = entry(name, change, severity, conditions.get(name), now)
    decisive = [condition({"conditions": list(conditions.values())}, name) for name in _DECIDE_READY]
    conditions["Ready"] = entry("Ready", _all_of(*decisive), "", conditions.get("Ready"), now)
    status["conditions"] = [conditions[name] for name in sorted(conditions)]


def entry(name: str, verdict: Condition, severity: str, standing: Json | None, now: str) -> Json:
    """Write a condition; its time moves only when something else in it does."""
    parts = {
        "type": name,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "severity": severity,
    }
    written = {key: value for key, value in parts.items() if value}
    since = standing["lastTransitionTime"] if standing else now
    unchanged = {**written, "lastTransitionTime": since}
    return unchanged if unchanged == standing else {**written, "lastTransitionTime": now}


def _model_status(status: Json, seen: Seen, service: Condition) -> Json:
    """Follow PropagateModelStatus: only the latest created revision's pod counts."""
    before = status.get("modelStatus", {})
    target, transition = _model_state(status, seen, service)
    active = "Loaded" if target == "Loaded" else before.get("states", {}).get("activeModelState", "")
    running = isinstance(seen.pod, Running)
    model: Json = {
        "transitionStatus": transition,
        "states": {"activeModelState": active, "targetModelState": target},
        "copies": {"failedCopies": 0, **({"totalCopies": 1} if running else {})},
    }
    if isinstance(seen.pod, Broken):
        model["lastFailureInfo"] = load_failure(seen.pod)
    elif "lastFailureInfo" in before:
        model["lastFailureInfo"] = before["lastFailureInfo"]
    return model


def load_failure(pod: Broken) -> Json:
    """Write what `modelStatus` says of a pod that does not come up."""
    return {"reason": "ModelLoadFailed", "message": pod.message, "exitCode": pod.exit_code}


def _model_state(status: Json, seen: Seen, service: Condition) -> tuple[str, str]:
    match seen.pod:
        case Broken():
            return "FailedToLoad", "BlockedByFailedLoad"
        case Absent():
            failed = "False" in (service.status, seen.route.status, seen.configuration.status)
            return ("FailedToLoad", "BlockedByFailedLoad") if failed else ("Pending", "InProgress")
        case Fetching():
            return "Loading", "InProgress"
        case Loading() | Running():
            current = seen.component.created == seen.component.ready
            ready = condition(status, "Ready").status == "True"
            return ("Loaded", "UpToDate") if ready and current else ("Pending", "InProgress")
        case _:
            assert_never(seen.pod)
