"""A server for each test, or a namespace of the cluster that --kubeconfig names, and real clients for it."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import kubernetes
import pytest
from kubernetes.dynamic import DynamicClient

from reconciler.demo.kubeapi import KubeApi, Options
from tests.clusters import api_client, new_namespace

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"


def model(**fields: Any) -> dict[str, Any]:
    """Return a model with what KServe's schema asks for, and these fields."""
    return {"modelFormat": {"name": "mlflow"}, **fields}


def inference_service(name: str = "iris", **predictor: Any) -> dict[str, Any]:
    """Return a small InferenceService with these predictor fields."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": predictor or {"model": model(storageUri="s3://models/1")}},
    }


@dataclass(frozen=True, slots=True)
class Clients:
    """The kubernetes package's clients, all on one server, and plain HTTP; the namespace is the test's own."""

    namespace: str
    http: httpx.Client
    raw: Any
    dynamic: Any
    custom: Any
    core: Any
    leases: Any
    crds: Any
    services: Any

    @property
    def where(self) -> tuple[str, str, str, str]:
        """Name the InferenceServices of the namespace as the clients want them."""
        return (GROUP, VERSION, self.namespace, PLURAL)

    @property
    def path(self) -> str:
        """Name them as plain HTTP wants them."""
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"

    def apply(self, body: dict[str, Any], manager: str, **options: Any) -> dict[str, Any]:
        """Apply an InferenceService."""
        applied = self.services.server_side_apply(body, namespace=self.namespace, field_manager=manager, **options)
        return dict(applied.to_dict())

    def read(self, name: str = "iris") -> dict[str, Any]:
        """Read an InferenceService."""
        return dict(self.custom.get_namespaced_custom_object(*self.where, name))

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create an InferenceService."""
        return dict(self.custom.create_namespaced_custom_object(*self.where, body))

    def delete(self, name: str = "iris", **options: Any) -> dict[str, Any]:
        """Delete an InferenceService."""
        return dict(self.custom.delete_namespaced_custom_object(*self.where, name, **options))


@contextmanager
def clients_of(kubeconfig: Path, directory: Path, namespace: str) -> Iterator[Clients]:
    """Connect by a kubeconfig, as any client does."""
    raw = kubernetes.config.new_client_from_config(str(kubeconfig))
    port = raw.configuration.host.rpartition(":")[2]
    dynamic = DynamicClient(raw, cache_file=str(directory / f"discovery-{port}.json"))
    try:
        with http_of(raw.configuration) as http:
            yield Clients(
                namespace=namespace,
                http=http,
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


def http_of(configuration: Any) -> httpx.Client:
    """Return a plain client with the server's address and the credentials of a kubeconfig."""
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = configuration.get_api_key_with_prefix("authorization")
    headers = {"authorization": token} if token else {}
    return httpx.Client(base_url=configuration.host, verify=tls, headers=headers, timeout=30, trust_env=False)


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[KubeApi]:
    """Return the embedded server itself; what a test knows of it, no other server promises."""
    if request.config.getoption("--kubeconfig"):
        pytest.skip("is about the embedded server, or needs one that forgets and tells at the test's own pace")
    with KubeApi.serve(None, options=Options(bookmark_seconds=0.2, history_limit=20)) as server:
        yield server


@pytest.fixture
def kube(request: pytest.FixtureRequest, real_cluster: Path | None, tmp_path: Path) -> Iterator[Clients]:
    """Return clients of the embedded server, or of the cluster that --kubeconfig names."""
    kubeconfig = real_cluster
    if kubeconfig is None:
        kubeconfig = tmp_path / "kubeconfig"
        request.getfixturevalue("api").write_kubeconfig(kubeconfig)
    admin = api_client(kubeconfig)
    with new_namespace(admin) as namespace, clients_of(kubeconfig, tmp_path, namespace) as clients:
        yield clients
    admin.rest_client.pool_manager.clear()


Refusal = Callable[[Callable[[], Any]], dict[str, Any]]


@pytest.fixture
def refused() -> Refusal:
    """Return the Status with which the server refuses a call."""

    def call(action: Callable[[], Any]) -> dict[str, Any]:
        with pytest.raises(kubernetes.client.ApiException) as caught:
            action()
        status: Any = kubernetes.client.ApiClient().deserialize(_Answer(caught.value.body), "object")
        if not isinstance(status, dict):  # what no resource answers, some handler answers in plain text
            return {"code": caught.value.status, "message": status}
        assert status["kind"] == "Status"
        assert status["code"] == caught.value.status
        return dict(status)

    return call


@dataclass(frozen=True, slots=True)
class _Answer:
    data: str
