"""Standard mode: what a predictor's Deployment and the HTTPRoute say of who gets how much. Pure.

KServe's status repeats the spec's percentages; the weights of the route are what callers get. A release up to v0.20.0
deploys a canary and leaves the route alone. Without Gateway API there is no route, nor where KServe is told not to use
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.observed import LABEL_RELEASE, Failure, InferenceService, Release, TrafficTarget
from reconciler.systems.serving.api import Json, Key
from reconciler.systems.serving.reading import items, mapping, moment, number, text

SERVICE_LABEL = "serving.kserve.io/inferenceservice"
COMPONENT_LABEL = "component"
_HUNDRED = 100
_COMPLETE = "NewReplicaSetAvailable"
# False in one of these, and a gateway answers with errors of its own.
_TAKEN_UP = ("Accepted", "ResolvedRefs")

Link = Callable[[str, str], str]
"""Returns the address of a Service, by its namespace and name."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The Deployment of one predictor: the release of its pods, and whether all of them are of it and available.

    While it is `updating` pods of an older template may answer. `unavailable_since`: it has too few pods since then.
    It is `steady` unless Kubernetes calls it unavailable, or stuck: `available_since` is when it came to be available.
    `came_up` stays once all pods of its template were available: what becomes of them later does not change it
    (progress.go of Kubernetes' deployment controller).
    """

    service: Key
    name: str
    release: Release | None
    ready: bool
    available: int
    asked: int
    failure: Failure | None = None
    updating: bool = False
    unavailable_since: datetime | None = None
    came_up: bool = False
    steady: bool = True
    available_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The HTTPRoute of an InferenceService: percent by Service, None where its rules do not tell.

    `followed` is false while its gateway has not taken up the newest rules, or refuses them.
    """

    service: Key
    name: str
    shares: tuple[tuple[str, int], ...] | None
    followed: bool


def deployment_name(service: str, predictor: str) -> str:
    """Return the name of a predictor's Deployment and Service, as KServe makes it."""
    return f"{service}-{predictor}-predictor" if predictor else f"{service}-predictor"


def deployments_of(manifest: Json) -> frozenset[str]:
    """Return the Deployments of the predictors that a manifest has."""
    predictors = (
        mapping(manifest, "spec", "predictor"),
        *(mapping(c, "predictor") for c in items(manifest, "spec", "canary")),
    )
    return frozenset(deployment_name(text(mapping(manifest, "metadata"), "name"), text(p, "name")) for p in predictors)


def workload(obj: Json) -> Workload | None:
    """Translate a Deployment; None when it is not one of a predictor."""
    meta, status = mapping(obj, "metadata"), mapping(obj, "status")
    labels = mapping(meta, "labels")
    service = text(labels, SERVICE_LABEL)
    if not service or labels.get(COMPONENT_LABEL) != "predictor":
        return None
    replicas = number(mapping(obj, "spec"), "replicas")
    asked = 1 if replicas is None else replicas
    counts = [number(status, name) or 0 for name in ("replicas", "updatedReplicas", "availableReplicas")]
    current = (number(status, "observedGeneration") or 0) >= (number(meta, "generation") or 0)
    conditions = {text(c, "type"): c for c in items(status, "conditions")}
    available, progressing = conditions.get("Available", {}), conditions.get("Progressing", {})
    since = moment(available, "lastTransitionTime")
    lost = available.get("status") == "False"
    return Workload(
        service=(text(meta, "namespace"), service),
        name=text(meta, "name"),
        release=Release.parse(text(mapping(obj, "spec", "template", "metadata", "labels"), LABEL_RELEASE)),
        ready=current and all(count == asked for count in counts),
        available=counts[-1],
        asked=asked,
        failure=_failure(status),
        updating=not current or counts[0] != counts[1],
        unavailable_since=since if lost else None,
        came_up=current and text(progressing, "reason") == _COMPLETE,
        steady=not lost and progressing.get("status") != "False",
        available_since=None if lost else since,
    )


def _failure(status: Json) -> Failure | None:
    for condition in items(status, "conditions"):
        kind, state = text(condition, "type"), text(condition, "status")
        if (kind, state) in (("Progressing", "False"), ("ReplicaFailure", "True")):
            return Failure(text(condition, "reason"), text(condition, "message"), terminal=False)
    return None


def route(obj: Json) -> Route | None:
    """Translate an HTTPRoute; None when it is not the one that an InferenceService's callers come by."""
    meta = mapping(obj, "metadata")
    name = text(meta, "name")
    owners = {text(ref, "name") for ref in items(meta, "ownerReferences") if text(ref, "kind") == "InferenceService"}
    if name not in owners:
        return None
    told = {_shares(rule) for rule in items(obj, "spec", "rules")}
    shares = told.pop() if len(told) == 1 else None
    return Route((text(meta, "namespace"), name), name, shares, _followed(obj))


def _shares(rule: Json) -> tuple[tuple[str, int], ...] | None:
    """Return the percent of each backend; None where they are no whole percents."""
    weights: dict[str, int] = {}
    for backend in items(rule, "backendRefs"):
        weight = number(backend, "weight")
        name = text(backend, "name")
        weights[name] = weights.get(name, 0) + (1 if weight is None else weight)
    total = sum(weights.values())
    if total <= 0 or any(weight < 0 or weight * _HUNDRED % total for weight in weights.values()):
        return None
    return tuple(sorted((name, weight * _HUNDRED // total) for name, weight in weights.items()))


def _followed(obj: Json) -> bool:
    """Tell whether every gateway has taken up the newest rules; where none answers, callers get errors from it."""
    generation = number(mapping(obj, "metadata"), "generation") or 0
    parents = items(obj, "status", "parents")
    conditions = [c for parent in parents for c in items(parent, "conditions")]
    current = all((number(c, "observedGeneration") or generation) >= generation for c in conditions)
    refused = any(text(c, "type") in _TAKEN_UP and text(c, "status") == "False" for c in conditions)
    return bool(parents) and current and not refused


def joined(
    service: InferenceService, workloads: Mapping[str, Workload], routes: Mapping[str, Route] | None, link: Link
) -> InferenceService:
    """Complete an InferenceService by its Deployments and its route; `routes` None where none are served.

    `service.routed` is whether KServe says that there is a way in. With the Gateway API it says so only of a route that
    is there: one that the watch does not show then is not used, or ahead of the watch.
    """
    if routes is not None and service.name not in routes and service.routed:
        routes = None
    newest, stable = service.latest_created or "", service.latest_rolledout or ""
    shares, followed = _effective(service, workloads, routes)
    ready = {name for name, found in workloads.items() if found.ready}
    fresh = newest in ready and workloads[newest].release == service.release and followed
    # Whoever has callers and too few pods came up once; a template that is on its way may never do.
    few = stable in workloads and not workloads[stable].updating and bool(shares.get(stable))
    latest_ready = newest if fresh else stable if stable in ready or few else None
    serves = stable in ready or (few and workloads[stable].available > 0)
    renewed = serves and workloads[stable].release == (service.beside or service.release)
    awaited = stable if service.succeeded else newest
    told = replace(
        service,
        ready=service.ready and latest_ready == newest and renewed,
        message=_message(service, workloads, awaited),
        failure=service.failure if awaited == stable else None,
        traffic=_targets(service, shares, link),
        latest_ready=latest_ready,
        latest_rolledout=stable if shares or stable in ready else None,
        revisions={name: found.release for name, found in workloads.items()},
        unready=frozenset(name for name, found in workloads.items() if found.asked and not found.available),
        unready_since={name: found.unavailable_since for name, found in workloads.items() if found.unavailable_since},
        short={name: f"{w.available} of {w.asked} pods" for name, w in workloads.items() if not w.steady},
        steady_since={name: w.available_since for name, w in workloads.items() if w.steady and w.available_since},
        available={name: found.available for name, found in workloads.items()},
        splits=routes is not None,
        listed=routes is not None and newest != stable and newest in shares,
        routed=followed,
        canaries=service.canaries and _named(service, workloads),
    )
    current = workloads.get(awaited)
    return told if told.failure or current is None else replace(told, failure=current.failure)


def _named(service: InferenceService, workloads: Mapping[str, Workload]) -> bool:
    """Tell whether Deployments are named after predictors: before v0.20.0 KServe does not, nor has it canaries."""
    return service.latest_rolledout in workloads or deployment_name(service.name, "") not in workloads


def _effective(
    service: InferenceService, workloads: Mapping[str, Workload], routes: Mapping[str, Route] | None
) -> tuple[dict[str, int], bool]:
    """Return the percent that each predictor gets, and whether that is settled."""
    if routes is None:
        # Callers come by the Ingress, to the stable predictor alone; KServe moves it once it has cleared away.
        left_over = workloads.keys() - {service.latest_created, service.latest_rolledout}
        if any(workloads[name].release for name in left_over):
            return {}, False
        stable = workloads.get(service.latest_rolledout or "")
        sent = stable is not None and (stable.available or stable.came_up) and service.url
        return ({stable.name: _HUNDRED} if stable and sent else {}), True
    found = routes.get(service.name)
    return (dict(found.shares), found.followed) if found and found.shares else ({}, False)


def _targets(service: InferenceService, shares: Mapping[str, int], link: Link) -> tuple[TrafficTarget, ...]:
    """Return who gets how much; what gets nothing has an address as well."""
    newest, stable = service.latest_created or "", service.latest_rolledout or ""
    if not shares:
        return ()
    tags = {stable: "prev", newest: "latest"}
    return tuple(
        TrafficTarget(name, percent, tags.get(name), name == newest, link(service.namespace, name))
        for name, percent in ({newest: 0, stable: 0} | dict(shares)).items()
    )


def _message(service: InferenceService, workloads: Mapping[str, Workload], awaited: str) -> str:
    current = workloads.get(awaited)
    if not _named(service, workloads):
        plain = deployment_name(service.name, "")
        return f"KServe made Deployment {plain}, not {awaited}, as before v0.20.0; Standard mode needs a newer one"
    if current is None:
        return f"KServe has not made Deployment {awaited} yet"
    if not current.ready:
        return f"Deployment {awaited} has {current.available} of {current.asked} replicas available, or older pods"
    return service.message
