"""The other side of the API: KServe's controller, people and other tools, played over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from kubernetes import client

from reconciler.desired.serving import Serving
from reconciler.manifest import inference_service, release_of, serving_fields
from reconciler.observed import Release, ReleaseRecord

T = TypeVar("T")
Json = dict[str, Any]
GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
PATIENCE_SECONDS = 20.0


def eventually(what: Callable[[], T | None]) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := what()):
        assert time.monotonic() < deadline, f"still {answer!r} after {PATIENCE_SECONDS:g} s"
        time.sleep(0.02)
    return answer


def serving(namespace: str, **predictor: Any) -> Serving:
    """Return serving fields with what the test adds to the predictor."""
    model = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
    return Serving.model_validate(
        {"namespace": namespace, "predictor": {"model": model, "minReplicas": 1, **predictor}}
    )


def record(namespace: str, version: int, **predictor: Any) -> ReleaseRecord:
    """Return the release record of a version under these fields."""
    wanted = serving(namespace, **predictor)
    return ReleaseRecord(release_of(version, wanted), f"s3://models/iris/{version}", serving_fields(wanted))


def manifest(namespace: str, name: str, version: int = 1, canary: int | None = None, **predictor: Any) -> Json:
    """Render what the reconciler applies for a version."""
    return inference_service(name, record(namespace, version, **predictor), canary)


def release(namespace: str, version: int = 1, **predictor: Any) -> Release:
    """Return the release that `manifest` asks for."""
    return record(namespace, version, **predictor).release


@dataclass(frozen=True, slots=True)
class World:
    """A cluster and the namespace that belongs to this test."""

    api: client.ApiClient
    namespace: str

    @property
    def objects(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    def live(self, name: str) -> Json:
        """Read the object past every cache."""
        found: Json = self.objects.get_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)
        return found

    def generation(self, name: str) -> int:
        return int(self.live(name)["metadata"]["generation"])

    def create(self, body: Json, manager: str) -> Json:
        """Create an object as somebody else."""
        made: Json = self.objects.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, body, field_manager=manager
        )
        return made

    def edit(self, name: str, patch: Json, manager: str) -> Json:
        """Merge a change as somebody else, as `kubectl edit` does."""
        return self._patch(f"{self._path}/{name}", patch, manager, "application/merge-patch+json")

    def apply_as(self, name: str, spec: Json, manager: str) -> Json:
        """Server-side apply a part of the object as somebody else."""
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "InferenceService", "metadata": {"name": name}, **spec}
        return self._patch(f"{self._path}/{name}", body, manager, "application/apply-patch+yaml")

    def report(self, name: str, status: Json) -> Json:
        """Write a status, as KServe's controller does."""
        return self._patch(f"{self._path}/{name}/status", {"status": status}, "manager", "application/merge-patch+json")

    def delete(self, name: str) -> None:
        self.objects.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)

    @property
    def _path(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"

    def _patch(self, path: str, body: Json, manager: str, media_type: str) -> Json:
        answer: Json = self.api.call_api(
            path,
            "PATCH",
            query_params=[("fieldManager", manager)],
            header_params={"Content-Type": media_type},
            body=body,
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _request_timeout=(10, 30),
        )
        return answer


def ready_status(revision: str, **more: Any) -> Json:
    """Return the status of a service whose newest revision has all traffic; satisfies KServe's schema."""
    predictor = {
        "latestCreatedRevision": revision,
        "latestReadyRevision": revision,
        "latestRolledoutRevision": revision,
        "traffic": [{"latestRevision": True, "percent": 100, "revisionName": revision}],
        "url": "http://iris-predictor.example.com",
    }
    return {
        "url": "http://iris.example.com",
        "components": {"predictor": predictor},
        "conditions": [
            {"type": "PredictorReady", "status": "True"},
            {"type": "IngressReady", "status": "True"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-08-21T10:00:00Z"},
        ],
        "modelStatus": {
            "transitionStatus": "UpToDate",
            "copies": {"failedCopies": 0, "totalCopies": 1},
            "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
        },
        **more,
    }
