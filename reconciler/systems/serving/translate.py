"""Kubernetes JSON to observed values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.observed import LABEL_RELEASE, InferenceService, Release, TrafficTarget
from reconciler.systems.serving.api import Json, Key
from reconciler.systems.serving.conditions import failure_of, is_ready, message_of
from reconciler.systems.serving.ownership import held_by_others, is_ours, owner_of, tracked_by
from reconciler.systems.serving.reading import items, mapping, number, text

_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
_COMPONENT_LABEL = "component"
_MODE = "serving.kserve.io/deploymentMode"
_NAMES_OF_MODES = {"Serverless": "Knative", "RawDeployment": "Standard"}


@dataclass(frozen=True, slots=True)
class Revision:
    """A Knative revision of a predictor: whose it is, which release its label names, and whether it is not ready."""

    service: Key
    name: str
    release: Release | None
    failed: bool = False


def key_of(obj: Json) -> Key:
    """Return namespace and name."""
    meta = mapping(obj, "metadata")
    return text(meta, "namespace"), text(meta, "name")


def inference_service(obj: Json) -> InferenceService:
    """Translate an InferenceService; its revisions come from elsewhere and are None here."""
    meta, status = mapping(obj, "metadata"), mapping(obj, "status")
    predictor = mapping(obj, "spec", "predictor")
    live = mapping(status, "components", "predictor")
    namespace, name = key_of(obj)
    ours = is_ours(obj)
    return InferenceService(
        namespace=namespace,
        name=name,
        uid=text(meta, "uid"),
        resource_version=text(meta, "resourceVersion"),
        generation=number(meta, "generation") or 0,
        ours=ours,
        owner=owner_of(obj),
        release=Release.parse(text(mapping(predictor, "labels"), LABEL_RELEASE)),
        canary_percent=number(predictor, "canaryTrafficPercent"),
        ready=is_ready(status),
        message=message_of(status),
        traffic=_traffic(live),
        latest_created=text(live, "latestCreatedRevision") or None,
        latest_ready=text(live, "latestReadyRevision") or None,
        latest_rolledout=text(live, "latestRolledoutRevision") or None,
        revisions=None,
        url=text(status, "url") or None,
        failure=failure_of(status),
        deleting=bool(meta.get("deletionTimestamp")),
        held=held_by_others(obj) if ours else (),
        tracked="" if ours else tracked_by(obj),
        found=None if ours else serving_fields_of(obj),
    )


def serving_fields_of(obj: Json) -> Json:
    """Return what an object serves in the form of a spec's serving fields; storageUri is among them."""
    meta, spec = mapping(obj, "metadata"), mapping(obj, "spec")
    mode = text(mapping(meta, "annotations"), _MODE)
    parts = {name: spec[name] for name in ("predictor", "transformer", "explainer") if isinstance(spec.get(name), dict)}
    return {"namespace": text(meta, "namespace"), "mode": _NAMES_OF_MODES.get(mode, mode or "Knative"), **parts}


def _traffic(live: Json) -> tuple[TrafficTarget, ...]:
    """Return who gets how much; nobody anything where the shares are no shares, as before there is a route."""
    targets = tuple(_target(target, live) for target in items(live, "traffic"))
    shares = [target.percent for target in targets]
    return targets if sum(shares) in (0, 100) and min(shares, default=0) >= 0 else ()


def _target(target: Json, live: Json) -> TrafficTarget:
    latest = target.get("latestRevision") is True
    return TrafficTarget(
        # "latest" means the latest that is ready; the name stands beside it only once the route is resolved.
        revision=text(target, "revisionName") or (text(live, "latestReadyRevision") if latest else ""),
        percent=number(target, "percent") or 0,
        tag=text(target, "tag") or None,
        latest=latest,
        url=text(target, "url") or None,
    )


def revision(obj: Json) -> Revision | None:
    """Translate a Knative revision; None when it is not one of a predictor."""
    labels = mapping(obj, "metadata", "labels")
    service = text(labels, _SERVICE_LABEL)
    if not service or labels.get(_COMPONENT_LABEL, "predictor") != "predictor":
        return None
    namespace, name = key_of(obj)
    # Scaled to zero it is still Ready; Unknown is no verdict.
    failed = any(c.get("type") == "Ready" and c.get("status") == "False" for c in items(obj, "status", "conditions"))
    return Revision((namespace, service), name, Release.parse(text(labels, LABEL_RELEASE)), failed)
