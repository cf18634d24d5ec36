"""Which kinds a cluster serves. Only a list that lacks a kind says that it is not served: a 404 may be a proxy's."""

from __future__ import annotations

from reconciler.errors import Transient
from reconciler.systems.serving.answers import NotServed
from reconciler.systems.serving.api import Api, Call, Json, Resource
from reconciler.systems.serving.reading import items, text

_GROUPS = "/apis"


def is_served(api: Api, resource: Resource) -> bool:
    """Tell whether the cluster serves a kind; raises Transient for an answer that does not tell."""
    groups = _listed(api, resource, _GROUPS, "APIGroupList", "groups")
    served = {text(version, "groupVersion") for group in groups for version in items(group, "versions")}
    if f"{resource.group}/{resource.version}" not in served:
        return False
    resources = _listed(api, resource, resource.discovery_path, "APIResourceList", "resources")
    return any(text(found, "name") == resource.plural for found in resources)


def _listed(api: Api, resource: Resource, path: str, kind: str, name: str) -> list[Json]:
    """Return what a discovery document lists; one that lists nothing is no answer of an API server."""
    try:
        answer = api.call(Call("get", resource, "", path=path))
    except NotServed as error:
        raise Transient(f"whether {resource.qualified} is served is not known: no {path} here") from error
    found = items(answer, name)
    if answer.get("kind") != kind or not found:
        why = f"the answer is no {kind} with {name}, but kind {str(answer.get('kind'))[:40]!r}"
        raise Transient(
            f"whether {resource.qualified} is served is not known: {why}",
            help="check what stands between us and the API server",
        )
    return found
