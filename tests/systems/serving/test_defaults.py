"""What KServe's webhook makes of what we applied is no drift: each default of it, through the adapter over HTTP."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi
from reconciler.manifest import contested
from reconciler.manifest import inference_service as rendered
from reconciler.observed import MANAGER
from reconciler.systems.serving.kserve import KServe
from tests.systems.serving.test_kserve import seen, shown
from tests.systems.serving.test_standard_objects import recorded
from tests.systems.serving.world import World, eventually, manifest

Json = dict[str, Any]


@pytest.fixture(scope="module")
def kubeconfig(real_cluster: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the kubeconfig of an embedded API that has KServe's webhook."""
    if real_cluster:
        pytest.skip("needs KServe's webhook, which the suite plays inside the embedded API only")
    with KubeApi.serve(None) as api:
        register(api.admission)
        path = tmp_path_factory.mktemp("webhook") / "kubeconfig"
        api.write_kubeconfig(path)
        yield path


def merged(onto: Json, change: Json) -> Json:
    """Return an object with a change laid over it; None takes a field away."""
    made = {name: value for name, value in onto.items() if change.get(name, value) is not None}
    for name, value in change.items():
        if isinstance(value, dict):
            made[name] = merged(made.get(name, {}), value)
        elif value is not None:
            made[name] = value
    return made


def has(found: Any, part: Any) -> bool:
    """Tell whether an object has a part with these values; lists are compared item by item, more may be there."""
    if isinstance(part, dict):
        return isinstance(found, dict) and all(name in found and has(found[name], part[name]) for name in part)
    if isinstance(part, list):
        return isinstance(found, list) and len(found) == len(part) and all(map(has, found, part))
    return bool(found == part)


def predictor(**fields: Any) -> Json:
    return {"spec": {"predictor": fields}}


def model(**fields: Any) -> Json:
    return predictor(model=fields)


MODE = "serving.kserve.io/deploymentMode"
URI = "s3://models/iris/1"
CONTAINER = {"image": "example.com/mine:1"}
TWO_GIGABYTES = {"cpu": "1", "memory": "2Gi"}
FILLED = {"requests": TWO_GIGABYTES, "limits": TWO_GIGABYTES}
# What is asked for beside the manifest of a model, and what of it is stored.
DEFAULTS: dict[str, tuple[Json, Json]] = {
    "the model's format in an annotation": ({}, {"metadata": {"annotations": {"modelFormat": "mlflow"}}}),
    "an empty name": ({}, model(name="")),
    "empty resources": ({}, model(resources={})),
    "half a processor in thousandths": (
        model(resources={"requests": {"cpu": "0.5"}}),
        model(resources={"requests": {"cpu": "500m"}}),
    ),
    "mebibytes as gibibytes": (
        model(resources={"requests": {"memory": "1024Mi"}, "limits": {"memory": "2048Mi"}}),
        model(resources={"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}),
    ),
    "numbers as text": (
        model(resources={"limits": {"cpu": 1, "nvidia.com/gpu": 2}}),
        model(resources={"limits": {"cpu": "1", "nvidia.com/gpu": "2"}}),
    ),
    "quantities beside lists of ours": (
        model(resources={"limits": {"cpu": 0.5}}, env=[{"name": "A", "value": "1"}], args=["--x"]),
        model(resources={"limits": {"cpu": "500m"}}, env=[{"name": "A", "value": "1"}], args=["--x"]),
    ),
    "the new name of Knative mode": (
        {"metadata": {"annotations": {MODE: "Serverless"}}},
        {"metadata": {"annotations": {MODE: "Knative"}}},
    ),
    "the new name of Standard mode": (
        {"metadata": {"annotations": {MODE: "RawDeployment"}}},
        {"metadata": {"annotations": {MODE: "Standard"}}},
    ),
    "the protocol of Triton": (
        model(modelFormat={"name": "triton"}, protocolVersion=None),
        model(modelFormat={"name": "triton"}, protocolVersion="v2"),
    ),
    "a framework's own key as a model": (
        predictor(model=None, sklearn={"storageUri": URI, "protocolVersion": "v2"}),
        model(modelFormat={"name": "sklearn"}, storageUri=URI, protocolVersion="v2", name="", resources={}),
    ),
    "a framework's own key as a model that speaks v2": (
        predictor(model=None, onnx={"storageUri": URI, "resources": {"limits": {"cpu": 1}}}),
        model(modelFormat={"name": "onnx"}, storageUri=URI, protocolVersion="v2", resources={"limits": {"cpu": "1"}}),
    ),
    "name and resources of a custom predictor": (
        predictor(model=None, containers=[CONTAINER]),
        predictor(containers=[{**CONTAINER, "name": "kserve-container", "resources": FILLED}]),
    ),
    "the other resources of a custom predictor": (
        predictor(model=None, containers=[{**CONTAINER, "resources": {"limits": {"memory": "4096Mi"}}}]),
        predictor(
            containers=[
                {
                    "name": "kserve-container",
                    "resources": {"requests": TWO_GIGABYTES, "limits": {"cpu": "1", "memory": "4Gi"}},
                }
            ]
        ),
    ),
    "name and resources of a transformer": (
        {"spec": {"transformer": {"containers": [CONTAINER]}}},
        {"spec": {"transformer": {"containers": [{**CONTAINER, "name": "kserve-container", "resources": FILLED}]}}},
    ),
}


@pytest.mark.parametrize("what", DEFAULTS)
def test_what_the_webhook_writes_is_no_drift(kserve: KServe, world: World, what: str) -> None:
    asked, stored = DEFAULTS[what]
    wanted = merged(manifest(world.namespace, "iris"), asked)
    for _ in range(3):  # the create, the apply that takes its fields over, and one more
        kserve.apply(wanted)
        assert has(world.live("iris"), stored)
        assert kserve.drift(wanted) == ()
        assert contested(wanted, shown(kserve, world).held) == ()
    assert world.generation("iris") == 1


@pytest.mark.parametrize("what", DEFAULTS)
def test_a_change_beside_what_the_webhook_writes_is_drift(kserve: KServe, world: World, what: str) -> None:
    wanted = merged(manifest(world.namespace, "iris"), DEFAULTS[what][0])
    kserve.apply(wanted)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 3}}}, "kubectl-edit")
    eventually(lambda: shown(kserve, world).held)

    assert kserve.drift(wanted) == ("spec.predictor.minReplicas",)


def test_a_quantity_that_somebody_changed_is_drift(kserve: KServe, world: World) -> None:
    wanted = merged(manifest(world.namespace, "iris"), model(resources={"requests": {"cpu": "0.5"}}))
    kserve.apply(wanted)
    world.edit("iris", model(resources={"requests": {"cpu": "600m"}}), "kubectl-edit")
    eventually(lambda: shown(kserve, world).held)

    assert kserve.drift(wanted) == ("spec.predictor.model.resources.requests.cpu",)


def test_what_the_webhook_writes_into_a_canary_is_no_drift(kserve: KServe, world: World) -> None:
    resources = {"requests": {"cpu": "0.5"}, "limits": {"cpu": 1}}
    fields = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "resources": resources}
    one, two = (
        replace(release, serving={**release.serving, "namespace": world.namespace})
        for release in (recorded(number, model=fields) for number in (1, 2))
    )
    kserve.apply(rendered("iris", one, None))
    wanted = rendered("iris", two, 10, one)
    for _ in range(2):
        kserve.apply(wanted)
        [canary] = world.live("iris")["spec"]["canary"]
        stored = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
        assert (canary["predictor"]["model"]["resources"], canary["predictor"]["model"]["name"]) == (stored, "")
        assert kserve.drift(wanted) == ()
        assert contested(wanted, shown(kserve, world).held) == ()


def test_an_object_that_was_made_by_the_old_name_of_its_mode_is_adopted_without_drift(
    kserve: KServe, world: World
) -> None:
    old = merged(manifest(world.namespace, "iris"), {"metadata": {"annotations": {MODE: "Serverless"}}})
    made = copy.deepcopy(old)
    made["metadata"]["labels"] = {}
    world.create(made, "kubectl-create")
    eventually(lambda: seen(kserve, world))
    found, wanted = shown(kserve, world), manifest(world.namespace, "iris")
    kserve.adopt(merged(wanted, {"metadata": {"uid": found.uid, "resourceVersion": found.resource_version}}))

    assert (shown(kserve, world).owner, shown(kserve, world).mode) == (MANAGER, "Knative")
    assert (kserve.drift(wanted), kserve.drift(old)) == ((), ())
