"""What the adapter asks of a Kubernetes API, without the client library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""

Verb = Literal["get", "list", "watch", "create", "patch", "delete"]
"""As RBAC names them."""

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object; `selector` limits lists and watches, `optional` ones may be missing in a cluster.

    Single objects are read only of a kind that is read `by_name`: rights on others suffice for lists and watches.
    """

    group: str
    version: str
    plural: str
    kind: str
    selector: str = ""
    optional: bool = False
    by_name: bool = False

    @property
    def qualified(self) -> str:
        """Return `plural.group`, as RBAC and messages name it."""
        return f"{self.plural}.{self.group}".removesuffix(".")

    @property
    def discovery_path(self) -> str:
        """Return the path that lists what the API group serves."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of a collection (no name) or an object; no namespace means all of them."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.discovery_path}{scope}/{self.plural}" + (f"/{name}" if name else "")


INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService", by_name=True)
REVISIONS = Resource(
    "serving.knative.dev", "v1", "revisions", "Revision", "serving.kserve.io/inferenceservice", optional=True
)
# Those that Knative makes of its revisions tell nothing that these do not.
_OF_PREDICTORS = "serving.kserve.io/inferenceservice,component=predictor,!serving.knative.dev/revision"
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", _OF_PREDICTORS, optional=True)
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute", optional=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what it is about, and how it is sent. `path` stands for another address than the resource's."""

    verb: Verb
    resource: Resource
    namespace: str
    name: str = ""
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    media_type: str = JSON
    path: str = ""

    @property
    def url_path(self) -> str:
        """Return where to send it; a create goes to the collection."""
        return self.path or self.resource.path(self.namespace, "" if self.verb == "create" else self.name)

    @property
    def about(self) -> str:
        """Say what the call is about, for people."""
        if self.name:
            return f"{self.resource.kind} {self.namespace}/{self.name}"
        return self.resource.qualified + (f" in namespace {self.namespace}" if self.namespace else "")

    @property
    def writes(self) -> bool:
        """Tell whether the call may change something."""
        tried = ("dryRun", "All") in self.query
        return self.verb in ("create", "patch", "delete") and not tried


class Stream(Protocol):
    """An open watch: lines as they come; `cut` ends it from another thread."""

    def lines(self) -> Iterator[bytes]:
        """Return complete lines until the server ends the stream. Raises Transient when it breaks."""

    def cut(self) -> None:
        """End the stream now; safe from any thread, and when it has ended."""


class Api(Protocol):
    """A Kubernetes API. Every call has a time-out and is sent once."""

    def call(self, call: Call) -> Any:
        """Return the JSON answer; raises the errors of `reconciler.errors`, NotFound, NotServed and Expired."""

    def open(self, call: Call, idle_seconds: float) -> AbstractContextManager[Stream]:
        """Open a watch that breaks when nothing comes for so long."""
