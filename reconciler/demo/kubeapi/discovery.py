"""Describe the server to clients: its groups, versions, resources and release."""

from collections.abc import Iterable

from reconciler.demo.kubeapi.errors import no_such_page
from reconciler.demo.kubeapi.objects import JsonObject
from reconciler.demo.kubeapi.resources import CRDS, NAMESPACES, ResourceType

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]

VERSION: JsonObject = {
    "major": "1",
    "minor": "31",
    "gitVersion": "v1.31.0+embedded",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "embedded/python",
}

_FIXED: dict[str, JsonObject] = {
    "version": VERSION,
    "api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
}


def describe(segments: tuple[str, ...], resources: Iterable[ResourceType]) -> JsonObject | None:
    """Return the discovery document at this path, None when the path is no discovery path."""
    known = tuple(resources)
    match segments:
        case ("version",) | ("api",):
            return _FIXED[segments[0]]
        case ("api", "v1"):
            return _resource_list("v1", [r for r in known if not r.group])
        case ("apis",):
            groups = sorted({r.group for r in known if r.group})
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g, known) for g in groups]}
        case ("apis", group):
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, known)}
        case ("apis", group, version):
            found = [r for r in known if (r.group, r.version) == (group, version)]
            return _resource_list(f"{group}/{version}", found)
    return None


def _group(group: str, resources: tuple[ResourceType, ...]) -> JsonObject:
    found = {r.version for r in resources if r.group == group and group}
    if not found:
        raise no_such_page()
    # A stable version (v1) is preferred over beta, beta over alpha.
    ordered = sorted(found, key=lambda v: ("alpha" in v, "beta" in v, v))
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in ordered]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(group_version: str, resources: list[ResourceType]) -> JsonObject:
    if not resources:
        raise no_such_page()
    entries = [entry for resource in resources for entry in _entries(resource)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": entries,
    }


def _entries(resource: ResourceType) -> list[JsonObject]:
    entry: JsonObject = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS if resource not in (NAMESPACES, CRDS) else [v for v in _VERBS if "coll" not in v],
        "shortNames": list(resource.short_names),
    }
    if not resource.has_status:
        return [entry]
    status = {**entry, "name": f"{resource.plural}/status", "verbs": _STATUS_VERBS, "shortNames": []}
    return [entry, {**status, "singularName": ""}]
