"""What keeps pods from becoming ready, with the one next step: from pods of a revision, and over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from reconciler.redaction import Redactor
from reconciler.systems.serving.kserve import KServe
from reconciler.systems.serving.pods import cause_of
from tests.clusters import with_account
from tests.systems.serving.test_kserve import shown
from tests.systems.serving.world import World, manifest

Json = dict[str, Any]


IMAGE = "example.com/server:1"


def container(name: str, waiting: Json | None = None, ended: Json | None = None, last: Json | None = None) -> Json:
    """Return the status of a container as a kubelet writes it: one that only runs is ready."""
    state = {"waiting": waiting} if waiting else {"terminated": ended} if ended else {"running": {"startedAt": AT}}
    return {
        "name": name,
        "image": IMAGE,
        "imageID": "",
        "ready": not (waiting or ended or last),
        "started": not (waiting or ended),
        "restartCount": 7 if last else 0,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def server(waiting: Json | None = None, ended: Json | None = None, last: Json | None = None) -> Json:
    return container("kserve-container", waiting, ended, last)


def fetching(waiting: Json | None = None, ended: Json | None = None, last: Json | None = None) -> Json:
    """Return a pod whose storage-initializer is not through: everything else waits for it."""
    initializer = container("storage-initializer", waiting, ended, last)
    return pod(server(INITIALIZING), container("queue-proxy", INITIALIZING), init=(initializer,))


def end(code: int, reason: str = "Error", message: str | None = None) -> Json:
    said = {"message": message} if message else {}
    return {"exitCode": code, "reason": reason, "startedAt": AT, "finishedAt": AT, "containerID": "c", **said}


def pod(*containers: Json, init: tuple[Json, ...] = (), conditions: tuple[Json, ...] = (), **meta: Any) -> Json:
    status = {
        "phase": "Running" if containers and not init else "Pending",
        "containerStatuses": list(containers),
        "initContainerStatuses": list(init),
        "conditions": list(conditions),
    }
    return {"metadata": {"name": "iris-1", **meta}, "status": status}


AT = "2026-08-20T08:00:00Z"
INITIALIZING = {"reason": "PodInitializing"}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: cpu"}
LOOPS = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
LOG = "next: read its log: kubectl logs iris-1 -c {} --previous"
PULL = "next: check the runtime's image, and the secret that pulls it"
SECRET = {"reason": "CreateContainerConfigError", "message": 'secret "s3-creds" not found'}
PROXY = container("queue-proxy")
CAUSES: dict[str, tuple[Json, str]] = {
    "no node has room": (
        pod(conditions=(UNSCHEDULABLE,)),
        "Unschedulable: 0/3 nodes: cpu; next: ask for less in resources, or add nodes that fit",
    ),
    "the image cannot be pulled": (
        pod(server({"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{IMAGE}"'})),
        f'ImagePullBackOff: Back-off pulling image "{IMAGE}"; {PULL}',
    ),
    "the image is about to be pulled again": (
        pod(server({"reason": "ErrImagePull"})),
        f"ImagePullBackOff: kserve-container of image {IMAGE}; {PULL}",
    ),
    "the image may not be pulled": (
        pod(server({"reason": "ErrImageNeverPull", "message": "image is not present with pull policy of Never"})),
        (
            "ErrImageNeverPull: image is not present with pull policy of Never; "
            "next: put the image onto the nodes, or set another imagePullPolicy"
        ),
    ),
    "the image's name is none": (
        pod(server({"reason": "InvalidImageName", "message": 'couldn\'t parse image "Server:1"'})),
        (
            'InvalidImageName: couldn\'t parse image "Server:1"; '
            "next: correct the image's name, in Git or in the runtime"
        ),
    ),
    "the server's secret is not there": (
        pod(server(SECRET), PROXY),
        (
            'CreateContainerConfigError: secret "s3-creds" not found; '
            "next: make the Secret or ConfigMap it names, or name another"
        ),
    ),
    "the storage-initializer's secret is not there": (
        fetching(SECRET),
        (
            'CreateContainerConfigError: secret "s3-creds" not found; '
            "next: make the Secret or ConfigMap it names, or name another"
        ),
    ),
    "a container cannot be made": (
        pod(server({"reason": "CreateContainerError", "message": "no command specified"})),
        (
            "CreateContainerError: no command specified; "
            "next: change what it names, in Git or in the runtime: command, mounts or user"
        ),
    ),
    "a container cannot be started": (
        pod(server({"reason": "RunContainerError", "message": 'exec: "serve": not found'}, last=end(128))),
        (
            'RunContainerError: exec: "serve": not found; '
            "next: change what it names, in Git or in the runtime: command, mounts or user"
        ),
    ),
    "the server crashes": (
        pod(server(LOOPS, last=end(1, message="no module named x")), PROXY),
        f"CrashLoopBackOff: no module named x; {LOG.format('kserve-container')}",
    ),
    "the server crashes without a word": (
        pod(server(LOOPS, last=end(3))),
        f"CrashLoopBackOff: kserve-container ended with exit code 3; {LOG.format('kserve-container')}",
    ),
    "the server crashes, and how it ended is lost": (
        pod(server(LOOPS)),
        f"CrashLoopBackOff: kserve-container ends; {LOG.format('kserve-container')}",
    ),
    "the server crashed, and runs again for a while": (
        pod({**server(last=end(1, message="no module named x")), "ready": False}, PROXY),
        f"CrashLoopBackOff: no module named x; {LOG.format('kserve-container')}",
    ),
    "the server crashed, and does not wait yet": (
        pod(server(ended=end(1, message="no module named x")), PROXY),
        f"CrashLoopBackOff: no module named x; {LOG.format('kserve-container')}",
    ),
    "the server ends as if all were well": (
        pod(server(ended=end(0, "Completed")), PROXY),
        f"CrashLoopBackOff: kserve-container ended with exit code 0; {LOG.format('kserve-container')}",
    ),
    "the server needs more memory, which comes before that it crashes": (
        pod(server(LOOPS, last=end(137, "OOMKilled")), PROXY),
        "OOMKilled: kserve-container needs more memory than its limit; next: raise resources.limits.memory in Git",
    ),
    "the artifact cannot be fetched": (
        fetching(LOOPS, last=end(1, message="404 no such key")),
        (
            "StorageInitializerFailed: 404 no such key; "
            "next: check that the artifact is there, and the credentials of the service account"
        ),
    ),
    "the artifact could not be fetched, and is fetched again": (
        fetching(last=end(1)),
        (
            "StorageInitializerFailed: the artifact was not fetched; "
            "next: check that the artifact is there, and the credentials of the service account"
        ),
    ),
    "fetching needs more memory, which has nothing to do with credentials": (
        fetching(LOOPS, last=end(137, "OOMKilled")),
        (
            "OOMKilled: storage-initializer needs more memory than its limit; "
            "next: raise memoryLimit of storageInitializer in KServe's ConfigMap inferenceservice-config"
        ),
    ),
    "another init container needs more memory": (
        pod(server(INITIALIZING), init=(container("istio-init", ended=end(137, "OOMKilled")),)),
        "OOMKilled: istio-init needs more memory than its limit; next: raise the memory limit of istio-init",
    ),
    "another init container crashes": (
        pod(server(INITIALIZING), init=(container("istio-init", LOOPS, last=end(255)),)),
        f"CrashLoopBackOff: istio-init ended with exit code 255; {LOG.format('istio-init')}",
    ),
}


@pytest.mark.parametrize("what", CAUSES)
def test_each_cause_is_told_with_its_next_step(what: str) -> None:
    given, said = CAUSES[what]
    cause = cause_of([given])
    assert cause is not None
    assert (cause.message, cause.terminal) == (said, False)


ONCE_ENDED = {**server(last=end(137, "OOMKilled")), "ready": True}
FETCHED = {**container("storage-initializer", ended=end(0, "Completed"), last=end(1)), "ready": True}
LOOPING = server(LOOPS, last=end(1))
SAYING_NOTHING: dict[str, Json] = {
    "that runs": pod(server(), PROXY),
    "that is nothing": {},
    "that is misshapen": {"status": {"containerStatuses": [{"state": 1}]}},
    "that loads": pod({**server(), "ready": False}, PROXY),
    "that fetches": fetching(),
    "that waits for its initializer": pod(server(INITIALIZING)),
    "that was fetched at the second attempt": pod({**server(), "ready": False}, init=(FETCHED,)),
    "whose initializer is through, and not marked so": pod(server(), init=({**FETCHED, "ready": False},)),
    "that ran out of memory once and is ready again": pod(ONCE_ENDED, PROXY),
    "that goes": pod(LOOPING, deletionTimestamp=AT),
    "that was evicted": {**pod(), "status": {**pod(server(ended=end(137)))["status"], "phase": "Failed"}},
    "that is done": {**pod(), "status": {**pod(server(ended=end(0)))["status"], "phase": "Succeeded"}},
}


@pytest.mark.parametrize("what", SAYING_NOTHING)
def test_no_cause_is_read_off_a_pod(what: str) -> None:
    assert cause_of([SAYING_NOTHING[what]]) is None


def test_what_a_ready_pod_went_through_hides_no_cause_of_now() -> None:
    cause = cause_of([pod(ONCE_ENDED, PROXY), CAUSES["no node has room"][0]])
    assert cause is not None
    assert cause.reason == "Unschedulable"


def test_the_cause_nearest_to_the_root_is_told_of_several_pods() -> None:
    cause = cause_of([CAUSES["no node has room"][0], CAUSES["the artifact cannot be fetched"][0]])
    assert cause is not None
    assert cause.reason == "StorageInitializerFailed"


HALF_TOLD = {
    "an address": "svc:Sup3rS3cretPw@minio:9000/models/x was asked for; " + "and nobody answered " * 20,
    "a name": "Sup3rS3cretPw was in the environment; " + "and nobody answered " * 20,
}
TELLS = {"an address": "request to https://", "a name": "env AWS_SECRET_ACCESS_KEY="}


@pytest.mark.parametrize("what", HALF_TOLD)
def test_what_shows_a_secret_for_one_is_not_cut_off_before_it_is_hidden(what: str) -> None:
    message = TELLS[what] + HALF_TOLD[what].ljust(500, "z")[:500]
    ended = {"exitCode": 1, "reason": "Error", "message": message}
    cause = cause_of([pod(init=(container("storage-initializer", ended=ended),))])
    assert cause is not None
    assert "nobody answered" in cause.message
    assert "Sup3r" not in Redactor().redact_text(cause.message)


def test_the_pods_of_the_newest_revision_are_asked_and_no_others(kserve: KServe, world: World) -> None:
    with_account(world.api, world.namespace)
    core = client.CoreV1Api(world.api)
    for name, revision in (("old", "iris-predictor-00001"), ("new", "iris-predictor-00002")):
        meta = {"name": name, "labels": {"serving.knative.dev/revision": revision}}
        spec = {"containers": [{"name": "kserve-container", "image": "example.com/server:1"}]}
        core.create_namespaced_pod(world.namespace, {"metadata": meta, "spec": spec})
    broken = pod(container("kserve-container", waiting=LOOPS, last={"exitCode": 1, "message": "of the old one"}))
    core.patch_namespaced_pod_status("old", world.namespace, {"status": broken["status"]}, _preload_content=False)
    kserve.apply(manifest(world.namespace, "iris"))
    live = shown(kserve, world)

    assert kserve.trouble(replace(live, latest_created="iris-predictor-00002")) is None
    found = kserve.trouble(replace(live, latest_created="iris-predictor-00001"))
    assert found is not None
    assert "of the old one" in found.message
