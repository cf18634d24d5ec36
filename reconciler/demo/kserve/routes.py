"""HTTPRoutes: how they are made, compared and read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reconciler.demo.kserve.deployments import owner
from reconciler.demo.kserve.names import GATEWAY, KSERVE, Json, predictor_service
from reconciler.demo.kserve.standard import Backend

_DOMAIN: Final = "example.com"
_EVERYTHING: Final = {"path": {"type": "RegularExpression", "value": "^/.*$"}}
_PARENT: Final = {"group": GATEWAY, "kind": "Gateway", "namespace": "kserve", "name": "kserve-ingress-gateway"}
_CONTROLLER: Final = "reconciler.dev/embedded-gateway"


def names(isvc: Json) -> tuple[str, str]:
    """Name a service's routes: the predictor's, which does not follow `predictor.name`, and its own."""
    name = isvc["metadata"]["name"]
    return predictor_service(name), name


def new(isvc: Json, name: str, backends: Iterable[Backend]) -> Json:
    """Write the route `name`; the InferenceService owns it."""
    meta = isvc["metadata"]
    headers = [
        {"name": "KServe-Isvc-Name", "value": meta["name"]},
        {"name": "KServe-Isvc-Namespace", "value": meta["namespace"]},
    ]
    rule = {
        "matches": [_EVERYTHING],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}],
        "backendRefs": [_reference(meta["namespace"], backend) for backend in backends],
        "timeouts": {"request": "60s"},
    }
    return {
        "apiVersion": f"{GATEWAY}/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": dict(meta.get("labels", {})),
            "ownerReferences": [owner(isvc, f"{KSERVE}/v1beta1", "InferenceService")],
        },
        "spec": {
            "parentRefs": [_PARENT],
            "hostnames": [f"{name}-{meta['namespace']}.{_DOMAIN}"],
            "rules": [rule],
        },
    }


def status(route: Json, now: str) -> Json:
    """Write the status of a route that the Gateway has taken, and keep since when."""
    parents = route.get("status", {}).get("parents", [])
    since = parents[0]["conditions"][0]["lastTransitionTime"] if parents else now
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": kind,
            "message": "",
            "observedGeneration": route["metadata"]["generation"],
            "lastTransitionTime": since,
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {"parents": [{"parentRef": _PARENT, "controllerName": _CONTROLLER, "conditions": conditions}]}


def backends_of(route: Json) -> tuple[Backend, ...]:
    """Read who gets a share of a route."""
    references = route["spec"]["rules"][0]["backendRefs"]
    found = (Backend(reference["name"], reference["weight"]) for reference in references)
    return tuple(backend for backend in found if backend.weight)


def _reference(namespace: str, backend: Backend) -> Json:
    service = {"group": "", "kind": "Service", "name": backend.deployment, "namespace": namespace, "port": 80}
    return {**service, "weight": backend.weight}
