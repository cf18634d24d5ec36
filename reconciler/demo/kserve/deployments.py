"""Deployments and ReplicaSets: how they are made, compared and marked.

A Deployment has one server process for each of its ReplicaSets, so `spec.replicas` shows in the numbers of
the status only: all replicas become available at once, and fail at once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from reconciler.demo.kserve.names import KSERVE, Json
from reconciler.demo.kserve.pods import PodState, Running
from reconciler.demo.kserve.standard import Predictor
from reconciler.demo.kserve.status import NO, Condition, condition, entry

HASH_LABEL: Final = "pod-template-hash"
_COMPLETE: Final = "NewReplicaSetAvailable"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a Deployment is: its newest ReplicaSet, and whether an older one answers meanwhile."""

    newest: Json
    pod: PodState
    older_answers: bool

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.older_answers and (isinstance(self.pod, Running) or not self.newest["spec"]["replicas"])


def new(isvc: Json, predictor: Predictor, progress_deadline: float) -> Json:
    """Write the Deployment of a predictor; the InferenceService owns it."""
    template = predictor.template
    labels, annotations = dict(template.labels), dict(template.annotations)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": predictor.deployment,
            "namespace": isvc["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner(isvc, f"{KSERVE}/v1beta1", "InferenceService")],
        },
        "spec": {
            "replicas": predictor.replicas,
            "selector": {"matchLabels": {"app": labels["app"]}},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": template.spec},
            "progressDeadlineSeconds": int(progress_deadline),
        },
    }


def changed(standing: Json, wanted: Json) -> Json | None:
    """Return the standing Deployment with what is wanted of it; None when its spec already is so."""
    if standing["spec"] == wanted["spec"]:
        return None
    kept = {**standing["metadata"], **{name: wanted["metadata"][name] for name in ("labels", "annotations")}}
    return {**standing, "metadata": kept, "spec": wanted["spec"]}


def replica_set(deployment: Json) -> Json:
    """Write the ReplicaSet for a Deployment's template as it is."""
    digest = template_hash(deployment)
    template, meta = deployment["spec"]["template"], deployment["metadata"]
    labels = {**template["metadata"]["labels"], HASH_LABEL: digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": dict(template["metadata"]["annotations"]),
            "ownerReferences": [owner(deployment, "apps/v1", "Deployment")],
        },
        "spec": {
            "replicas": deployment["spec"]["replicas"],
            "selector": {"matchLabels": {**deployment["spec"]["selector"]["matchLabels"], HASH_LABEL: digest}},
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }


def template_hash(deployment: Json) -> str:
    """Return what tells a Deployment's templates apart."""
    content = json.dumps(deployment["spec"]["template"], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:10]


def owner(obj: Json, api_version: str, kind: str) -> Json:
    """Write the reference to an object that owns another."""
    identity = {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
    return {"apiVersion": api_version, "kind": kind, **identity, "controller": True, "blockOwnerDeletion": True}


def set_status(replica_set: Json, pod: PodState) -> Json:
    """Write a ReplicaSet's status."""
    replicas = replica_set["spec"]["replicas"]
    available = replicas if isinstance(pod, Running) else 0
    numbers = {"readyReplicas": available, "availableReplicas": available, "fullyLabeledReplicas": replicas}
    status = {"replicas": replicas, "observedGeneration": replica_set["metadata"]["generation"]}
    return status | {name: number for name, number in numbers.items() if number}


def status(deployment: Json, progress: Progress, now: str) -> Json:
    """Write a Deployment's status; `replicas` counts the pods of all its templates."""
    asked = deployment["spec"]["replicas"]
    older = asked if progress.older_answers else 0
    available = (asked if isinstance(progress.pod, Running) else 0) + older
    numbers = {
        "replicas": asked + older,
        "updatedReplicas": asked,
        "readyReplicas": available,
        "availableReplicas": available,
        "unavailableReplicas": asked + older - available,
    }
    standing = {c["type"]: c for c in deployment.get("status", {}).get("conditions", [])}
    verdicts = {
        "Available": _available(available >= asked),
        "Progressing": _progressing(deployment, progress, now),
    }
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        **{name: number for name, number in numbers.items() if number},
        "conditions": [entry(name, verdict, "", standing.get(name), now) for name, verdict in verdicts.items()],
    }


def deadline(deployment: Json, progress: Progress) -> datetime:
    """Return when a new template has to be available at the latest."""
    created = datetime.fromisoformat(progress.newest["metadata"]["creationTimestamp"])
    return created + timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])


def predictor_ready(status: Json) -> Condition:
    """Read PredictorReady off a Deployment's status, as KServe does."""
    available, progressing = condition(status, "Available"), condition(status, "Progressing")
    if available.status == "False":
        return available
    if progressing.status == "False" and progressing.message:
        return progressing
    if progressing.status == "True" and progressing.reason == _COMPLETE:
        return progressing
    if available.status == "True":
        return available
    return replace(progressing, status="Unknown") if progressing.status == "True" else NO


def _available(enough: bool) -> Condition:
    if enough:
        return Condition("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    return Condition("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")


def _progressing(deployment: Json, progress: Progress, now: str) -> Condition:
    name = progress.newest["metadata"]["name"]
    complete = Condition("True", _COMPLETE, f'ReplicaSet "{name}" has successfully progressed.')
    # A template that was available once is complete for good, whatever happens to its pods.
    if progress.complete or condition(deployment.get("status", {}), "Progressing") == complete:
        return complete
    if datetime.fromisoformat(now) >= deadline(deployment, progress):
        return Condition("False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')
    return Condition("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
