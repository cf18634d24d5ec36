"""All state is in the API: a stand-in may be killed, and another takes up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api

from reconciler.demo.kserve.standin import KServeStandIn, Options
from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi
from tests.demo.kserve.conftest import FAST, ISVC, World, eventually, servers


@pytest.fixture
def api() -> Iterator[KubeApi]:
    """Serve an API of its own, for no other stand-in may work on it."""
    with KubeApi.serve(state_dir=None) as api:
        register(api.admission)
        yield api


@pytest.fixture
def own_client(api: KubeApi) -> Iterator[ApiClient]:
    configuration = Configuration()
    configuration.host = api.url
    with ApiClient(configuration) as client:
        CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
        yield client


@contextmanager
def in_this_process(client: ApiClient, work_dir: Path, options: Options) -> Iterator[World]:
    with KServeStandIn.start(client, work_dir, options) as kserve, httpx.Client(timeout=60) as http:
        yield World(client, kserve.ingress_url, http)


def test_a_killed_stand_in_leaves_no_process_and_the_next_one_takes_up_in_mid_canary(
    api: KubeApi, own_client: ApiClient, models: dict[str, str], tmp_path: Path
) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "tests.demo.kserve.run", api.url, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None
        with first.stdout, httpx.Client(timeout=60) as http:
            world = World(own_client, first.stdout.readline().strip(), http)
            world.apply("kept", models["v1"], canary=None)
            eventually(lambda: world.settled("kept", 1))
            world.apply("kept", models["v2"], canary=0)
            eventually(lambda: world.settled("kept", 2))
            before = world.marks("kept")
            descendants = psutil.Process(first.pid).children(recursive=True)
            assert len(servers("models.kept-", psutil.Process(first.pid))) == 2
    finally:
        first.kill()
        first.wait()
    eventually(lambda: not any(process.is_running() for process in descendants))

    with in_this_process(own_client, tmp_path, FAST) as world:
        assert world.answers("kept") == 1
        assert world.answers("kept--latest") == 2
        eventually(lambda: world.get("kept")["status"]["url"].startswith(world.ingress_url))
        eventually(lambda: world.settled("kept", 2))
        after = world.marks("kept")
        for mark in ("latestReadyRevision", "latestRolledoutRevision"):
            assert after[mark] == before[mark]
        assert world.split("kept") == {"2:latest": 0, "1:prev": 100}
    assert servers("models.kept-") == []


def test_what_is_idle_scales_to_zero_and_the_next_request_wakes_it(
    own_client: ApiClient, models: dict[str, str], tmp_path: Path
) -> None:
    with in_this_process(own_client, tmp_path, Options(idle_seconds=1.0)) as world:
        world.apply("idle", models["v1"], canary=None)
        eventually(lambda: world.settled("idle", 1))
        patch = {"spec": {"predictor": {"minReplicas": 0}}}
        world.objects.patch_namespaced_custom_object(*ISVC, "idle", patch)
        eventually(lambda: world.settled("idle", 2))
        eventually(lambda: servers("models.idle-predictor-00002") == [])
        assert world.condition("idle", "Ready") == "True"
        assert world.answers("idle") == 1


def test_the_stop_annotation_takes_everything_down_and_its_removal_brings_it_back(
    own_client: ApiClient, models: dict[str, str], tmp_path: Path
) -> None:
    with in_this_process(own_client, tmp_path, FAST) as world:
        world.apply("rest", models["v1"], canary=None)
        eventually(lambda: world.settled("rest", 1))
        world.stop("rest", "true")
        eventually(lambda: world.condition("rest", "Stopped") == "True")
        eventually(lambda: servers("models.rest-") == [])
        assert world.answers("rest") == -404
        world.stop("rest", None)
        eventually(lambda: world.condition("rest", "Stopped") == "False")
        eventually(lambda: world.condition("rest", "Ready") == "True")
        assert world.answers("rest") == 1
