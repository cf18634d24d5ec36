"""Kubernetes JSON to observed values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.observed import (
    KNATIVE,
    LABEL_RELEASE,
    MANAGER,
    STANDARD,
    InferenceService,
    Release,
    TrafficTarget,
)
from reconciler.systems.serving.api import Json, Key
from reconciler.systems.serving.conditions import failure_of, is_entered, is_ready, is_routed, message_of
from reconciler.systems.serving.ownership import held_by_others, is_ours, owner_of, tracked_by
from reconciler.systems.serving.reading import items, mapping, moment, number, text
from reconciler.systems.serving.standard import COMPONENT_LABEL, SERVICE_LABEL, deployment_name

_MODE = "serving.kserve.io/deploymentMode"
_NAMES_OF_MODES = {"Serverless": KNATIVE, "RawDeployment": STANDARD}


@dataclass(frozen=True, slots=True)
class Revision:
    """A Knative revision of a predictor: whose it is, which release its label names, whether it failed, and when."""

    service: Key
    name: str
    release: Release | None
    failed: bool = False
    since: datetime | None = None


def key_of(obj: Json) -> Key:
    """Return namespace and name."""
    meta = mapping(obj, "metadata")
    return text(meta, "namespace"), text(meta, "name")


def inference_service(obj: Json) -> InferenceService:
    """Translate an InferenceService; its revisions come from elsewhere and are None here.

    In Standard mode the names of its Deployments stand for revisions, and the rest is for `standard.joined` to tell.
    """
    meta, status = mapping(obj, "metadata"), mapping(obj, "status")
    predictor = mapping(obj, "spec", "predictor")
    live = mapping(status, "components", "predictor")
    namespace, name = key_of(obj)
    ours = is_ours(obj)
    translated = InferenceService(
        namespace=namespace,
        name=name,
        uid=text(meta, "uid"),
        resource_version=text(meta, "resourceVersion"),
        generation=number(meta, "generation") or 0,
        ours=ours,
        owner=owner_of(obj),
        release=_release(predictor),
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
        mode=mode_of(obj),
        applied_at=max(_applied(meta), default=None),
        routed=is_routed(status),
    )
    return _standard(obj, translated) if translated.standard else translated


def _standard(obj: Json, translated: InferenceService) -> InferenceService:
    predictor, canary = mapping(obj, "spec", "predictor"), next(iter(items(obj, "spec", "canary")), None)
    stable = deployment_name(translated.name, text(predictor, "name"))
    newest = deployment_name(translated.name, text(mapping(canary, "predictor"), "name")) if canary else stable
    return replace(
        translated,
        release=_release(mapping(canary, "predictor")) if canary else translated.release,
        beside=translated.release if canary else None,
        canary_percent=(number(canary, "trafficPercent") or 0) if canary else None,
        canary_pods=number(mapping(canary, "predictor"), "minReplicas") or 0 if canary else 0,
        traffic=(),
        latest_created=newest,
        latest_ready=None,
        latest_rolledout=stable,
        routed=is_entered(mapping(obj, "status")),
    )


def _release(predictor: Json) -> Release | None:
    return Release.parse(text(mapping(predictor, "labels"), LABEL_RELEASE))


def mode_of(obj: Json) -> str:
    """Return the deployment mode by its newer name: what stands in status cannot change any more."""
    said = text(mapping(obj, "status"), "deploymentMode") or text(mapping(obj, "metadata", "annotations"), _MODE)
    return _NAMES_OF_MODES.get(said, said or KNATIVE)


def _applied(meta: Json) -> Iterator[datetime]:
    """Return when our applies changed something; what no API server writes as a time is none."""
    for entry in items(meta, "managedFields"):
        ours = text(entry, "manager") == MANAGER and not text(entry, "subresource")
        if ours and (at := moment(entry, "time")) is not None:
            yield at


def serving_fields_of(obj: Json) -> Json:
    """Return what an object serves in the form of a spec's serving fields; storageUri is among them."""
    meta, spec = mapping(obj, "metadata"), mapping(obj, "spec")
    parts = {name: spec[name] for name in ("predictor", "transformer", "explainer") if isinstance(spec.get(name), dict)}
    return {"namespace": text(meta, "namespace"), "mode": mode_of(obj), **parts}


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
    service = text(labels, SERVICE_LABEL)
    if not service or labels.get(COMPONENT_LABEL, "predictor") != "predictor":
        return None
    namespace, name = key_of(obj)
    # Scaled to zero it is still Ready; Unknown is no verdict.
    said = (c for c in items(obj, "status", "conditions") if c.get("type") == "Ready" and c.get("status") == "False")
    failed = next(said, None)
    release, since = Release.parse(text(labels, LABEL_RELEASE)), moment(failed or {}, "lastTransitionTime")
    return Revision((namespace, service), name, release, failed is not None, since)
