"""Jobs of checks on the embedded API: begun once, read, removed; only an exit code is a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from reconciler.demo.kubeapi import KubeApi
from reconciler.errors import Conflict, Refused
from reconciler.ports import JobRequest
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.jobs import KubernetesJobs

REQUEST = JobRequest(
    "models", "iris-own-1", "iris", "tests:1", ("run",), ("--fast",), {"B": "2", "A": "1"}, timedelta(minutes=5)
)


ENDED = {"name": "container", "image": "tests:1", "imageID": "", "ready": False, "restartCount": 0}


@dataclass(frozen=True, slots=True)
class Cluster:
    """The adapter, and what a Job controller and a kubelet would use."""

    jobs: KubernetesJobs
    batch: client.BatchV1Api
    core: client.CoreV1Api

    def ends(self, kind: str, reason: str = "", code: int | None = None, **pod: Any) -> None:
        """Let the job end so, with a pod whose container ended with this code."""
        if code is not None:
            ended = {"terminated": {"exitCode": code, "reason": pod.pop("ended", "Error")}}
            status = {"containerStatuses": [{**ENDED, "state": ended}], **pod}
            meta = {"name": "iris-own-1-abcde", "labels": {"job-name": "iris-own-1"}}
            spec = {"containers": [{"name": "container", "image": "tests:1"}]}
            self.core.create_namespaced_pod("models", {"metadata": meta, "spec": spec})
            self.core.patch_namespaced_pod_status("iris-own-1-abcde", "models", {"status": status})
        condition = {"type": kind, "status": "True", "reason": reason, "message": f"it is {reason}"}
        self.batch.patch_namespaced_job_status("iris-own-1", "models", {"status": {"conditions": [condition]}})


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with KubeApi.serve(None) as api:
        path = tmp_path / "kubeconfig"
        api.write_kubeconfig(path)
        configuration = client.Configuration()
        config.load_kube_config(str(path), client_configuration=configuration, persist_config=False)
        connection = Connection(KubernetesSettings(kubeconfig=path))
        with client.ApiClient(configuration) as admin:
            core = client.CoreV1Api(admin)
            core.create_namespace({"metadata": {"name": "models"}})
            yield Cluster(KubernetesJobs(connection), client.BatchV1Api(admin), core)
        connection.close()


def test_a_job_is_begun_once_and_removed(cluster: Cluster) -> None:
    assert cluster.jobs.exit_code(REQUEST) is None
    assert cluster.jobs.exit_code(REQUEST) is None
    (job,) = cluster.batch.list_namespaced_job("models").items
    pod = job.spec.template.spec
    assert job.metadata.labels == {"app.kubernetes.io/managed-by": "model-reconciler", "reconciler.dev/model": "iris"}
    assert (job.spec.backoff_limit, job.spec.active_deadline_seconds, pod.restart_policy) == (0, 300, "Never")
    (container,) = pod.containers
    assert (container.image, container.command, container.args) == ("tests:1", ["run"], ["--fast"])
    assert [(e.name, e.value) for e in container.env] == [("A", "1"), ("B", "2")]
    cluster.jobs.remove("models", REQUEST.name)
    cluster.jobs.remove("models", REQUEST.name)
    assert not cluster.batch.list_namespaced_job("models").items


def test_a_complete_job_ended_with_0(cluster: Cluster) -> None:
    cluster.jobs.exit_code(REQUEST)
    cluster.ends("Complete")
    assert cluster.jobs.exit_code(REQUEST) == 0


def test_a_failed_job_ended_with_its_containers_code(cluster: Cluster) -> None:
    cluster.jobs.exit_code(REQUEST)
    cluster.ends("Failed", "BackoffLimitExceeded", 3)
    assert cluster.jobs.exit_code(REQUEST) == 3


NO_CODE: dict[str, dict[str, Any]] = {
    "no pod ever started": {"reason": "DeadlineExceeded"},
    "its time was over": {"reason": "DeadlineExceeded", "code": 143},
    "its pod was evicted": {"reason": "BackoffLimitExceeded", "code": 137, "phase": "Failed"},
    "its container could not start": {"reason": "BackoffLimitExceeded", "code": 128, "ended": "StartError"},
}


@pytest.mark.parametrize("sentence", NO_CODE)
def test_a_job_has_no_exit_code_where(sentence: str, cluster: Cluster) -> None:
    cluster.jobs.exit_code(REQUEST)
    ends = dict(NO_CODE[sentence])
    reason = ends.pop("reason")
    if "phase" in ends:
        del ends["phase"]
        cluster.ends("Failed", reason, **ends)
        cluster.core.patch_namespaced_pod_status("iris-own-1-abcde", "models", {"status": {"reason": "Evicted"}})
    else:
        cluster.ends("Failed", reason, **ends)
    with pytest.raises(Refused, match=f"without an exit code: it is {reason}"):
        cluster.jobs.exit_code(REQUEST)
    assert not cluster.batch.list_namespaced_job("models").items


def test_a_job_of_that_name_that_is_not_ours_is_left_alone(cluster: Cluster) -> None:
    cluster.jobs.exit_code(REQUEST)
    with pytest.raises(Conflict, match="is not ours"):
        cluster.jobs.exit_code(replace(REQUEST, model="wine"))
