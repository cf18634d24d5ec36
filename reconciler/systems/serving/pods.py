"""Why the pods of a revision do not become ready, and the one next step that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from reconciler.observed import Failure, InferenceService
from reconciler.redaction import last_words
from reconciler.systems.serving.api import Call, Json, Resource
from reconciler.systems.serving.reading import items, mapping, moment, number, text

PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
_INITIALIZER = "storage-initializer"
# More pods of one revision tell nothing new.
_MOST_PODS = "20"
_MOST_EVENTS = "50"
_INTERNAL_ERROR = "InternalError"
_LONGEST = 500
_OOM = "OOMKilled"
_LOOPS = "CrashLoopBackOff"
_OVER = frozenset({"Succeeded", "Failed"})
_PULL = "check the runtime's image, and the secret that pulls it"
_START = "change what it names, in Git or in the runtime: command, mounts or user"
_FETCHES_WITH = "raise memoryLimit of storageInitializer in KServe's ConfigMap inferenceservice-config"
# What a kubelet waits for before a container runs, as it is told, with the next step.
_NOT_STARTED = {
    "CreateContainerConfigError": (
        "CreateContainerConfigError",
        "make the Secret or ConfigMap it names, or name another",
    ),
    "CreateContainerError": ("CreateContainerError", _START),
    "RunContainerError": ("RunContainerError", _START),
    "InvalidImageName": ("InvalidImageName", "correct the image's name, in Git or in the runtime"),
    "ErrImageNeverPull": ("ErrImageNeverPull", "put the image onto the nodes, or set another imagePullPolicy"),
    "ErrImagePull": ("ImagePullBackOff", _PULL),
    "ImagePullBackOff": ("ImagePullBackOff", _PULL),
}
_RANKS = (
    _OOM,
    "StorageInitializerFailed",
    *dict.fromkeys(reason for reason, _ in _NOT_STARTED.values()),
    _LOOPS,
    "Unschedulable",
)


def list_call(live: InferenceService) -> Call:
    """Return the call that lists the pods of the revision that has to come up: of a Deployment in Standard mode."""
    label = "app=isvc." if live.standard else "serving.knative.dev/revision="
    query = (("labelSelector", f"{label}{live.awaited or ''}"), ("limit", _MOST_PODS))
    return Call("list", PODS, live.namespace, query=query)


def events_call(live: InferenceService) -> Call:
    """Return the call that lists why KServe cannot make a Deployment of a spec: it says so nowhere else."""
    about = f"involvedObject.kind=InferenceService,involvedObject.name={live.name},reason={_INTERNAL_ERROR}"
    return Call("list", EVENTS, live.namespace, query=(("fieldSelector", about), ("limit", _MOST_EVENTS)))


def refusal_of(events: Iterable[Json], since: datetime | None) -> Failure | None:
    """Return the newest of these events as the cause; what was said of a spec before `since` is over."""
    told = [(at, text(event, "message")) for event in events if (at := _told_at(event)) is not None]
    newest, message = max(told, default=(None, ""))
    if newest is None or (since is not None and newest < since):
        return None
    return _said(_INTERNAL_ERROR, message, "change the predictor in Git as KServe asks")


def _told_at(event: Json) -> datetime | None:
    """Return when an event was last told; the newer kind has its last time in a series, if there is one."""
    return (
        moment(event, "lastTimestamp")
        or moment(mapping(event, "series"), "lastObservedTime")
        or moment(event, "eventTime")
    )


def cause_of(pods: Iterable[Json]) -> Failure | None:
    """Return what keeps pods from becoming ready: what is nearest to the cause comes first."""
    found = [cause for pod in pods for cause in _causes(pod)]
    return min(found, key=lambda cause: _RANKS.index(cause.reason), default=None)


def _causes(pod: Json) -> Iterator[Failure]:
    status, meta = mapping(pod, "status"), mapping(pod, "metadata")
    # Another pod is there, or comes, in place of one that goes or is over.
    if meta.get("deletionTimestamp") or text(status, "phase") in _OVER:
        return
    for condition in items(status, "conditions"):
        if condition.get("type") == "PodScheduled" and text(condition, "reason") == "Unschedulable":
            yield _said("Unschedulable", text(condition, "message"), "ask for less in resources, or add nodes that fit")
    for container in _unready(status, "initContainerStatuses"):
        yield from _of_initializer(container, text(meta, "name"))
    for container in _unready(status, "containerStatuses"):
        yield from _of_container(container, text(meta, "name"))


def _unready(status: Json, part: str) -> list[Json]:
    """Return the containers that are not ready; how one that is ended before tells nothing about now."""
    return [container for container in items(status, part) if container.get("ready") is not True]


def _of_initializer(container: Json, pod: str) -> Iterator[Failure]:
    name, ended = text(container, "name"), _ended(container)
    yield from _not_started(container)
    if not _loops(container) and (not ended or number(ended, "exitCode") == 0):
        return
    if text(ended, "reason") == _OOM:
        step = _FETCHES_WITH if name == _INITIALIZER else f"raise the memory limit of {name}"
        yield _said(_OOM, f"{name} needs more memory than its limit", step)
    elif name == _INITIALIZER:
        step = "check that the artifact is there, and the credentials of the service account"
        yield _said("StorageInitializerFailed", text(ended, "message") or "the artifact was not fetched", step)
    else:
        yield _crashed(name, ended, pod)


def _of_container(container: Json, pod: str) -> Iterator[Failure]:
    name, ended = text(container, "name"), _ended(container)
    yield from _not_started(container)
    if text(ended, "reason") == _OOM:
        yield _said(_OOM, f"{name} needs more memory than its limit", "raise resources.limits.memory in Git")
    elif ended or _loops(container):
        yield _crashed(name, ended, pod)


def _loops(container: Json) -> bool:
    return text(mapping(container, "state", "waiting"), "reason") == _LOOPS


def _crashed(name: str, ended: Json, pod: str) -> Failure:
    """Tell of a container that ended, under one name whether it waits to be started again or runs already."""
    code = number(ended, "exitCode")
    said = text(ended, "message") or (f"{name} ends" if code is None else f"{name} ended with exit code {code}")
    return _said(_LOOPS, said, f"read its log: kubectl logs {pod} -c {name} --previous")


def _not_started(container: Json) -> Iterator[Failure]:
    waiting = mapping(container, "state", "waiting")
    if told := _NOT_STARTED.get(text(waiting, "reason")):
        reason, step = told
        said = text(waiting, "message") or f"{text(container, 'name')} of image {text(container, 'image')}"
        yield _said(reason, said, step)


def _ended(container: Json) -> Json:
    """Return how a container that is not ready ended last."""
    return mapping(container, "state", "terminated") or mapping(container, "lastState", "terminated")


def _said(reason: str, message: str, step: str) -> Failure:
    return Failure(reason, f"{reason}: {last_words(message, _LONGEST)}; next: {step}", terminal=False)
