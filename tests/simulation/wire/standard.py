"""What KServe writes to Kubernetes in Standard mode, out of the truth of the state machine."""

from __future__ import annotations

from typing import Any

from reconciler.desired.digest import digest
from reconciler.observed import LABEL_RELEASE
from reconciler.systems.serving.standard import COMPONENT_LABEL, SERVICE_LABEL
from tests.simulation import standard
from tests.simulation.serving import Live

Json = dict[str, Any]
MODE = "Standard"
_TAKEN_UP = ("Accepted", "ResolvedRefs")


def deployments(live: Live, stuck: set[str]) -> dict[str, Json]:
    """Return every Deployment as it is; its generation follows its template."""
    return {name: _deployment(live, name, name in stuck) for name in live.templates}


def _deployment(live: Live, name: str, stuck: bool) -> Json:  # a fact, not a switch
    meta, release = live.manifest["metadata"], live.releases[name]
    said = {} if release is None else {LABEL_RELEASE: str(release)}
    labels = {SERVICE_LABEL: meta["name"], COMPONENT_LABEL: "predictor", "app": f"isvc.{name}", **said}
    pods = live.pods.get(name, 1)
    asked, up = pods + (name in live.short), pods if name in live.up else 0
    failed = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it hangs"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels},
        "spec": {
            "replicas": asked,
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "template": {
                "metadata": {"labels": labels, "annotations": {"made-of": digest(live.templates[name])}},
                "spec": {"containers": [{"name": "kserve-container", "image": "server"}]},
            },
        },
        "status": {
            "replicas": asked,
            "updatedReplicas": asked if name not in live.updating else 0,
            "availableReplicas": up,
            "conditions": [failed if stuck else _progressing(live, name), _available(live, name)],
        },
    }


def _progressing(live: Live, name: str) -> Json:
    complete = name in live.ready and name not in live.updating
    reason = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
    return {"type": "Progressing", "status": "True", "reason": reason}


def _available(live: Live, name: str) -> Json:
    lost = name in live.short or name not in live.up
    since = live.down.get(name) if lost else live.steady.get(name)
    at = {"lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")} if since else {}
    return {"type": "Available", "status": "False" if lost else "True", **at}


def http_route(live: Live) -> Json | None:
    """Return the route; None before there is one."""
    if not live.shares:
        return None
    meta = live.manifest["metadata"]
    owner = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": meta["name"]}
    backends = [{"kind": "Service", "name": share.revision, "weight": share.percent} for share in live.shares]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "ownerReferences": [{**owner, "uid": live.uid}],
        },
        "spec": {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}]},
        "status": {"parents": [{"conditions": [{"type": kind, "status": "True"} for kind in _TAKEN_UP]}]},
    }


def status(live: Live) -> Json:
    """Return the InferenceService's status."""
    ready = "True" if standard.stable_name(live.manifest) in live.up and live.shares else "False"
    canary = standard.canary_of(live.manifest)
    name = standard.newest_name(live.manifest)
    told = [] if canary is None else [
        {"name": canary["predictor"]["name"], "ready": name in live.up, "trafficPercent": canary["trafficPercent"]}
    ]  # fmt: skip
    return {
        "deploymentMode": MODE,
        "url": "http://" + live.manifest["metadata"]["name"],
        "components": {"predictor": {"url": "http://predictor"}},
        "conditions": [{"type": kind, "status": ready} for kind in ("PredictorReady", "IngressReady", "Ready")],
        "canaryStatuses": told,
    }
