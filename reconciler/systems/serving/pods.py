"""Why the pods of a revision do not become ready, and the one next step that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.observed import Failure
from reconciler.systems.serving.api import Call, Json, Resource
from reconciler.systems.serving.reading import items, mapping, number, text

PODS = Resource("", "v1", "pods", "Pod")
_INITIALIZER = "storage-initializer"
# More pods of one revision tell nothing new.
_MOST_PODS = "20"
_LONGEST = 500
_PULLING = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName"})
_RANKS = ("OOMKilled", "StorageInitializerFailed", "ImagePullBackOff", "CrashLoopBackOff", "Unschedulable")


def list_call(namespace: str, revision: str) -> Call:
    """Return the call that lists the pods of a Knative revision."""
    query = (("labelSelector", f"serving.knative.dev/revision={revision}"), ("limit", _MOST_PODS))
    return Call("list", PODS, namespace, query=query)


def cause_of(pods: Iterable[Json]) -> Failure | None:
    """Return what keeps pods from becoming ready: what is nearest to the cause comes first."""
    found = [cause for pod in pods for cause in _causes(pod)]
    return min(found, key=lambda cause: _RANKS.index(cause.reason), default=None)


def _causes(pod: Json) -> Iterator[Failure]:
    status, name = mapping(pod, "status"), text(mapping(pod, "metadata"), "name")
    for condition in items(status, "conditions"):
        if condition.get("type") == "PodScheduled" and text(condition, "reason") == "Unschedulable":
            yield _said("Unschedulable", text(condition, "message"), "ask for less in resources, or add nodes that fit")
    for container in items(status, "initContainerStatuses"):
        yield from _of_initializer(container)
    for container in items(status, "containerStatuses"):
        yield from _of_container(container, name)


def _of_initializer(container: Json) -> Iterator[Failure]:
    yield from _pulling(container)
    ended = _ended(container)
    if text(container, "name") == _INITIALIZER and ended and number(ended, "exitCode") != 0:
        step = "check that the artifact is there, and the credentials of the service account"
        yield _said("StorageInitializerFailed", text(ended, "message") or "the artifact was not fetched", step)


def _of_container(container: Json, pod: str) -> Iterator[Failure]:
    yield from _pulling(container)
    name, ended = text(container, "name"), _ended(container)
    if text(ended, "reason") == "OOMKilled":
        yield _said("OOMKilled", f"{name} needs more memory than its limit", "raise resources.limits.memory in Git")
    elif text(mapping(container, "state", "waiting"), "reason") == "CrashLoopBackOff":
        said = text(ended, "message") or f"{name} ended with exit code {number(ended, 'exitCode')}"
        yield _said("CrashLoopBackOff", said, f"read its log: kubectl logs {pod} -c {name} --previous")


def _pulling(container: Json) -> Iterator[Failure]:
    waiting = mapping(container, "state", "waiting")
    if text(waiting, "reason") in _PULLING:
        said = text(waiting, "message") or f"the image {text(container, 'image')} cannot be pulled"
        yield _said("ImagePullBackOff", said, "check the runtime's image, and the secret that pulls it")


def _ended(container: Json) -> Json:
    """Return how the container ended last."""
    return mapping(container, "state", "terminated") or mapping(container, "lastState", "terminated")


def _said(reason: str, message: str, step: str) -> Failure:
    short = message.strip()[-_LONGEST:]
    return Failure(reason, f"{reason}: {short}; next: {step}", terminal=False)
