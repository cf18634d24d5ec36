"""What the stand-in reads and writes through the Kubernetes API, with the real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi
from urllib3 import HTTPResponse

from reconciler.demo.kserve.names import FINALIZER, GATEWAY, KNATIVE, KSERVE, Json
from reconciler.demo.kserve.objects import Objects, answers

_ISVCS = (KSERVE, "v1beta1")
_WATCH_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Listing:
    """The InferenceServices at one resource version."""

    items: list[Json]
    resource_version: str


class Cluster:
    """InferenceServices and Events, and the objects that serve them."""

    def __init__(self, api_client: ApiClient) -> None:
        self.services = Objects(api_client, f"/apis/{KSERVE}/v1beta1", "inferenceservices")
        self.revisions = Objects(api_client, f"/apis/{KNATIVE}/v1", "revisions")
        self.deployments = Objects(api_client, "/apis/apps/v1", "deployments")
        self.replica_sets = Objects(api_client, "/apis/apps/v1", "replicasets")
        self.routes = Objects(api_client, f"/apis/{GATEWAY}/v1", "httproutes")
        self.pods = Objects(api_client, "/api/v1", "pods")
        self._custom = CustomObjectsApi(api_client)
        self._core = CoreV1Api(api_client)
        self._watch: HTTPResponse | None = None
        self._closed = threading.Event()

    def list_services(self) -> Listing:
        """List every InferenceService."""
        with answers():
            found = self._custom.list_cluster_custom_object(*_ISVCS, "inferenceservices")
        return Listing(found["items"], found["metadata"]["resourceVersion"])

    def watch_services(self, resource_version: str) -> Iterator[Json]:
        """Yield watch events until the server ends the watch or `close` is called."""
        with answers():
            response: HTTPResponse = self._custom.list_cluster_custom_object(
                *_ISVCS,
                "inferenceservices",
                watch=True,
                resource_version=resource_version,
                timeout_seconds=_WATCH_SECONDS,
                _preload_content=False,
            )
            self._watch = response
            try:
                if self._closed.is_set():
                    return
                yield from map(json.loads, _lines(response))
            finally:
                self._watch = None
                response.close()

    def close(self) -> None:
        """End a watch that is under way."""
        self._closed.set()
        watch = self._watch
        if watch is not None:
            watch.shutdown()

    def set_finalizers(self, isvc: Json, finalizers: list[str]) -> None:
        """Write the finalizers as KServe does, by a merge patch."""
        version = isvc["metadata"]["resourceVersion"]
        self.services.merge(isvc, {"metadata": {"finalizers": finalizers, "resourceVersion": version}})

    def record_event(self, isvc: Json, kind: str, reason: str, message: str, now: str) -> None:
        """Write an Event about an InferenceService; `kind` is Normal or Warning."""
        metadata = isvc["metadata"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": f"{KSERVE}/v1beta1",
                "kind": "InferenceService",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "v1beta1Controllers"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with answers():
            self._core.create_namespaced_event(metadata["namespace"], event)


def has_finalizer(isvc: Json) -> bool:
    """Tell whether KServe still has to clean up after this object."""
    return FINALIZER in isvc["metadata"].get("finalizers", [])


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    pending = b""
    for chunk in response.stream(amt=None):
        *complete, pending = (pending + chunk).split(b"\n")
        yield from (line for line in complete if line)
