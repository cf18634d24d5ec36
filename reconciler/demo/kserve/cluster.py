"""What the stand-in reads and writes through the Kubernetes API, with the real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kubernetes.client import ApiClient, ApiException, CoreV1Api, CustomObjectsApi
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from reconciler.demo.kserve.names import FINALIZER, KNATIVE, KSERVE, SERVICE_LABEL, Json

_ISVCS = (KSERVE, "v1beta1")
_REVISIONS = (KNATIVE, "v1")
_MANAGER = "kserve-controller"
_WATCH_SECONDS = 300


class Unavailable(Exception):  # noqa: N818  names the state of the API server
    """The API server did not answer; the same call may work later."""


class Changed(Exception):  # noqa: N818  names what happened
    """The object was changed or removed since it was read; look again."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The InferenceServices at one resource version."""

    items: list[Json]
    resource_version: str


class Cluster:
    """InferenceServices, Revisions and Events."""

    def __init__(self, api_client: ApiClient) -> None:
        self._custom = CustomObjectsApi(api_client)
        self._core = CoreV1Api(api_client)
        self._watch: HTTPResponse | None = None
        self._closed = threading.Event()

    def list_services(self) -> Listing:
        """List every InferenceService."""
        with _answers():
            found = self._custom.list_cluster_custom_object(*_ISVCS, "inferenceservices")
        return Listing(found["items"], found["metadata"]["resourceVersion"])

    def watch_services(self, resource_version: str) -> Iterator[Json]:
        """Yield watch events until the server ends the watch or `close` is called."""
        with _answers():
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

    def get_service(self, namespace: str, name: str) -> Json | None:
        """Read one InferenceService."""
        try:
            with _answers():
                found: Json = self._custom.get_namespaced_custom_object(*_ISVCS, namespace, "inferenceservices", name)
        except Changed:
            return None
        return found

    def write_status(self, isvc: Json, status: Json) -> None:
        """Replace the status of the object as it was read."""
        metadata = isvc["metadata"]
        with _answers():
            self._custom.replace_namespaced_custom_object_status(
                *_ISVCS,
                metadata["namespace"],
                "inferenceservices",
                metadata["name"],
                {**isvc, "status": status},
                field_manager=_MANAGER,
            )

    def set_finalizers(self, isvc: Json, finalizers: list[str]) -> None:
        """Write the finalizers as KServe does, by a merge patch."""
        metadata = isvc["metadata"]
        with _answers():
            self._custom.patch_namespaced_custom_object(
                *_ISVCS,
                metadata["namespace"],
                "inferenceservices",
                metadata["name"],
                {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}},
                field_manager=_MANAGER,
            )

    def list_revisions(self, namespace: str, service: str) -> list[Json]:
        """List the revisions of one Knative Service."""
        with _answers():
            found = self._custom.list_namespaced_custom_object(
                *_REVISIONS, namespace, "revisions", label_selector=f"{SERVICE_LABEL}={service}"
            )
        items: list[Json] = found["items"]
        return items

    def create_revision(self, revision: Json) -> Json:
        """Create a revision."""
        with _answers():
            created: Json = self._custom.create_namespaced_custom_object(
                *_REVISIONS, revision["metadata"]["namespace"], "revisions", revision, field_manager=_MANAGER
            )
        return created

    def write_revision_status(self, revision: Json, status: Json) -> None:
        """Replace a revision's status."""
        metadata = revision["metadata"]
        with _answers():
            self._custom.replace_namespaced_custom_object_status(
                *_REVISIONS,
                metadata["namespace"],
                "revisions",
                metadata["name"],
                {**revision, "status": status},
                field_manager=_MANAGER,
            )

    def delete_revision(self, namespace: str, name: str) -> None:
        """Delete a revision, if it is still there."""
        try:
            with _answers():
                self._custom.delete_namespaced_custom_object(*_REVISIONS, namespace, "revisions", name)
        except Changed:
            return

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
        with _answers():
            self._core.create_namespaced_event(metadata["namespace"], event)


def has_finalizer(isvc: Json) -> bool:
    """Tell whether KServe still has to clean up after this object."""
    return FINALIZER in isvc["metadata"].get("finalizers", [])


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    pending = b""
    for chunk in response.stream(amt=None):
        *complete, pending = (pending + chunk).split(b"\n")
        yield from (line for line in complete if line)


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status in (404, 409, 410):
            raise Changed(f"{error.status} {error.reason}") from error
        raise Unavailable(f"{error.status} {error.reason}: {error.body}") from error
    except (HTTPError, OSError, ValueError) as error:  # ValueError: urllib3 on a closed response
        raise Unavailable(repr(error)) from error
