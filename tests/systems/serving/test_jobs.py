"""Jobs of checks: begun once, read, removed; only an exit code is a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from reconciler.errors import Conflict, Refused, Transient
from reconciler.ports import JobRequest
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.jobs import KubernetesJobs
from tests.clusters import with_account
from tests.systems.serving.scripted import Reply, scripted
from tests.systems.serving.world import World, eventually

BEFORE = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
ENDED = {"name": "container", "image": "tests:1", "imageID": "", "ready": False, "restartCount": 0}


@dataclass(frozen=True, slots=True)
class Cluster:
    """The adapter, and what a kubelet would use, and a Job controller where there is none."""

    jobs: KubernetesJobs
    batch: client.BatchV1Api
    core: client.CoreV1Api
    namespace: str
    request: JobRequest
    controlled: bool

    def exit_code(self) -> int | None:
        return self.jobs.exit_code(self.request)

    def all_jobs(self) -> list[Any]:
        return list(self.batch.list_namespaced_job(self.namespace).items)

    def ends(self, kind: str, cause: str, code: int | None, **pod: Any) -> None:
        """Let the job end so, with a pod whose container ended with this code; `pod` is what its status says too."""
        if code is not None:
            ours = {**ENDED, "state": {"terminated": {"exitCode": code, "reason": "Error"}}}
            status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [ours], **pod}
            self.core.patch_namespaced_pod_status(self._pod(), self.namespace, {"status": status})
        if self.controlled:
            eventually(lambda: any(c.type == kind and c.reason == cause for c in self._conditions()))
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": kind, "status": "True", "reason": cause, "message": f"it is {cause}"}
        # An API server wants to hear first that what the condition says is about to become true.
        before = {"type": BEFORE[kind], "status": "True", "reason": cause}
        said: dict[str, Any] = {"startTime": now, "conditions": [before, condition]}
        said |= {"completionTime": now, "succeeded": 1} if kind == "Complete" else {}
        self.batch.patch_namespaced_job_status("own", self.namespace, {"status": said})

    def _pod(self) -> str:
        if not self.controlled:
            meta = {"name": "own-abcde", "labels": {"job-name": "own"}}
            spec = {"containers": [{"name": "container", "image": "tests:1"}]}
            self.core.create_namespaced_pod(self.namespace, {"metadata": meta, "spec": spec})
        pods = eventually(lambda: self.core.list_namespaced_pod(self.namespace, label_selector="job-name=own").items)
        return str(pods[0].metadata.name)

    def _conditions(self) -> list[Any]:
        return self.batch.read_namespaced_job("own", self.namespace).status.conditions or []


@pytest.fixture
def cluster(world: World, kubeconfig: Path, controllers: bool) -> Iterator[Cluster]:
    connection = Connection(KubernetesSettings(kubeconfig=kubeconfig))
    with_account(world.api, world.namespace)
    request = JobRequest(
        world.namespace, "own", "iris", "tests:1", ("run",), ("--fast",), {"B": "2", "A": "1"}, timedelta(minutes=5)
    )
    batch, core = client.BatchV1Api(world.api), client.CoreV1Api(world.api)
    yield Cluster(KubernetesJobs(connection), batch, core, world.namespace, request, controllers)
    connection.close()


@pytest.fixture
def kubelet(cluster: Cluster) -> Cluster:
    """Return a cluster in which nobody but the test runs pods."""
    if cluster.controlled and cluster.core.list_node(limit=1).items:
        pytest.skip("plays the kubelet, and this cluster has nodes")
    return cluster


def test_a_job_is_begun_once_and_removed(cluster: Cluster) -> None:
    assert cluster.exit_code() is None
    assert cluster.exit_code() is None
    (job,) = cluster.all_jobs()
    pod = job.spec.template.spec
    assert job.metadata.labels == {"app.kubernetes.io/managed-by": "model-reconciler", "reconciler.dev/model": "iris"}
    assert (job.spec.backoff_limit, job.spec.active_deadline_seconds, pod.restart_policy) == (0, 300, "Never")
    (container,) = pod.containers
    assert (container.image, container.command, container.args) == ("tests:1", ["run"], ["--fast"])
    assert [(e.name, e.value) for e in container.env] == [("A", "1"), ("B", "2")]
    cluster.jobs.remove(cluster.namespace, "own")
    cluster.jobs.remove(cluster.namespace, "own")
    assert not cluster.all_jobs()


def test_a_complete_job_ended_with_0(kubelet: Cluster) -> None:
    kubelet.exit_code()
    kubelet.ends("Complete", "CompletionsReached", 0)
    assert kubelet.exit_code() == 0


def test_a_failed_job_ended_with_its_containers_code(kubelet: Cluster) -> None:
    kubelet.exit_code()
    kubelet.ends("Failed", "BackoffLimitExceeded", 3)
    assert kubelet.exit_code() == 3


def ended(name: str, code: int, reason: str) -> dict[str, Any]:
    return {**ENDED, "name": name, "state": {"terminated": {"exitCode": code, "reason": reason}}}


def test_a_container_that_others_put_beside_ours_does_not_tell_how_it_ended(kubelet: Cluster) -> None:
    kubelet.exit_code()
    both = [ended("agent", 0, "Completed"), ended("container", 3, "Error")]
    kubelet.ends("Failed", "BackoffLimitExceeded", 3, containerStatuses=both)
    assert kubelet.exit_code() == 3


STOPPED: dict[str, dict[str, Any]] = {
    "was evicted": {"reason": "Evicted"},
    "was ended as its node was shut down": {"reason": "Terminated"},
    "was taken off its node": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]},
    "could not start": {"containerStatuses": [ended("container", 128, "StartError")]},
    "tells of others alone": {"containerStatuses": [ended("agent", 3, "Error")]},
}


@pytest.mark.parametrize("sentence", STOPPED)
def test_a_job_has_no_exit_code_where_its_pod(kubelet: Cluster, sentence: str) -> None:
    kubelet.exit_code()
    kubelet.ends("Failed", "BackoffLimitExceeded", 143, **STOPPED[sentence])
    with pytest.raises(Refused, match="without an exit code: "):
        kubelet.exit_code()
    assert not kubelet.all_jobs()


def test_a_disruption_that_did_not_come_is_none(kubelet: Cluster) -> None:
    kubelet.exit_code()
    spared = [{"type": "DisruptionTarget", "status": "False"}, {"type": "Initialized", "status": "True"}]
    kubelet.ends("Failed", "BackoffLimitExceeded", 143, conditions=spared)
    assert kubelet.exit_code() == 143


@pytest.mark.parametrize("code", [None, 143], ids=["no pod ever started", "its container was ended by it"])
def test_a_job_whose_time_is_over_has_no_exit_code(kubelet: Cluster, code: int | None) -> None:
    hurried = replace(kubelet, request=replace(kubelet.request, timeout=timedelta(seconds=1)))
    hurried.exit_code()
    hurried.ends("Failed", "DeadlineExceeded", None if kubelet.controlled else code)
    with pytest.raises(Refused, match="without an exit code"):
        hurried.exit_code()
    assert not kubelet.all_jobs()


FAILED = {
    "kind": "Job",
    "metadata": {
        "name": "own",
        "labels": {"app.kubernetes.io/managed-by": "model-reconciler", "reconciler.dev/model": "iris"},
    },
    "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]},
}
ENDED_WITH_3 = {
    "kind": "PodList",
    "metadata": {"resourceVersion": "5"},
    "items": [
        {
            "metadata": {"name": "own-abcde"},
            "status": {
                "containerStatuses": [
                    {"name": "container", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
                ]
            },
        }
    ],
}


@pytest.mark.parametrize("answers", [({},), (FAILED, {})], ids=["in place of the job", "in place of its pods"])
def test_an_empty_answer_costs_no_verdict(tmp_path: Path, answers: tuple[dict[str, Any], ...]) -> None:
    request = JobRequest("models", "own", "iris", "i", (), (), {}, timedelta(minutes=5))
    with scripted(tmp_path / "kubeconfig") as script:
        connection = Connection(KubernetesSettings(kubeconfig=tmp_path / "kubeconfig"))
        script.on("GET", *map(Reply, answers))
        with pytest.raises(Transient):
            KubernetesJobs(connection).exit_code(request)
        script.on("GET", Reply(FAILED), Reply(ENDED_WITH_3))
        assert KubernetesJobs(connection).exit_code(request) == 3
        assert script.count("DELETE") == script.count("POST") == 0
        connection.close()


def test_a_job_of_that_name_that_is_not_ours_is_left_alone(cluster: Cluster) -> None:
    cluster.exit_code()
    with pytest.raises(Conflict, match="is not ours"):
        cluster.jobs.exit_code(replace(cluster.request, model="wine"))
