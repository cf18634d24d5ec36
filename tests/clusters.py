"""The cluster that --kubeconfig names: its client, what must be there, and a namespace of one's own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from kubernetes import client, config

from reconciler.demo.kubeapi.resources import preregistered_definitions

ISVC = ("serving.kserve.io", "v1beta1")
KSERVE = "inferenceservices.serving.kserve.io"
# Groups of *.k8s.io are reserved, unless a definition says this.
UNAPPROVED = {"api-approved.kubernetes.io": "unapproved, of a test"}
TIMEOUT = 30
PATIENCE_SECONDS = 60.0
CONTROLLER_SECONDS = 10.0


def api_client(kubeconfig: Path) -> client.ApiClient:
    """Return the real client, which sends everything once."""
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    configuration.retries = False
    return client.ApiClient(configuration)


@contextmanager
def prepared(kubeconfig: Path) -> Iterator[None]:
    """Serve what KServe relies on where nobody does, until the block ends; KServe's own definitions must be there."""
    api = api_client(kubeconfig)
    definitions = client.ApiextensionsV1Api(api)
    known = {one.metadata.name for one in definitions.list_custom_resource_definition(_request_timeout=TIMEOUT).items}
    if KSERVE not in known:
        pytest.fail(f"{api.configuration.host} has no {KSERVE}: install KServe's CRDs")
    with ExitStack() as made:
        made.callback(api.rest_client.pool_manager.clear)
        for definition in preregistered_definitions():
            name = definition["metadata"]["name"]
            if definition["spec"]["group"] != ISVC[0] and name not in known:
                body = {**definition, "metadata": {"name": name, "annotations": UNAPPROVED}}
                definitions.create_custom_resource_definition(body, _request_timeout=TIMEOUT)
                made.callback(definitions.delete_custom_resource_definition, name, _request_timeout=TIMEOUT)
                wait_until_served(definitions, name)
        yield


def wait_until_served(definitions: client.ApiextensionsV1Api, name: str) -> None:
    """Wait until a definition's objects can be asked for."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = definitions.read_custom_resource_definition(name, _request_timeout=TIMEOUT)
        conditions = {one.type: one.status for one in (found.status and found.status.conditions) or ()}
        if conditions.get("Established") == "True":
            return
        assert time.monotonic() < ends, f"{name} is not served: {conditions}"
        time.sleep(0.05)


@contextmanager
def new_namespace(api: client.ApiClient) -> Iterator[str]:
    """Make a namespace and take it away again, with everything in it."""
    with named_namespace(api, f"reconciler-test-{secrets.token_hex(4)}") as name:
        yield name


@contextmanager
def named_namespace(api: client.ApiClient, name: str) -> Iterator[str]:
    """Do the same with a namespace of this name, which must not be there."""
    core = client.CoreV1Api(api)
    labels = {"reconciler.dev/test": "true"}
    core.create_namespace({"metadata": {"name": name, "labels": labels}}, _request_timeout=TIMEOUT)
    try:
        yield name
    finally:
        _release(api, name)
        try:
            core.delete_namespace(name, _request_timeout=TIMEOUT)
        except client.ApiException as error:
            if error.status not in (404, 409):
                raise


Scope = Literal["session", "package", "module"]


def on_a_cluster(own: Scope) -> Callable[[str, pytest.Config], Scope]:
    """Return the scope of what acts on everybody's InferenceServices: on a cluster it ends with its own tests."""
    return lambda fixture_name, config: "session" if config.getoption("--kubeconfig") is None else own  # noqa: ARG005  pytest's names


def controllers_run(kubeconfig: Path) -> bool:
    """Tell whether Kubernetes' own controllers run on a cluster: they give each namespace its account."""
    api = api_client(kubeconfig)
    core = client.CoreV1Api(api)
    ends = time.monotonic() + CONTROLLER_SECONDS
    found = False
    with new_namespace(api) as name:
        while not found and time.monotonic() < ends:
            found = bool(core.list_namespaced_service_account(name, _request_timeout=TIMEOUT).items)
            time.sleep(0.05)
    api.rest_client.pool_manager.clear()
    return found


@cache
def deployments_run(kubeconfig: Path) -> bool:
    """Tell whether somebody makes Pods of Deployments on a cluster."""
    api = api_client(kubeconfig)
    apps, labels = client.AppsV1Api(api), {"app": "none"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "none", "image": "none"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    ends = time.monotonic() + CONTROLLER_SECONDS / 2
    found = False
    with new_namespace(api) as name:
        apps.create_namespaced_deployment(name, {"metadata": {"name": "none"}, "spec": spec}, _request_timeout=TIMEOUT)
        while not found and time.monotonic() < ends:
            told = apps.read_namespaced_deployment("none", name, _request_timeout=TIMEOUT).status
            found = told.observed_generation is not None
            time.sleep(0.05)
    api.rest_client.pool_manager.clear()
    return found


def nobody_serves(kubeconfig: Path) -> bool:
    """Tell whether KServe does not work on a cluster, and nobody there has an InferenceService."""
    api = api_client(kubeconfig)
    hooks = client.AdmissionregistrationV1Api(api).list_mutating_webhook_configuration(_request_timeout=TIMEOUT).items
    found = client.CustomObjectsApi(api).list_cluster_custom_object(*ISVC, "inferenceservices", limit=1)["items"]
    api.rest_client.pool_manager.clear()
    return not found and not any("kserve" in hook.metadata.name for hook in hooks)


def with_account(api: client.ApiClient, namespace: str) -> None:
    """Have the account there that a pod runs as; the embedded API has no accounts, a controller may be first."""
    try:
        client.CoreV1Api(api).create_namespaced_service_account(namespace, {"metadata": {"name": "default"}})
    except client.ApiException as error:
        if error.status not in (404, 409):
            raise


def _release(api: client.ApiClient, namespace: str) -> None:
    """Delete the services that a test left, also where a finalizer holds them."""
    where = (*ISVC, namespace, "inferenceservices")
    objects = client.CustomObjectsApi(api)
    for item in objects.list_namespaced_custom_object(*where, _request_timeout=TIMEOUT)["items"]:
        name = item["metadata"]["name"]
        try:
            if item["metadata"].get("finalizers"):
                objects.patch_namespaced_custom_object(*where, name, {"metadata": {"finalizers": None}})
            objects.delete_namespaced_custom_object(*where, name)
        except client.ApiException as error:
            if error.status != 404:
                raise
