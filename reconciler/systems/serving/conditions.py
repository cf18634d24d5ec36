"""Is an InferenceService ready, and if not, what do its conditions say? Pure.

Follows the order that was read from KServe's source: `lastFailureInfo` is never cleared, so it counts only while
`transitionStatus` says that something is wrong now.
"""

from __future__ import annotations

from reconciler.observed import Failure
from reconciler.systems.serving.api import Json
from reconciler.systems.serving.reading import items, mapping, text

_UNTIL_THE_SPEC_CHANGES = frozenset({"NoSupportingRuntime", "InvalidPredictorSpec", "RuntimeDisabled"})
_FAILED_REASONS = frozenset({"ReconcileFailed", "ProgressDeadlineExceeded", "RevisionFailed", "InternalError"})
_ROUTES = ("PredictorRouteReady", "RoutesReady")
# The nearer to the cause, the earlier: the others only pass it on.
_TELLING = (
    "LatestDeploymentReady",
    "PredictorConfigurationReady",
    "PredictorReady",
    "TransformerReady",
    "ExplainerReady",
    "PredictorRouteReady",
    "RoutesReady",
    "IngressReady",
    "Ready",
)


def is_ready(status: Json) -> bool:
    """Tell whether the newest revision that KServe knows of serves; whether that one is ours is for others to prove."""
    predictor = mapping(status, "components", "predictor")
    created, ready = text(predictor, "latestCreatedRevision"), text(predictor, "latestReadyRevision")
    return text(_condition(status, "Ready"), "status") == "True" and created == ready


def is_routed(status: Json) -> bool:
    """Tell whether Knative has programmed the shares that the status names, which it writes before that."""
    told = [text(_condition(status, kind), "status") for kind in _ROUTES]
    return next((said == "True" for said in told if said), True)


def is_entered(status: Json) -> bool:
    """Tell whether there is a way in, as KServe says of Ingress and HTTPRoute alike."""
    return text(_condition(status, "IngressReady"), "status") == "True"


def failure_of(status: Json) -> Failure | None:
    """Return why it does not become ready; `terminal` when only another spec can help."""
    return _model_failure(status) or _condition_failure(status)


def message_of(status: Json) -> str:
    """Return the sentence that explains the state best, "" when all is well."""
    if not items(status, "conditions"):
        return "KServe has not reported a status yet"
    if failure := failure_of(status):
        return f"{failure.reason}: {failure.message}" if failure.message else failure.reason
    waiting = (_condition(status, kind) for kind in _TELLING)
    return next((_said(found) for found in waiting if text(found, "status") in ("False", "Unknown")), "")


def _model_failure(status: Json) -> Failure | None:
    model = mapping(status, "modelStatus")
    transition = text(model, "transitionStatus")
    if transition not in ("InvalidSpec", "BlockedByFailedLoad"):
        return None
    info = mapping(model, "lastFailureInfo")
    reason = text(info, "reason") or transition
    terminal = transition == "InvalidSpec" and reason in _UNTIL_THE_SPEC_CHANGES
    return Failure(reason, text(info, "message"), terminal)


def _condition_failure(status: Json) -> Failure | None:
    for kind in _TELLING:
        found = _condition(status, kind)
        reason = text(found, "reason")
        if text(found, "status") == "False" and reason in _FAILED_REASONS:
            return Failure(reason, text(found, "message"), terminal=False)
    return None


def _condition(status: Json, kind: str) -> Json:
    return next((c for c in items(status, "conditions") if c.get("type") == kind), {})


def _said(condition: Json) -> str:
    parts = (text(condition, name) for name in ("type", "reason", "message"))
    return ": ".join(part for part in parts if part)
