"""Pods as Kubernetes shows them: made of a template, and marked with how the server process really is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from reconciler.demo.kserve.deployments import HASH_LABEL, owner
from reconciler.demo.kserve.names import KSERVE, REVISION_LABEL, SOURCE_URI, Json
from reconciler.demo.kserve.pods import (
    INITIALIZER,
    SERVER,
    Absent,
    Broken,
    Fetching,
    Loading,
    PodState,
    RevisionId,
    Running,
)

_LOOPS: Final = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
_INITIALIZING: Final = {"waiting": {"reason": "PodInitializing"}}
_FETCHED: Final = {"terminated": {"exitCode": 0, "reason": "Completed"}}
_TIMES: Final = {"running": "startedAt", "terminated": "finishedAt"}


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """What the pod of a revision or ReplicaSet is made of."""

    revision: RevisionId
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Json


@dataclass(frozen=True, slots=True)
class _Container:
    """How a container is; `last` is how it ended before."""

    state: Json
    last: Json
    restarts: int
    ready: bool = False


def new(isvc: Json, template: PodTemplate) -> Json:
    """Write the Pod; the InferenceService owns it, so that it stays for as long as its process."""
    initializer = {
        "name": INITIALIZER,
        "image": "kserve-storage-initializer:stand-in",
        "args": [template.annotations.get(SOURCE_URI, ""), "/mnt/models"],
    }
    fields = {name: template.spec[name] for name in ("containers", "serviceAccountName") if name in template.spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{template.revision.pod_name}-",
            "namespace": template.revision.namespace,
            "labels": dict(template.labels),
            "annotations": dict(template.annotations),
            "ownerReferences": [owner(isvc, f"{KSERVE}/v1beta1", "InferenceService")],
        },
        "spec": {"initContainers": [initializer], **fields},
    }


def revision_of(pod: Json) -> RevisionId:
    """Read what a pod serves off its labels."""
    namespace, labels = pod["metadata"]["namespace"], pod["metadata"]["labels"]
    if REVISION_LABEL in labels:
        return RevisionId(namespace, labels[REVISION_LABEL])
    return RevisionId(namespace, labels["app"].removeprefix("isvc."), labels[HASH_LABEL])


def status(pod: Json, state: PodState, now: str) -> Json:
    """Write a pod's status; times move only with what they are the times of."""
    standing = pod.get("status", {})
    before = {c["name"]: c for part in ("initContainerStatuses", "containerStatuses") for c in standing.get(part, [])}
    initializer, server = _containers(state, before)
    ready = isinstance(state, Running)
    verdicts = {
        "PodScheduled": True,
        "Initialized": "terminated" in initializer.state and initializer.ready,
        "ContainersReady": ready,
        "Ready": ready,
    }
    conditions = {c["type"]: c for c in standing.get("conditions", [])}
    images = {c["name"]: c["image"] for part in ("initContainers", "containers") for c in pod["spec"][part]}

    def written(name: str, container: _Container) -> Json:
        return _written(name, images[name], container, before.get(name), now)

    return {
        "phase": "Running" if verdicts["Initialized"] else "Pending",
        "conditions": [_condition(kind, yes, conditions.get(kind), now) for kind, yes in verdicts.items()],
        "initContainerStatuses": [written(INITIALIZER, initializer)],
        "containerStatuses": [written(SERVER, server)],
    }


def _containers(state: PodState, before: dict[str, Json]) -> tuple[_Container, _Container]:
    """Return the initializer and the server."""
    fetched = _Container(_FETCHED, {}, 0, ready=True)
    match state:
        case Fetching() | Absent():
            return _Container({"running": {}}, {}, 0), _Container(_INITIALIZING, {}, 0)
        case Loading():
            return fetched, _Container({"running": {}}, {}, 0)
        case Running(restarts=restarts):
            return fetched, _Container({"running": {}}, _last_end(before.get(SERVER, {})), restarts, ready=True)
        case Broken(container=container, failures=failures):
            if container == INITIALIZER:
                return _failed(state, failures > 1), _Container(_INITIALIZING, {}, 0)
            return fetched, _failed(state, loops=True)
        case _:
            assert_never(state)


def _failed(state: Broken, loops: bool) -> _Container:
    code = state.exit_code if state.exit_code >= 0 else 128 - state.exit_code  # as a shell counts signals
    end = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "message": state.message}}
    return _Container(_LOOPS, end, state.failures - 1) if loops else _Container(end, {}, state.failures - 1)


def _last_end(before: Json) -> Json:
    """Return how a container that runs again ended, without the time."""
    ended = before.get("lastState", {}).get("terminated")
    return {"terminated": _untimed(ended, "terminated")} if ended else {}


def _written(name: str, image: str, container: _Container, standing: Json | None, now: str) -> Json:
    written: Json = {
        "name": name,
        "image": image,
        "imageID": "",
        "ready": container.ready,
        "restartCount": container.restarts,
        "state": container.state,
        "lastState": container.last,
    }
    if standing is not None and {**standing, **_without_times(standing)} == written:
        return standing
    return written | {part: _timed(written[part], now) for part in ("state", "lastState")}


def _without_times(standing: Json) -> Json:
    return {
        part: {kind: _untimed(told, kind) for kind, told in standing[part].items()} for part in ("state", "lastState")
    }


def _untimed(told: Json, kind: str) -> Json:
    return {name: value for name, value in told.items() if name != _TIMES.get(kind)}


def _timed(state: Json, now: str) -> Json:
    return {kind: {**told, **({_TIMES[kind]: now} if kind in _TIMES else {})} for kind, told in state.items()}


def _condition(kind: str, yes: bool, standing: Json | None, now: str) -> Json:
    verdict = str(yes)
    since = standing["lastTransitionTime"] if standing and standing["status"] == verdict else now
    return {"type": kind, "status": verdict, "lastTransitionTime": since}
