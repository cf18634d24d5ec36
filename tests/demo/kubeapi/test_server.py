"""The server as a whole: discovery, definitions, hooks, restarts, the command line, speed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import kubernetes
import pytest

from reconciler.demo.kubeapi import AdmissionDeniedError, AdmissionRequest, KubeApi
from tests.clusters import wait_until_served
from tests.demo.kubeapi.conftest import (
    GROUP,
    PLURAL,
    VERSION,
    Clients,
    Refusal,
    clients_of,
    inference_service,
    model,
)
from tests.systems.serving.world import eventually

WIDGETS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer"},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["id"],
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {"id": {"type": "integer"}},
                                        },
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.mark.usefixtures("api")
def test_every_resource_of_the_stack_is_discovered(kube: Clients) -> None:
    found = {
        (resource.group_version, resource.kind, resource.namespaced)
        for resource in kube.dynamic.resources
        for resource in resource
        if not resource.kind.endswith("List")
    }
    assert found == {
        ("v1", "Namespace", False),
        ("v1", "ConfigMap", True),
        ("v1", "Secret", True),
        ("v1", "Event", True),
        ("v1", "Pod", True),
        ("batch/v1", "Job", True),
        ("apps/v1", "Deployment", True),
        ("apps/v1", "ReplicaSet", True),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", True),
        ("coordination.k8s.io/v1", "Lease", True),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", False),
        ("serving.kserve.io/v1beta1", "InferenceService", True),
        ("serving.kserve.io/v1alpha1", "ServingRuntime", True),
        ("serving.kserve.io/v1alpha1", "ClusterServingRuntime", False),
        ("serving.knative.dev/v1", "Revision", True),
    }


def test_groups_name_the_version_to_prefer(kube: Clients) -> None:
    groups = {g.name: g for g in kubernetes.client.ApisApi(kube.raw).get_api_versions().groups}
    assert groups[GROUP].preferred_version.version == "v1beta1"
    assert kubernetes.client.VersionApi(kube.raw).get_code().major == "1"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
def test_the_server_says_that_it_is_well(kube: Clients, path: str) -> None:
    assert kube.http.get(path).text == "ok"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/apis/none.example.com", "404 page not found"),
        ("/apis/serving.kserve.io/v9", "404 page not found"),
        (f"/apis/{GROUP}/{VERSION}/{PLURAL}/iris", "404 page not found"),
        ("/api/v1/widgets", '"reason":"NotFound"'),
        ("/api/v2", '"reason":"NotFound"'),
        ("/api/v1/namespaces/default/configmaps/x/status", '"reason":"NotFound"'),
    ],
)
def test_a_path_that_names_nothing_is_not_found(kube: Clients, path: str, said: str) -> None:
    answer = kube.http.get(path)
    assert (answer.status_code, said in answer.text) == (404, True)


def test_a_verb_that_a_resource_lacks_is_refused(kube: Clients) -> None:
    answer = kube.http.delete("/api/v1/namespaces")
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


def test_requests_are_counted_by_verb_and_resource(api: KubeApi, kube: Clients) -> None:
    where = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
    for path in (where, where, f"{where}/none", f"{where}?watch=true&timeoutSeconds=1"):
        httpx.get(api.url + path)
    kube.core.list_namespace()

    counted = httpx.get(f"{api.url}/metrics").text.splitlines()

    services = 'group="serving.kserve.io",resource="inferenceservices"'
    expected = {
        f'apiserver_request_total{{verb="LIST",{services}}} 2',
        f'apiserver_request_total{{verb="GET",{services}}} 1',
        f'apiserver_request_total{{verb="WATCH",{services}}} 1',
        'apiserver_request_total{verb="LIST",group="",resource="namespaces"} 1',
    }
    assert expected <= set(counted)


def test_a_body_that_is_no_json_is_refused(kube: Clients) -> None:
    answer = kube.http.post("/api/v1/namespaces", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_an_apply_may_be_written_in_yaml(kube: Clients) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {day: 2026-01-01}\n"
    answer = kube.http.patch(
        f"/api/v1/namespaces/{kube.namespace}/configmaps/m?fieldManager=m",
        content=text,
        headers={"content-type": "application/apply-patch+yaml"},
    )
    assert (answer.status_code, answer.json()["data"]) == (201, {"day": "2026-01-01"})


def test_the_inference_service_definition_is_there_and_established(kube: Clients) -> None:
    found = kube.crds.read_custom_resource_definition("inferenceservices.serving.kserve.io")
    assert {c.type: c.status for c in found.status.conditions}["Established"] == "True"


def test_a_new_definition_serves_its_resource_by_its_own_schema(kube: Clients, refused: Refusal) -> None:
    kube.crds.create_custom_resource_definition(WIDGETS)
    wait_until_served(kube.crds, "widgets.example.com")
    widgets = kube.dynamic.resources.get(api_version="example.com/v1", kind="Widget")

    def widget(**spec: Any) -> dict[str, Any]:
        meta = {"name": "w"}
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": spec}

    assert "spec.size" in refused(lambda: widgets.create(widget()))["message"]
    widgets.server_side_apply(widget(size=1, parts=[{"id": 1}]), field_manager="a")
    both = widgets.server_side_apply(widget(size=1, parts=[{"id": 2}]), field_manager="b")
    assert both.to_dict()["spec"]["parts"] == [{"id": 1}, {"id": 2}]
    kube.crds.delete_custom_resource_definition("widgets.example.com")
    eventually(lambda: kube.http.get("/apis/example.com/v1/widgets").status_code == 404)
    assert refused(widgets.get)["code"] == 404


def test_a_field_that_no_schema_names_fails_an_apply_and_is_dropped_by_other_writes(kube: Clients) -> None:
    kube.crds.create_custom_resource_definition(WIDGETS)
    wait_until_served(kube.crds, "widgets.example.com")
    path, meta = "/apis/example.com/v1/widgets", {"name": "w"}
    odd = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": {"size": 1, "colour": "red"}}

    def ask(method: str, at: str, media_type: str, body: Any, checked: str) -> Any:
        query = {"fieldManager": "a", "fieldValidation": checked}
        answer = kube.http.request(method, at, params=query, json=body, headers={"content-type": media_type})
        return answer.status_code, answer.json()

    try:
        for checked in ("Ignore", "Strict"):
            code, failed = ask("PATCH", f"{path}/w", "application/apply-patch+yaml", odd, checked)
            assert code == 500
            assert failed["message"].endswith(": .spec.colour: field not declared in schema")
        code, strict = ask("POST", path, "application/json", odd, "Strict")
        assert (code, 'unknown field "spec.colour"' in strict["message"]) == (400, True)
        code, made = ask("POST", path, "application/json", odd, "Ignore")
        assert (code, made["spec"]) == (201, {"size": 1})
        merged = {"spec": {"parts": [{"id": 1, "shape": "round"}]}}
        code, after = ask("PATCH", f"{path}/w", "application/merge-patch+json", merged, "Ignore")
        assert (code, after["spec"]) == (200, {"size": 1, "parts": [{"id": 1}]})
    finally:
        kube.crds.delete_custom_resource_definition("widgets.example.com")
        eventually(lambda: kube.http.get(path).status_code == 404)


def name_format(request: AdmissionRequest) -> dict[str, Any]:
    request.obj["metadata"].setdefault("annotations", {})["modelFormat"] = "mlflow"
    return request.obj


def refuse_forbidden(request: AdmissionRequest) -> None:
    if "forbidden" in request.obj["spec"]["predictor"]:
        raise AdmissionDeniedError("test.validator", "predictor.forbidden is set")


def test_a_hook_changes_what_is_stored_and_is_owned_by_nobody(api: KubeApi, kube: Clients) -> None:
    api.admission.mutating("inferenceservices.serving.kserve.io", name_format)
    tried = kube.apply(inference_service(), "m", dry_run="All")
    applied = kube.apply(inference_service(), "m")
    assert applied["metadata"]["annotations"] == tried["metadata"]["annotations"] == {"modelFormat": "mlflow"}
    assert "annotations" not in json.dumps(applied["metadata"]["managedFields"])
    assert kube.apply(inference_service(), "m") == applied


def test_a_hook_refuses_what_must_not_be_stored(api: KubeApi, kube: Clients, refused: Refusal) -> None:
    api.admission.validating("inferenceservices.serving.kserve.io", refuse_forbidden)
    status = refused(lambda: kube.apply(inference_service(forbidden=True), "m"))
    assert (status["code"], status["message"]) == (
        403,
        'admission webhook "test.validator" denied the request: predictor.forbidden is set',
    )


@contextmanager
def restarted(folder: Path) -> Iterator[Clients]:
    with KubeApi.serve(folder) as api:
        api.write_kubeconfig(folder / "kubeconfig")
        with clients_of(folder / "kubeconfig", folder, "default") as kube:
            yield kube


def test_a_restarted_server_continues_where_it_stood(tmp_path: Path, refused: Refusal) -> None:
    with restarted(tmp_path) as kube:
        kept = kube.create(inference_service())
        kube.create(inference_service("gone"))
        kube.delete("gone")
        kube.crds.create_custom_resource_definition(WIDGETS)
        last = kube.custom.list_namespaced_custom_object(*kube.where)["metadata"]["resourceVersion"]
    with restarted(tmp_path) as kube:
        assert kube.read() == kept
        assert refused(lambda: kube.read("gone"))["code"] == 404
        assert kube.dynamic.resources.get(api_version="example.com/v1", kind="Widget")
        after = kube.custom.list_namespaced_custom_object(*kube.where)["metadata"]["resourceVersion"]
        assert after == last
        new = kube.create(inference_service("new"))["metadata"]["resourceVersion"]
        assert int(new) > int(last)
        resumed = kubernetes.watch.Watch().stream(
            kube.custom.list_namespaced_custom_object, *kube.where, resource_version=last, timeout_seconds=1
        )
        assert [e["object"]["metadata"]["name"] for e in resumed] == ["new"]


def start(arguments: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler.demo.kubeapi", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    process, url = start(["--state-dir", str(tmp_path)])

    def write_until_killed() -> None:
        path = f"{url}/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}"
        with httpx.Client(timeout=5) as client:
            for number in range(100_000):
                try:
                    client.post(path, json=inference_service(f"m{number}")).raise_for_status()
                except httpx.TransportError:
                    return
                acknowledged.append(f"m{number}")
                enough.set() if number == 50 else None

    enough = threading.Event()
    writer = threading.Thread(target=write_until_killed)
    try:
        writer.start()
        assert enough.wait(20)
    finally:
        process.kill()
        process.communicate()
        writer.join()
    with KubeApi.serve(tmp_path) as api:
        stored = {record.key.name for record in api.store.records("inferenceservices.serving.kserve.io")}
    assert set(acknowledged) <= stored
    assert len(stored) <= len(acknowledged) + 1


def test_the_command_serves_a_kubeconfig_and_ends_on_sigterm(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    process, url = start(["--kubeconfig", str(kubeconfig), "--token", "secret"])
    try:
        raw = kubernetes.config.new_client_from_config(str(kubeconfig))
        assert raw.configuration.host == url
        found = kubernetes.client.CoreV1Api(raw).list_namespace()
        assert [n.metadata.name for n in found.items] == ["default"]
        raw.rest_client.pool_manager.clear()
        assert kubeconfig.stat().st_mode & 0o077 == 0
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_kserves_own_definition_replaces_the_light_one(api: KubeApi, kube: Clients) -> None:
    source = Path(__file__).parents[4] / "shared" / "kserve" / "inferenceservices.yaml"
    if not source.exists():
        pytest.skip("KServe's definitions are not beside this repository")
    answer = httpx.patch(
        f"{api.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        "/inferenceservices.serving.kserve.io?fieldManager=kubectl&force=true",
        content=source.read_bytes(),
        headers={"content-type": "application/apply-patch+yaml"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    applied = kube.apply(inference_service(model=model(env=[{"name": "A", "value": "1"}])), "m")
    assert 'k:{\\"name\\":\\"A\\"}' in json.dumps(applied["metadata"]["managedFields"])


@pytest.mark.usefixtures("api")
def test_calls_are_quick_enough_for_benchmarks(kube: Clients) -> None:
    """Guard against a delay per call (Nagle, lost keep-alive), not against a slow machine."""
    begun = time.perf_counter()
    for number in range(100):
        kube.apply(inference_service(minReplicas=number), "m")
    assert 100 / (time.perf_counter() - begun) > 50
