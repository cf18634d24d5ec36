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


def container(name: str, waiting: Json | None = None, ended: Json | None = None, last: Json | None = None) -> Json:
    state = {"waiting": waiting} if waiting else {"terminated": ended} if ended else {"running": {}}
    return {
        "name": name,
        "image": "example.com/server:1",
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def pod(*containers: Json, init: tuple[Json, ...] = (), conditions: tuple[Json, ...] = ()) -> Json:
    status = {
        "containerStatuses": list(containers),
        "initContainerStatuses": list(init),
        "conditions": list(conditions),
    }
    return {"metadata": {"name": "iris-1"}, "status": status}


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: cpu"}
LOOPS = {"reason": "CrashLoopBackOff"}
CAUSES: dict[str, tuple[Json, str]] = {
    "no node has room": (
        pod(conditions=(UNSCHEDULABLE,)),
        "Unschedulable: 0/3 nodes: cpu; next: ask for less in resources, or add nodes that fit",
    ),
    "the image cannot be pulled": (
        pod(container("kserve-container", waiting={"reason": "ImagePullBackOff"})),
        (
            "ImagePullBackOff: the image example.com/server:1 cannot be pulled; "
            "next: check the runtime's image, and the secret that pulls it"
        ),
    ),
    "the server crashes": (
        pod(container("kserve-container", waiting=LOOPS, last={"exitCode": 1, "message": "no module named x"})),
        "CrashLoopBackOff: no module named x; next: read its log: kubectl logs iris-1 -c kserve-container --previous",
    ),
    "the server crashes without a word": (
        pod(container("kserve-container", waiting=LOOPS, last={"exitCode": 3})),
        (
            "CrashLoopBackOff: kserve-container ended with exit code 3; "
            "next: read its log: kubectl logs iris-1 -c kserve-container --previous"
        ),
    ),
    "the server needs more memory, which comes before that it crashes": (
        pod(container("kserve-container", waiting=LOOPS, last={"exitCode": 137, "reason": "OOMKilled"})),
        "OOMKilled: kserve-container needs more memory than its limit; next: raise resources.limits.memory in Git",
    ),
    "the artifact cannot be fetched": (
        pod(
            init=(container("storage-initializer", waiting=LOOPS, last={"exitCode": 1, "message": "404 no such key"}),)
        ),
        (
            "StorageInitializerFailed: 404 no such key; "
            "next: check that the artifact is there, and the credentials of the service account"
        ),
    ),
}


@pytest.mark.parametrize("what", CAUSES)
def test_each_cause_is_told_with_its_next_step(what: str) -> None:
    given, said = CAUSES[what]
    cause = cause_of([given])
    assert cause is not None
    assert (cause.message, cause.terminal) == (said, False)


def test_pods_that_run_or_are_misshapen_say_nothing() -> None:
    assert cause_of([pod(container("kserve-container")), {}, {"status": {"containerStatuses": [{"state": 1}]}}]) is None


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
