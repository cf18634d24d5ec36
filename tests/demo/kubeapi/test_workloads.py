"""Deployments, ReplicaSets and HTTPRoutes: found by clients, watched, selected, counted and merged."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.client import AppsV1Api
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from reconciler.demo.kubeapi import KubeApi, Options
from tests.demo.kubeapi.conftest import Clients, Refusal, clients_of

Json = dict[str, Any]
ROUTES = "httproutes.gateway.networking.k8s.io"


def deployment(*containers: Json, name: str = "iris", app: str = "iris") -> Json:
    template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": list(containers)}}
    spec = {"selector": {"matchLabels": {"app": app}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": spec,
    }


@pytest.fixture
def apps(kube: Clients) -> AppsV1Api:
    return AppsV1Api(kube.raw)


@pytest.mark.parametrize(
    ("api_version", "kind", "plural"),
    [
        ("apps/v1", "Deployment", "deployments"),
        ("apps/v1", "ReplicaSet", "replicasets"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
    ],
)
def test_clients_find_them_with_their_status(kube: Clients, api_version: str, kind: str, plural: str) -> None:
    found = kube.dynamic.resources.get(api_version=api_version, kind=kind)
    assert (found.name, found.namespaced) == (plural, True)
    assert "status" in found.subresources


def test_a_kind_that_was_left_out_is_not_served(tmp_path: Path, refused: Refusal) -> None:
    with ExitStack() as stack:
        api = stack.enter_context(KubeApi.serve(None, options=Options(left_out=frozenset({ROUTES}))))
        api.write_kubeconfig(tmp_path / "kubeconfig")
        kube = stack.enter_context(clients_of(tmp_path / "kubeconfig", tmp_path, "default"))
        with pytest.raises(ResourceNotFoundError):
            kube.dynamic.resources.get(api_version="gateway.networking.k8s.io/v1", kind="HTTPRoute")
        status = refused(
            lambda: kube.custom.list_namespaced_custom_object(
                "gateway.networking.k8s.io", "v1", "default", "httproutes"
            )
        )
        assert status["code"] == 404
        assert kube.dynamic.resources.get(api_version="serving.knative.dev/v1", kind="Revision")


def test_a_deployment_counts_what_is_asked_for_and_not_its_status(kube: Clients, apps: AppsV1Api) -> None:
    created = apps.create_namespaced_deployment(kube.namespace, deployment({"name": "a", "image": "a:1"}))
    assert (created.metadata.generation, created.spec.replicas) == (1, 1)
    status = {"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}}
    told = apps.patch_namespaced_deployment_status("iris", kube.namespace, status)
    assert (told.metadata.generation, told.status.available_replicas) == (1, 1)
    scaled = apps.patch_namespaced_deployment("iris", kube.namespace, {"spec": {"replicas": 3}})
    assert (scaled.metadata.generation, scaled.status.available_replicas) == (2, 1)


def test_a_deployment_needs_a_selector_and_a_template(kube: Clients, apps: AppsV1Api, refused: Refusal) -> None:
    bare = {"metadata": {"name": "iris"}}
    status = refused(lambda: apps.create_namespaced_deployment(kube.namespace, bare))
    assert status["code"] == 422
    missing = {".".join(cause["field"].split(".")[:2]) for cause in status["details"]["causes"]}
    assert missing == {"spec.selector", "spec.template"}


def test_containers_belong_to_who_applied_them_and_the_selector_is_one_field(kube: Clients) -> None:
    deployments = kube.dynamic.resources.get(api_version="apps/v1", kind="Deployment")

    def apply(body: Json, manager: str, **options: Any) -> Json:
        applied = deployments.server_side_apply(body, namespace=kube.namespace, field_manager=manager, **options)
        return dict(applied.to_dict())

    apply(deployment({"name": "a", "image": "a:1"}), "one")
    both = apply(deployment({"name": "b", "image": "b:1"}), "two")
    assert [c["name"] for c in both["spec"]["template"]["spec"]["containers"]] == ["a", "b"]
    with pytest.raises(kubernetes.client.ApiException) as conflict:
        apply(deployment({"name": "a", "image": "a:2"}), "two")
    [cause] = json.loads(conflict.value.body)["details"]["causes"]
    assert cause["field"] == '.spec.template.spec.containers[name="a"].image'
    other = deployment({"name": "a", "image": "a:1"})
    other["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
    with pytest.raises(kubernetes.client.ApiException) as conflict:
        apply(other, "two")
    assert ".spec.selector" in {cause["field"] for cause in json.loads(conflict.value.body)["details"]["causes"]}


def test_a_watch_by_label_shows_only_its_deployments(kube: Clients, apps: AppsV1Api) -> None:
    start = apps.list_namespaced_deployment(kube.namespace).metadata.resource_version
    for name, app in (("one", "mine"), ("two", "other")):
        apps.create_namespaced_deployment(kube.namespace, deployment({"name": "a", "image": "a:1"}, name=name, app=app))
    apps.patch_namespaced_deployment("one", kube.namespace, {"spec": {"replicas": 2}})
    watch = kubernetes.watch.Watch().stream(
        apps.list_namespaced_deployment,
        kube.namespace,
        label_selector="app=mine",
        resource_version=start,
        timeout_seconds=1,
    )
    seen = [(event["type"], event["object"].metadata.name, event["object"].spec.replicas) for event in watch]
    assert seen == [("ADDED", "one", 1), ("MODIFIED", "one", 2)]
    assert [
        d.metadata.name for d in apps.list_namespaced_deployment(kube.namespace, label_selector="app=mine").items
    ] == ["one"]
