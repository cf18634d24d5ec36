"""Knative Revision objects: how they are made, compared and marked."""

from __future__ import annotations

from reconciler.demo.kserve.knative import revision_name
from reconciler.demo.kserve.names import (
    CONFIGURATION_LABEL,
    GENERATION_LABEL,
    KNATIVE,
    KSERVE,
    SERVICE_LABEL,
    Json,
)
from reconciler.demo.kserve.pods import Absent, Broken, PodState, Running
from reconciler.demo.kserve.status import NO, UNKNOWN, YES, Condition, entry
from reconciler.demo.kserve.template import Template


def new(isvc: Json, service: str, number: int, template: Template) -> Json:
    """Write the Revision for a template; the InferenceService owns it."""
    metadata = isvc["metadata"]
    owner = {
        "apiVersion": f"{KSERVE}/v1beta1",
        "kind": "InferenceService",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    knative = {SERVICE_LABEL: service, CONFIGURATION_LABEL: service, GENERATION_LABEL: str(number)}
    return {
        "apiVersion": f"{KNATIVE}/v1",
        "kind": "Revision",
        "metadata": {
            "name": revision_name(service, number),
            "namespace": metadata["namespace"],
            "labels": {**template.labels, **knative},
            "annotations": dict(template.annotations),
            "ownerReferences": [owner],
        },
        "spec": template.spec,
    }


def is_made_of(revision: Json, template: Template) -> bool:
    """Tell whether a revision still is what the template asks for."""
    metadata = revision["metadata"]
    labels = {k: v for k, v in metadata["labels"].items() if not k.startswith(f"{KNATIVE}/")}
    same_meta = labels == template.labels and metadata.get("annotations", {}) == template.annotations
    return same_meta and revision["spec"] == template.spec


def readiness(revision: Json) -> Condition:
    """Read whether a revision is ready."""
    for condition in revision.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return Condition(condition["status"], condition.get("reason", ""), condition.get("message", ""))
    return UNKNOWN


def status(revision: Json, pod: PodState, now: str) -> Json:
    """Write a revision's status from its pod's state; one that was ready stays so at zero."""
    healthy = _health(readiness(revision), pod)
    active = YES if isinstance(pod, Running) else Condition("False", "NoTraffic")
    if healthy.status == "Unknown":
        active = Condition("Unknown", "Deploying")
    resources = NO if isinstance(pod, Broken) else healthy
    conditions = {
        "Active": active,
        "ContainerHealthy": healthy,
        "Ready": healthy,
        "ResourcesAvailable": resources,
    }
    standing = {c["type"]: c for c in revision.get("status", {}).get("conditions", [])}
    replicas = 1 if isinstance(pod, Running) else 0
    return {
        "observedGeneration": revision["metadata"].get("generation", 1),
        "actualReplicas": replicas,
        "desiredReplicas": 0 if isinstance(pod, Absent) else 1,
        "conditions": [entry(name, c, "", standing.get(name), now) for name, c in conditions.items()],
    }


def _health(standing: Condition, pod: PodState) -> Condition:
    if isinstance(pod, Running):
        return YES
    if isinstance(pod, Broken):
        return Condition("False", f"ExitCode{pod.exit_code}", f"Container failed with: {pod.message}")
    return standing if standing.status != "Unknown" else Condition("Unknown", "Deploying")
