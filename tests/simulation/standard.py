"""KServe in Standard mode as a state machine: Deployments of predictors and the route's weights, one pass at a time.

The order is KServe's (components/predictor.go and httproute_reconciler.go, head of 2026-08-21): canaries first, then
what is left over goes, then the stable predictor, and the route last, which counts canaries that are ready alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from reconciler.observed import LABEL_RELEASE, STANDARD, Failure, InferenceService, Release
from reconciler.systems.serving.standard import Route, Workload, deployment_name, joined

# weights: the route follows canaries; ignored: as up to v0.20.0; none: there is no Gateway API; unused: there is, but
# KServe is not told to use it.
Routing = Literal["weights", "ignored", "none", "unused"]
_OWN = ("name", "minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")


def is_standard(manifest: Mapping[str, Any]) -> bool:
    """Tell the mode of an object."""
    mode = manifest["metadata"].get("annotations", {}).get("serving.kserve.io/deploymentMode")
    return bool(mode == STANDARD)


def canary_of(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the canary's entry."""
    return next(iter(manifest["spec"].get("canary", ())), None)


def predictors_of(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return all predictors of an object."""
    canary = canary_of(manifest)
    return [manifest["spec"]["predictor"], *([canary["predictor"]] if canary else [])]


def release_of(predictor: Mapping[str, Any]) -> Release | None:
    """Return the release that a predictor's label names."""
    return Release.parse(predictor.get("labels", {}).get(LABEL_RELEASE))


def _name(manifest: Mapping[str, Any], predictor: Mapping[str, Any]) -> str:
    return deployment_name(manifest["metadata"]["name"], predictor.get("name", ""))


def stable_name(manifest: Mapping[str, Any]) -> str:
    """Return the Deployment of spec.predictor."""
    return _name(manifest, manifest["spec"]["predictor"])


def newest_name(manifest: Mapping[str, Any]) -> str:
    """Return the Deployment of the canary, or else of spec.predictor."""
    canary = canary_of(manifest)
    return _name(manifest, canary["predictor"] if canary else manifest["spec"]["predictor"])


def pods_of(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return how many pods every Deployment is asked to have."""
    return {_name(manifest, predictor): predictor.get("minReplicas", 1) for predictor in predictors_of(manifest)}


def deployments(manifest: Mapping[str, Any]) -> dict[str, tuple[str, Release | None]]:
    """Return what every Deployment is made of: its template and the release in its label."""
    stable, canary = manifest["spec"]["predictor"], canary_of(manifest)
    wanted = [stable] if canary is None else [stable, _merged(stable, canary["predictor"])]
    return {_name(manifest, p): (_template(manifest, p), release_of(p)) for p in wanted}


def _merged(stable: Mapping[str, Any], canary: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what is set of a canary over a copy of the stable predictor."""
    found = copy.deepcopy(dict(stable))
    for name, value in canary.items():
        below = found.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            found[name] = _merged(below, value)
        elif value:
            found[name] = value
    return found


def _template(manifest: Mapping[str, Any], predictor: Mapping[str, Any]) -> str:
    meta = [sorted(manifest["metadata"].get(name, {}).items()) for name in ("labels", "annotations")]
    return repr((sorted((name, value) for name, value in predictor.items() if name not in _OWN), *meta))


def weights(
    manifest: Mapping[str, Any], ready: set[str], short: set[str], before: Mapping[str, int], routing: Routing
) -> dict[str, int]:
    """Return what the route says after a pass; it stays as it was while the stable predictor has too few pods."""
    stable, canary = stable_name(manifest), canary_of(manifest)
    if stable not in ready or stable in short:
        return dict(before)
    if canary is None or routing != "weights" or (name := _name(manifest, canary["predictor"])) not in ready:
        return {stable: 100}
    return {stable: 100 - canary["trafficPercent"], name: canary["trafficPercent"]}


def shown(
    service: InferenceService,
    manifest: Mapping[str, Any],
    *,
    made: Mapping[str, Release | None],
    ready: set[str],
    updating: set[str],
    stuck: set[str],
    since: Mapping[str, datetime],
    short: set[str],
    steady: Mapping[str, datetime],
    pods: Mapping[str, int],
    route: Mapping[str, int],
    routing: Routing,
) -> InferenceService:
    """Return the object as the adapter shows it: `made` are the Deployments, `stuck` those that never get ready.

    Old pods answer for those that are `updating`; `since` says when one lost all of its pods.
    """
    key, canary = (service.namespace, service.name), canary_of(manifest)
    stable = release_of(manifest["spec"]["predictor"])
    failure = Failure("ProgressDeadlineExceeded", "its pods never become ready", terminal=False)
    workloads = {
        name: Workload(
            service=key,
            name=name,
            release=release,
            ready=name in ready,
            available=pods.get(name, 1) if name in ready | updating | short else 0,
            asked=pods.get(name, 1) + (name in short),
            failure=failure if name in stuck else None,
            updating=name in updating,
            unavailable_since=since.get(name),
            came_up=name in ready | short or name in since,
            steady=name not in short and name not in since,
            available_since=steady.get(name),
        )
        for name, release in made.items()
    }
    told = Route(key, key[1], tuple(sorted(route.items())), followed=True)
    routes = None if routing == "none" else {key[1]: told} if route and routing != "unused" else {}
    base = replace(_with_spec(service, manifest, canary, stable), routed=bool(route))
    return joined(base, workloads, routes, lambda namespace, name: f"http://{namespace}/{key[1]}/{name}")


def _with_spec(
    service: InferenceService, manifest: Mapping[str, Any], canary: Mapping[str, Any] | None, stable: Release | None
) -> InferenceService:
    return replace(
        service,
        mode=STANDARD,
        release=release_of(canary["predictor"]) if canary else stable,
        beside=stable if canary else None,
        canary_percent=canary["trafficPercent"] if canary else None,
        canary_pods=canary["predictor"]["minReplicas"] if canary else 0,
        latest_created=newest_name(manifest),
        latest_rolledout=stable_name(manifest),
        url="http://serving",
    )
