"""Kubernetes Jobs whose exit code is a verdict. Implements `ports.Jobs`."""

from __future__ import annotations

from typing import Any

from reconciler.errors import Conflict, Refused, Transient
from reconciler.observed import LABEL_MODEL, MANAGER
from reconciler.ports import JobRequest
from reconciler.systems.serving.answers import AlreadyExists, NotFound
from reconciler.systems.serving.api import Api, Call, Json, Resource
from reconciler.systems.serving.listing import listed
from reconciler.systems.serving.pods import PODS
from reconciler.systems.serving.reading import items, mapping, number, text

JOBS = Resource("batch", "v1", "jobs", "Job")
# What a crash of ours, or the end of its rollout, left behind goes by itself.
_KEPT_SECONDS = 24 * 60 * 60
_MANAGED_BY = "app.kubernetes.io/managed-by"
_NAME = "container"


class KubernetesJobs:
    """Jobs of one cluster."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def exit_code(self, request: JobRequest) -> int | None:
        """Run the job unless it runs already; return how it ended, None before."""
        try:
            job = self._api.call(Call("get", JOBS, request.namespace, request.name))
        except NotFound:
            self._create(request)
            return None
        if job.get("kind") != JOBS.kind:
            raise Transient(f"the answer is no Job, but kind {str(job.get('kind'))[:40]!r}")
        labels = mapping(job, "metadata", "labels")
        if labels.get(_MANAGED_BY) != MANAGER or labels.get(LABEL_MODEL) != request.model:
            raise Conflict(
                f"Job {request.namespace}/{request.name} is not ours", help="delete it, or rename the check in the spec"
            )
        if "deletionTimestamp" in mapping(job, "metadata"):
            return None  # one before it, which is not gone yet
        return self._ended(request, job)

    def remove(self, namespace: str, name: str) -> None:
        """Delete the job with its pods. Absent already is success."""
        body = {"propagationPolicy": "Background"}
        try:
            self._api.call(Call("delete", JOBS, namespace, name, body=body))
        except NotFound:
            return

    def _create(self, request: JobRequest) -> None:
        query = (("fieldManager", MANAGER), ("fieldValidation", "Strict"))
        try:
            self._api.call(Call("create", JOBS, request.namespace, request.name, query=query, body=manifest(request)))
        except AlreadyExists:
            return  # by another replica, or by a request whose answer was lost

    def _ended(self, request: JobRequest, job: Json) -> int | None:
        conditions = [c for c in items(job, "status", "conditions") if c.get("status") == "True"]
        if any(text(c, "type") == "Complete" for c in conditions):
            return 0
        failed = next((c for c in conditions if text(c, "type") == "Failed"), None)
        if failed is None:
            return None
        query = (("labelSelector", f"job-name={request.name}"), ("limit", "5"))
        pods = listed(self._api.call(Call("list", PODS, request.namespace, query=query)), PODS)
        codes = [code for pod in pods if (code := _code(pod))]
        if codes and text(failed, "reason") != "DeadlineExceeded":
            return codes[-1]
        self.remove(request.namespace, request.name)
        why = text(failed, "message") or text(failed, "reason") or "nobody says why"
        raise Refused(
            f"Job {request.namespace}/{request.name} ended without an exit code: {why}",
            help="was it evicted, or did its image not come up in time? the namespace's events tell more",
        )


def _code(pod: Json) -> int | None:
    """Return how our container ended; None where others stopped it, or it never began."""
    # A pod has a reason of its own where its node ended it, as in a shutdown.
    stopped = text(mapping(pod, "status"), "reason") or _is_disrupted(pod)
    ours = next((c for c in items(pod, "status", "containerStatuses") if text(c, "name") == _NAME), None)
    ended = mapping(ours, "state", "terminated")
    if stopped or text(ended, "reason") in ("ContainerCannotRun", "StartError"):
        return None
    return number(ended, "exitCode")


def _is_disrupted(pod: Json) -> bool:
    conditions = items(pod, "status", "conditions")
    return any(text(c, "type") == "DisruptionTarget" and text(c, "status") == "True" for c in conditions)


def manifest(request: JobRequest) -> dict[str, Any]:
    """Return the Job to create: one pod, never started again, ended by its deadline."""
    labels = {_MANAGED_BY: MANAGER, LABEL_MODEL: request.model}
    container: dict[str, Any] = {
        "name": _NAME,
        "image": request.image,
        "env": [{"name": name, "value": value} for name, value in sorted(request.env.items())],
    }
    container |= {"command": list(request.command)} if request.command else {}
    container |= {"args": list(request.args)} if request.args else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": request.name, "namespace": request.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, round(request.timeout.total_seconds())),
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }
