"""Standard mode on other releases and clusters, when it gets stuck, and after a restart; with light model servers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api

from reconciler.demo.kserve.standard_mode import StandardOptions
from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi, Options
from tests.chaos.light import AS_RELEASED, MODEL_FILE, light_kserve
from tests.demo.kserve.conftest import World, canary, eventually, predictor, rolled_out

ROUTES = "httproutes.gateway.networking.k8s.io"


@pytest.fixture
def light_models(tmp_path: Path) -> dict[str, str]:
    """Models that answer their own number, as storage URIs; `missing` is not there."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / MODEL_FILE).write_text(json.dumps({"level": number, "wrong": False}))
    return {name: (tmp_path / name).as_uri() for name in ("v1", "v2", "missing")}


@contextmanager
def api_client(options: Options) -> Iterator[ApiClient]:
    """Open a client of an API of its own."""
    with KubeApi.serve(None, options=options) as api:
        register(api.admission)
        configuration = Configuration()
        configuration.host = api.url
        with ApiClient(configuration) as client:
            CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
            yield client


@contextmanager
def kserve(client: ApiClient, work_dir: Path, standard: StandardOptions = AS_RELEASED) -> Iterator[World]:
    with light_kserve(client, work_dir, standard) as url, httpx.Client(timeout=60) as http:
        yield World(client, url, http)


@contextmanager
def on_its_own(
    work_dir: Path, *, options: Options | None = None, standard: StandardOptions = AS_RELEASED
) -> Iterator[World]:
    with ExitStack() as stack:
        client = stack.enter_context(api_client(options or Options()))
        yield stack.enter_context(kserve(client, work_dir, standard))


def canary_ready(world: World) -> bool:
    found = world.get("iris").get("status", {}).get("canaryStatuses", [])
    return bool(found) and found[0]["ready"] is True


def test_an_old_release_deploys_canaries_and_routes_nothing_to_them(
    tmp_path: Path, light_models: dict[str, str]
) -> None:
    old = StandardOptions(routes_canaries=False, progress_deadline=600.0)
    with on_its_own(tmp_path / "work", standard=old) as world:
        world.apply_standard("iris", predictor("r1", light_models["v1"]), canary("r2", light_models["v2"], 100))
        eventually(lambda: canary_ready(world) and world.condition("iris", "Ready") == "True")
        assert world.get("iris")["status"]["canaryStatuses"][0]["trafficPercent"] == 100
        assert world.weights("iris") == {"r1": 1}
        assert {world.answers("iris") for _ in range(20)} == {1}
        assert world.answers("iris", "iris-r2-predictor") == 2


def test_without_the_gateway_api_stable_gets_everything(tmp_path: Path, light_models: dict[str, str]) -> None:
    bare = Options(left_out=frozenset({ROUTES}))
    with on_its_own(tmp_path / "work", options=bare) as world:
        world.apply_standard("iris", predictor("r1", light_models["v1"]), canary("r2", light_models["v2"], 100))
        eventually(lambda: canary_ready(world) and world.condition("iris", "Ready") == "True")
        assert {world.answers("iris") for _ in range(20)} == {1}
        assert world.answers("iris", "iris-r2-predictor") == 2
        world.apply_standard("iris", predictor("r2", light_models["v2"]))
        eventually(lambda: set(world.deployments("iris")) == {"r2"} and world.answers("iris") == 2)


def test_where_kserve_is_not_told_to_use_the_gateway_api_there_is_a_way_in_and_no_route(
    tmp_path: Path, light_models: dict[str, str]
) -> None:
    by_default = StandardOptions(routes_canaries=True, progress_deadline=600.0, gateway_api=False)
    with on_its_own(tmp_path / "work", standard=by_default) as world:
        world.apply_standard("iris", predictor("r1", light_models["v1"]), canary("r2", light_models["v2"], 100))
        eventually(lambda: canary_ready(world) and world.condition("iris", "Ready") == "True")
        assert (world.condition("iris", "IngressReady"), world.weights("iris")) == ("True", {})
        assert {world.answers("iris") for _ in range(20)} == {1}
        world.apply_standard("iris", predictor("r2", light_models["v2"]))
        eventually(lambda: set(world.deployments("iris")) == {"r2"} and world.answers("iris") == 2)


def test_an_update_that_gets_stuck_is_told_after_its_deadline(tmp_path: Path, light_models: dict[str, str]) -> None:
    hasty = StandardOptions(routes_canaries=True, progress_deadline=1.0)
    with on_its_own(tmp_path / "work", standard=hasty) as world:
        world.apply_standard("iris", predictor("r1", light_models["v1"]))
        eventually(lambda: world.condition("iris", "Ready") == "True")
        # Whoever fetches a model from here waits.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            world.apply_standard("iris", predictor("r1", f"http://127.0.0.1:{silent.getsockname()[1]}/model.zip"))
            eventually(lambda: world.condition("iris", "PredictorReady") == "False")
        [told] = [c for c in world.get("iris")["status"]["conditions"] if c["type"] == "PredictorReady"]
        assert told["reason"] == "ProgressDeadlineExceeded"
        assert world.answers("iris") == 1


def test_the_stop_annotation_takes_everything_down_and_its_removal_brings_it_back(
    tmp_path: Path, light_models: dict[str, str]
) -> None:
    with on_its_own(tmp_path / "work") as world:
        world.apply_standard("iris", predictor("r1", light_models["v1"]), canary("r2", light_models["v2"], 10))
        eventually(lambda: canary_ready(world))
        world.stop("iris", "true")
        eventually(lambda: world.condition("iris", "Stopped") == "True")
        assert (world.deployments("iris"), world.weights("iris")) == ({}, {})
        assert world.answers("iris") == -404
        world.stop("iris", None)
        eventually(lambda: world.weights("iris") == {"r1": 90, "r2": 10})
        assert world.condition("iris", "Stopped") == "False"


def test_a_restart_takes_up_in_mid_rollout_and_in_mid_update(tmp_path: Path, light_models: dict[str, str]) -> None:
    with api_client(Options()) as client:
        with kserve(client, tmp_path / "work") as world:
            world.apply_standard("iris", predictor("r1", light_models["v1"]))
            eventually(lambda: world.condition("iris", "Ready") == "True")
            broken = predictor("r1", light_models["missing"])
            world.apply_standard("iris", broken, canary("r2", light_models["v2"], 30))
            eventually(lambda: world.weights("iris") == {"r1": 70, "r2": 30})
            [pod] = world.pods("app=isvc.iris-r2-predictor")
        with kserve(client, tmp_path / "work") as world:
            eventually(lambda: world.get("iris")["status"]["url"].startswith(world.ingress_url))
            eventually(lambda: world.weights("iris") == {"r1": 70, "r2": 30})
            eventually(lambda: {world.answers("iris") for _ in range(30)} == {1, 2})
            assert not rolled_out(world.deployments("iris")["r1"])
            assert [p["metadata"]["uid"] for p in world.pods("app=isvc.iris-r2-predictor")] == [pod["metadata"]["uid"]]
            world.apply_standard("iris", predictor("r2", light_models["v2"], minReplicas=1))
            eventually(lambda: set(world.deployments("iris")) == {"r2"} and world.weights("iris") == {"r2": 1})
            assert {world.answers("iris") for _ in range(20)} == {2}
