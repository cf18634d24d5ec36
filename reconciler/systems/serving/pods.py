"""Why the pods of a revision do not become ready, and the one next step that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reconciler.observed import Failure, InferenceService
from reconciler.redaction import last_words
from reconciler.systems.serving.api import Call, Json, Resource
from reconciler.systems.serving.reading import items, mapping, number, text

PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
_INITIALIZER = "storage-initializer"
# More pods of one revision tell nothing new.
_MOST_PODS = "20"
_MOST_EVENTS = "50"
_INTERNAL_ERROR = "InternalError"
_LONGEST = 500
_PULLING = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName"})
_RANKS = ("OOMKilled", "StorageInitializerFailed", "ImagePullBackOff", "CrashLoopBackOff", "Unschedulable")


def list_call(live: InferenceService) -> Call:
    """Return the call that lists the pods of the newest revision: of a Deployment in Standard mode."""
    label = "app=isvc." if live.standard else "serving.knative.dev/revision="
    query = (("labelSelector", f"{label}{live.latest_created or ''}"), ("limit", _MOST_PODS))
    return Call("list", PODS, live.namespace, query=query)


def events_call(live: InferenceService) -> Call:
    """Return the call that lists why KServe cannot make a Deployment of a spec: it says so nowhere else."""
    about = f"involvedObject.kind=InferenceService,involvedObject.name={live.name},reason={_INTERNAL_ERROR}"
    return Call("list", EVENTS, live.namespace, query=(("fieldSelector", about), ("limit", _MOST_EVENTS)))


def refusal_of(events: Iterable[Json]) -> Failure | None:
    """Return the newest of these events as the cause."""
    newest = max(events, key=lambda event: text(event, "lastTimestamp"), default=None)
    if newest is None:
        return None
    return _said(_INTERNAL_ERROR, text(newest, "message"), "change the predictor in Git as KServe asks")


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
    return Failure(reason, f"{reason}: {last_words(message, _LONGEST)}; next: {step}", terminal=False)
