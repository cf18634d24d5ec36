"""Standard mode's rules as pure functions: which Deployments there are, how large, and who gets which share.

A canary is the stable predictor with the canary's own fields laid over it; it has a Deployment of its own
and a fixed number of replicas. Weights go to canaries that are ready, the rest to stable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.demo.kserve.names import AUTOSCALER_CLASS, Json, predictor_service
from reconciler.demo.kserve.runtimes import InvalidSpec
from reconciler.demo.kserve.template import Template, UnsupportedUri, build_pod

_AUTOSCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")


class BadCanary(Exception):  # noqa: N818  named after what it is about
    """A canary cannot be built; KServe then leaves everything as it is, and only an Event tells."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """What one Deployment is made of; its Service has the same name."""

    deployment: str
    template: Template
    replicas: int


@dataclass(frozen=True, slots=True)
class Canary:
    """A predictor beside the stable one; `name` is its `predictor.name`."""

    name: str
    percent: int
    predictor: Predictor


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """What `status.canaryStatuses` says of a canary."""

    name: str
    percent: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Backend:
    """A Deployment's Service behind a route."""

    deployment: str
    weight: int


def stable(isvc: Json) -> Predictor:
    """Build the stable predictor; raises InvalidSpec or UnsupportedUri as KServe's predictor does."""
    spec = isvc["spec"]["predictor"]
    return _predictor(isvc, spec, spec.get("minReplicas", 1))


def canaries(isvc: Json) -> tuple[Canary, ...]:
    """Build every canary; raises BadCanary for the first that cannot be."""
    return tuple(_canary(isvc, canary) for canary in isvc["spec"].get("canary", []))


def beside(stable: Predictor, isvc: Json, canaries: Iterable[Canary], ready: Iterable[CanaryStatus]) -> Predictor:
    """Take the replicas of ready canaries off the stable predictor, down to one, where its number was given."""
    if "minReplicas" not in isvc["spec"]["predictor"]:
        return stable
    names = {status.name for status in ready if status.ready}
    taken = sum(canary.predictor.replicas for canary in canaries if canary.name in names)
    return replace(stable, replicas=max(stable.replicas - taken, 1)) if taken else stable


def backends(stable: str, isvc_name: str, canaries: tuple[CanaryStatus, ...]) -> tuple[Backend, ...]:
    """Share the requests among the stable Deployment and the ready canaries."""
    if not canaries:
        return alone(stable)
    shared = tuple(Backend(predictor_service(isvc_name, c.name), c.percent) for c in canaries if c.ready)
    return (Backend(stable, 100 - sum(backend.weight for backend in shared)), *shared)


def alone(stable: str) -> tuple[Backend, ...]:
    """Give everything to the stable Deployment: KServe names no weight then, and the API server fills in 1."""
    return (Backend(stable, 1),)


def overlaid(base: Json, over: Json) -> Json:
    """Lay the fields of `over` that are not empty over `base`; an inherited field cannot be unset."""
    merged = dict(base)
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = overlaid(merged[name], value)
        elif value:
            merged[name] = value
    return merged


def _canary(isvc: Json, canary: Json) -> Canary:
    own, percent = canary["predictor"], canary["trafficPercent"]
    base = isvc["spec"]["predictor"]
    merged = {name: value for name, value in overlaid(base, own).items() if name not in _AUTOSCALING}
    share = math.ceil(base.get("minReplicas", 1) * percent / 100)
    try:
        predictor = _predictor(isvc, merged, own.get("minReplicas", share))
    except (InvalidSpec, UnsupportedUri) as error:
        message = f"fails to reconcile canary deployments: fails to build resources for canary {own['name']}: {error}"
        raise BadCanary(message) from error
    return Canary(own["name"], percent, predictor)


def _predictor(isvc: Json, spec: Json, replicas: int) -> Predictor:
    deployment = predictor_service(isvc["metadata"]["name"], spec.get("name", ""))
    template = build_pod(isvc, spec)
    labels = {**template.labels, "app": f"isvc.{deployment}"}
    # Any other class leaves the number to an autoscaler, which keeps one replica at least.
    exact = template.annotations.get(AUTOSCALER_CLASS) == "none"
    return Predictor(deployment, replace(template, labels=labels), replicas if exact else max(replicas, 1))
