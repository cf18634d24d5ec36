"""A server for each test, and real clients for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.dynamic import DynamicClient

from reconciler.demo.kubeapi import KubeApi, Options

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"


def inference_service(name: str = "iris", **predictor: Any) -> dict[str, Any]:
    """Return a small InferenceService with these predictor fields."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": predictor or {"model": {"storageUri": "s3://models/1"}}},
    }


@dataclass(frozen=True, slots=True)
class Clients:
    """The kubernetes package's clients, all on one server."""

    raw: Any
    dynamic: Any
    custom: Any
    core: Any
    leases: Any
    crds: Any
    services: Any

    def apply(self, body: dict[str, Any], manager: str, **options: Any) -> dict[str, Any]:
        """Apply an InferenceService in `default`."""
        applied = self.services.server_side_apply(body, namespace="default", field_manager=manager, **options)
        return dict(applied.to_dict())

    def read(self, name: str = "iris") -> dict[str, Any]:
        """Read an InferenceService in `default`."""
        return dict(self.custom.get_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, name))

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create an InferenceService in `default`."""
        return dict(self.custom.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, body))

    def delete(self, name: str = "iris", **options: Any) -> dict[str, Any]:
        """Delete an InferenceService in `default`."""
        return dict(self.custom.delete_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, name, **options))


@contextmanager
def clients_of(api: KubeApi, directory: Path) -> Iterator[Clients]:
    """Connect by a kubeconfig, as any client does."""
    kubeconfig = directory / "kubeconfig"
    api.write_kubeconfig(kubeconfig)
    raw = kubernetes.config.new_client_from_config(str(kubeconfig))
    port = api.url.rpartition(":")[2]
    dynamic = DynamicClient(raw, cache_file=str(directory / f"discovery-{port}.json"))
    try:
        yield Clients(
            raw=raw,
            dynamic=dynamic,
            custom=kubernetes.client.CustomObjectsApi(raw),
            core=kubernetes.client.CoreV1Api(raw),
            leases=kubernetes.client.CoordinationV1Api(raw),
            crds=kubernetes.client.ApiextensionsV1Api(raw),
            services=dynamic.resources.get(api_version=f"{GROUP}/{VERSION}", kind="InferenceService"),
        )
    finally:
        raw.rest_client.pool_manager.clear()
        raw.close()


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with KubeApi.serve(None, options=Options(bookmark_seconds=0.2, history_limit=20)) as server:
        yield server


@pytest.fixture
def kube(api: KubeApi, tmp_path: Path) -> Iterator[Clients]:
    with clients_of(api, tmp_path) as clients:
        yield clients


Refusal = Callable[[Callable[[], Any]], dict[str, Any]]


@pytest.fixture
def refused() -> Refusal:
    """Return the Status with which the server refuses a call."""

    def call(action: Callable[[], Any]) -> dict[str, Any]:
        with pytest.raises(kubernetes.client.ApiException) as caught:
            action()
        status: dict[str, Any] = kubernetes.client.ApiClient().deserialize(_Answer(caught.value.body), "object")
        assert status["kind"] == "Status"
        assert status["code"] == caught.value.status
        return status

    return call


@dataclass(frozen=True, slots=True)
class _Answer:
    data: str
