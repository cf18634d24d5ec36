"""A real embedded API, a real stand-in and real models."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api, CustomObjectsApi

from reconciler.demo.kserve.standin import KServeStandIn, Options
from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi
from tests.clusters import api_client, deployments_run, named_namespace, nobody_serves, on_a_cluster

Json = dict[str, Any]
ISVC = ("serving.kserve.io", "v1beta1", "models", "inferenceservices")
REVISION = ("serving.knative.dev", "v1", "models", "revisions")
DEPLOYMENT = ("apps", "v1", "models", "deployments")
ROUTE = ("gateway.networking.k8s.io", "v1", "models", "httproutes")
FAST = Options(scale_down_seconds=0.5, first_backoff=0.5)
PATIENCE_SECONDS = 60.0


def eventually(what: Callable[[], Any], patience: float = PATIENCE_SECONDS) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + patience
    while not (answer := what()):
        assert time.monotonic() < deadline, f"still {answer!r} after {patience:g} s"
        time.sleep(0.05)
    return answer


def servers(prefix: str, parent: psutil.Process | None = None) -> list[psutil.Process]:
    """Find the model servers below a process (this one) whose log's name starts so."""
    return [p for p in (parent or psutil.Process()).children(recursive=True) if _log_of(p).startswith(prefix)]


def _log_of(process: psutil.Process) -> str:
    try:
        return Path(f"/proc/{process.pid}/fd/1").readlink().name
    except OSError:  # it ended meanwhile
        return ""


def predictor(name: str, uri: str, **fields: Any) -> Json:
    """Write a predictor of this name, with a release label as a GitOps tool puts one on it."""
    # KServe's definition wants a name in a canary's model, be it empty.
    model = {"name": "", "modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "storageUri": uri}
    return {"name": name, "labels": {"example.org/release": name}, "model": model, **fields}


def canary(name: str, uri: str, percent: int, **fields: Any) -> Json:
    """Write a canary with one replica."""
    return {"predictor": predictor(name, uri, minReplicas=1, **fields), "trafficPercent": percent}


def short(name: str, deployment: str) -> str:
    """Return the predictor's own name in that of its Deployment."""
    return deployment.removeprefix(f"{name}-").removesuffix("-predictor")


def rolled_out(deployment: Json) -> bool:
    """Tell whether all replicas run the newest template, and no others."""
    asked, status = deployment["spec"]["replicas"], deployment.get("status", {})
    counts = {status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")}
    return bool(status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and counts == {asked})


@dataclass(frozen=True, slots=True)
class World:
    """The client's side of the embedded stack."""

    client: ApiClient
    ingress_url: str
    http: httpx.Client

    @property
    def objects(self) -> CustomObjectsApi:
        return CustomObjectsApi(self.client)

    def apply(self, name: str, uri: str, canary: int | None, **model: Any) -> Json:
        """Create the service, or change its model and canary percentage (None removes it)."""
        given = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "storageUri": uri, **model}
        body = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name, "annotations": {"serving.kserve.io/enable-tag-routing": "true"}},
            "spec": {"predictor": {"model": given, "canaryTrafficPercent": canary}},
        }
        if canary is None:
            del body["spec"]["predictor"]["canaryTrafficPercent"]  # type: ignore[index]  # a literal above
        return self._apply(body)

    def apply_standard(self, name: str, stable: Json, *canaries: Json) -> Json:
        """Create the service in Standard mode, or change its predictors."""
        return self._apply(
            {
                "apiVersion": "serving.kserve.io/v1beta1",
                "kind": "InferenceService",
                "metadata": {"name": name, "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
                "spec": {"predictor": stable, **({"canary": list(canaries)} if canaries else {})},
            }
        )

    def _apply(self, body: Json) -> Json:
        applied: Json = self.client.call_api(
            f"/apis/{ISVC[0]}/{ISVC[1]}/namespaces/models/{ISVC[3]}/{body['metadata']['name']}",
            "PATCH",
            query_params=[("fieldManager", "tests"), ("force", "true")],
            header_params={"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"},
            body=body,
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
        )
        return applied

    def get(self, name: str) -> Json:
        """Read the service."""
        found: Json = self.objects.get_namespaced_custom_object(*ISVC, name)
        return found

    def revision(self, name: str) -> Json:
        """Read a revision."""
        found: Json = self.objects.get_namespaced_custom_object(*REVISION, name)
        return found

    def exists(self, name: str) -> bool:
        """Tell whether the service is there."""
        return any(
            item["metadata"]["name"] == name for item in self.objects.list_namespaced_custom_object(*ISVC)["items"]
        )

    def delete(self, name: str) -> None:
        """Delete the service."""
        self.objects.delete_namespaced_custom_object(*ISVC, name)

    def stop(self, name: str, stop: str | None) -> None:
        """Set the annotation that stops the service, or remove it."""
        patch = {"metadata": {"annotations": {"serving.kserve.io/stop": stop}}}
        self.objects.patch_namespaced_custom_object(*ISVC, name, patch)

    def condition(self, name: str, kind: str) -> str:
        """Read the status of one condition."""
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return next((str(c["status"]) for c in conditions if c["type"] == kind), "Unknown")

    def marks(self, name: str) -> Json:
        """Read the predictor's component status."""
        predictor: Json = self.get(name).get("status", {}).get("components", {}).get("predictor", {})
        return predictor

    def settled(self, name: str, newest: int) -> bool:
        """Tell whether revision number `newest` exists and is ready, and the service too."""
        marks = self.marks(name)
        wanted = f"{name}-predictor-{newest:05d}"
        reached = marks.get("latestCreatedRevision") == marks.get("latestReadyRevision") == wanted
        return reached and self.condition(name, "Ready") == "True"

    def split(self, name: str) -> dict[str, int]:
        """Read the percentages by revision number's last digit and tag."""
        return {
            f"{t['revisionName'][-1]}{':' + t['tag'] if 'tag' in t else ''}": t["percent"]
            for t in self.marks(name).get("traffic", [])
        }

    def deployments(self, name: str) -> dict[str, Json]:
        """Read a service's Deployments, without `<name>-` and `-predictor` around their names."""
        found = self.objects.list_namespaced_custom_object(
            *DEPLOYMENT, label_selector=f"serving.kserve.io/inferenceservice={name}"
        )
        return {short(name, item["metadata"]["name"]): item for item in found["items"]}

    def weights(self, name: str) -> dict[str, int]:
        """Read the weights of a service's route by its Deployments' short names; empty without a route."""
        found = self.objects.list_namespaced_custom_object(*ROUTE, field_selector=f"metadata.name={name}")["items"]
        references = found[0]["spec"]["rules"][0]["backendRefs"] if found else []
        return {short(name, reference["name"]): reference["weight"] for reference in references}

    def pods(self, selector: str) -> list[Json]:
        """Read the Pods with these labels as plain JSON."""
        answer = self.client.call_api(
            "/api/v1/namespaces/models/pods",
            "GET",
            query_params=[("labelSelector", selector)],
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
        )
        found: list[Json] = answer["items"]
        return found

    def infer(self, name: str, at: str = "") -> httpx.Response:
        """Ask the service for a prediction by V2; `at` is the path of one of its Deployments."""
        tensor = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}
        return self.http.post(
            f"{self.ingress_url}/serving/models/{at or name}/v2/models/{name.partition('--')[0]}/infer",
            json={"inputs": [tensor]},
        )

    def answers(self, name: str, at: str = "") -> Any:
        """Return the predicted class, or the error's status code below 0."""
        response = self.infer(name, at)
        return response.json()["outputs"][0]["data"][0] if response.is_success else -response.status_code

    def warnings(self, name: str) -> list[str]:
        """Read the Warning events about the service."""
        events = CoreV1Api(self.client).list_namespaced_event("models").items
        mine = (e for e in events if e.involved_object.name == name and e.type == "Warning")
        return [f"{event.reason}: {event.message}" for event in mine]


@contextmanager
def load(world: World, name: str) -> Iterator[Counter[int]]:
    """Send about 50 requests a second from four callers; yield the counted answers."""
    answers: Counter[int] = Counter()
    counting, done = threading.Lock(), threading.Event()

    def call() -> None:
        while not done.wait(0.08):
            answer = world.answers(name)
            with counting:
                answers[answer] += 1

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield answers
    finally:
        done.set()
        for caller in callers:
            caller.join()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three models that answer their own number, and one that cannot load, as storage URIs."""
    root = tmp_path_factory.mktemp("artifacts")
    subprocess.run([sys.executable, "-m", "tests.demo.kserve.train", str(root)], check=True, capture_output=True)
    return {directory.name: directory.as_uri() for directory in root.iterdir()}


@pytest.fixture(scope=on_a_cluster("package"))
def client(real_cluster: Path | None, controllers: bool) -> Iterator[ApiClient]:
    """Open a client of an embedded API that has KServe's webhook, or of the cluster that --kubeconfig names."""
    if real_cluster:
        with free(real_cluster, controllers) as client:
            yield client
        return
    with KubeApi.serve(state_dir=None) as api:
        register(api.admission)
        configuration = Configuration()
        configuration.host = api.url
        with ApiClient(configuration) as client:
            CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
            yield client


@contextmanager
def free(real_cluster: Path, controllers: bool) -> Iterator[ApiClient]:  # a fact of the cluster, not a switch
    """Open a client of a cluster where the stand-in is in nobody's way, with a namespace `models`."""
    if not (controllers and nobody_serves(real_cluster)):
        pytest.skip("the stand-in needs Kubernetes' own controllers, no KServe and nobody else's InferenceServices")
    if deployments_run(real_cluster):
        pytest.skip("the stand-in makes Pods of Deployments, and here somebody else does")
    with api_client(real_cluster) as client, named_namespace(client, "models"):
        yield client


@pytest.fixture(scope=on_a_cluster("package"))
def world(client: ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start a stand-in, shared by the tests: each uses a service of its own."""
    work_dir: Path = tmp_path_factory.mktemp("kserve")
    with KServeStandIn.start(client, work_dir, FAST) as kserve, httpx.Client(timeout=60) as http:
        yield World(client, kserve.ingress_url, http)
