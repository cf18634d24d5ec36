"""Describe the resources served: built-in ones, and those that CustomResourceDefinitions add."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.demo.kubeapi.errors import Subject
from reconciler.demo.kubeapi.fieldtypes import CORE, KSERVE, FieldTypes, from_schema
from reconciler.demo.kubeapi.objects import JsonObject

_ALWAYS_SELECTABLE = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One kind of object: its names, scope, subresource and how its fields merge."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    has_status: bool = False
    counts_generations: bool = False
    custom: bool = False
    types: FieldTypes = CORE
    selectable: frozenset[str] = _ALWAYS_SELECTABLE
    must_have: tuple[tuple[str, ...], ...] = ()
    schema: Mapping[str, Any] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        """Return `group/version`, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Return `plural.group`, the name under which objects are stored."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def subject(self, name: str) -> Subject:
        """Return what an error about the named object is about."""
        return Subject(self.plural, self.group, self.kind, name)


_EVENT_FIELDS = frozenset(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")) | {
    "reason",
    "type",
    "source",
}

NAMESPACES = ResourceType("", "v1", "Namespace", "namespaces", namespaced=False, short_names=("ns",), has_status=True)
CRDS = ResourceType(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    has_status=True,
    counts_generations=True,
)
_TEMPLATED = (("spec", "selector"), ("spec", "template"))
DEPLOYMENTS = ResourceType(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    short_names=("deploy",),
    has_status=True,
    counts_generations=True,
    must_have=_TEMPLATED,
)
REPLICA_SETS = ResourceType(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    short_names=("rs",),
    has_status=True,
    counts_generations=True,
    must_have=_TEMPLATED,
)

BUILT_IN = (
    NAMESPACES,
    CRDS,
    ResourceType("", "v1", "ConfigMap", "configmaps", short_names=("cm",)),
    ResourceType("", "v1", "Secret", "secrets", selectable=_ALWAYS_SELECTABLE | {"type"}),
    ResourceType("", "v1", "Event", "events", short_names=("ev",), selectable=_ALWAYS_SELECTABLE | _EVENT_FIELDS),
    ResourceType(
        "",
        "v1",
        "Pod",
        "pods",
        short_names=("po",),
        has_status=True,
        selectable=_ALWAYS_SELECTABLE | {"spec.nodeName", "status.phase"},
    ),
    ResourceType("coordination.k8s.io", "v1", "Lease", "leases"),
    ResourceType("batch", "v1", "Job", "jobs", has_status=True),
    DEPLOYMENTS,
    REPLICA_SETS,
)

_PREREGISTERED = (
    ("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", ("isvc",), "Namespaced", True),
    ("serving.kserve.io", "v1alpha1", "ServingRuntime", "servingruntimes", (), "Namespaced", False),
    ("serving.kserve.io", "v1alpha1", "ClusterServingRuntime", "clusterservingruntimes", (), "Cluster", False),
    ("serving.knative.dev", "v1", "Revision", "revisions", ("rev",), "Namespaced", True),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes", (), "Namespaced", True),
)
_REQUIRED = {"InferenceService": ("spec", "predictor")}


def preregistered_definitions() -> Iterator[JsonObject]:
    """Yield definitions of the KServe, Knative and Gateway API resources; their schemas accept any field."""
    for group, version, kind, plural, short, scope, has_status in _PREREGISTERED:
        served: JsonObject = {
            "name": version,
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": _open_schema(kind)},
        }
        names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
        yield {
            "apiVersion": CRDS.api_version,
            "kind": CRDS.kind,
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": scope,
                "names": {**names, "shortNames": list(short)},
                "versions": [{**served, "subresources": {"status": {}}} if has_status else served],
            },
        }


def _open_schema(kind: str) -> JsonObject:
    spec: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if kind in _REQUIRED:
        spec = {**spec, "required": [_REQUIRED[kind][1]]}
    return {
        "type": "object",
        "properties": {
            "spec": spec,
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }


def from_definition(definition: JsonObject) -> ResourceType:
    """Read the storage version of a CustomResourceDefinition; only that version is served."""
    spec = definition["spec"]
    names = spec["names"]
    version = next(v for v in spec["versions"] if v.get("storage"))
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    types = from_schema(schema)
    preset = spec["group"] in ("serving.kserve.io", "serving.knative.dev") and not types.by_path
    return ResourceType(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        has_status="status" in (version.get("subresources") or {}),
        counts_generations=True,
        custom=True,
        types=KSERVE if preset else types,
        must_have=tuple(_required_paths(schema)),
        schema=schema,
    )


def _required_paths(schema: JsonObject) -> Iterator[tuple[str, ...]]:
    """Yield the fields that the schema requires directly under the root and under spec."""
    for name in schema.get("required") or ():
        yield (name,)
    spec = (schema.get("properties") or {}).get("spec") or {}
    for name in spec.get("required") or ():
        yield ("spec", name)


class ResourceCatalog:
    """The resources that the server knows now, found by URL or by storage name."""

    def __init__(self) -> None:
        self._by_url = {(r.group, r.version, r.plural): r for r in BUILT_IN}

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """Return the resource at /apis/{group}/{version}/{plural}."""
        return self._by_url.get((group, version, plural))

    def named(self, qualified: str) -> ResourceType | None:
        """Return the resource called `plural.group`."""
        return next((r for r in self._by_url.values() if r.qualified == qualified), None)

    def all(self) -> tuple[ResourceType, ...]:
        """Return every resource served."""
        return tuple(self._by_url.values())

    def define(self, definition: JsonObject) -> ResourceType:
        """Serve what a CustomResourceDefinition describes, in place of an older one of its name."""
        resource = from_definition(definition)
        self.forget(resource.qualified)
        self._by_url = {**self._by_url, (resource.group, resource.version, resource.plural): resource}
        return resource

    def forget(self, qualified: str) -> None:
        """Stop serving a resource."""
        self._by_url = {url: r for url, r in self._by_url.items() if r.qualified != qualified}
