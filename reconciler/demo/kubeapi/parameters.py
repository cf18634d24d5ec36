"""Read what an HTTP request asks for: path, query, headers, body."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from starlette.requests import Request

from reconciler.demo.kubeapi import errors
from reconciler.demo.kubeapi.listing import ListQuery
from reconciler.demo.kubeapi.requests import Target, WriteOptions
from reconciler.demo.kubeapi.resources import BUILT_IN, ResourceCatalog
from reconciler.demo.kubeapi.selectors import Predicate, field_selector, label_selector

_OPTIONS = {"POST": "Create", "PUT": "Update", "DELETE": "Delete"}
_BUILT_IN_GROUPS = frozenset(resource.group for resource in BUILT_IN)


def find_target(segments: tuple[str, ...], catalog: ResourceCatalog) -> Target:
    """Resolve a URL path to a resource and an object; raise 404 when it names neither."""
    match segments:
        case ("api", "v1", *rest):
            return _target("", "v1", tuple(rest), catalog)
        case ("apis", group, version, *rest):
            return _target(group, version, tuple(rest), catalog)
        case _:
            raise errors.no_such_path()


def _target(group: str, version: str, rest: tuple[str, ...], catalog: ResourceCatalog) -> Target:
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] != "status":
        namespace, rest = rest[1], rest[2:]
    resource = catalog.find(group, version, rest[0])
    name = rest[1] if len(rest) > 1 else ""
    endpoint = rest[2] if len(rest) > 2 else ""
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise _nowhere(group)
    if name and resource.namespaced and not namespace:
        raise _nowhere(group)
    if endpoint == "":
        return Target(resource, namespace, name)
    if endpoint == "status" and resource.has_status:
        return Target(resource, namespace, name, "status")
    raise _nowhere(group)


def _nowhere(group: str) -> errors.ApiError:
    return errors.no_such_path() if group in _BUILT_IN_GROUPS else errors.no_such_page()


def selector(request: Request, target: Target) -> Predicate | None:
    """Compile the selectors of a request into one test; None when it has none."""
    params = request.query_params
    found: list[Predicate] = []
    if text := params.get("labelSelector"):
        found.append(label_selector(text))
    if text := params.get("fieldSelector"):
        found.append(field_selector(text, target.resource.selectable))
    if target.name:
        found.append(field_selector(f"metadata.name={target.name}", target.resource.selectable))
    return (lambda obj: all(test(obj) for test in found)) if found else None


def list_query(request: Request, target: Target) -> ListQuery:
    """Read what a list request asks for."""
    params = request.query_params
    limit = params.get("limit") or "0"
    if not limit.isdigit():
        raise errors.bad_request(f"limit must be a number, found {limit!r}")
    return ListQuery(
        matches=selector(request, target),
        limit=int(limit),
        token=params.get("continue", ""),
        resource_version=params.get("resourceVersion", ""),
        version_match=params.get("resourceVersionMatch", ""),
    )


def write_options(request: Request) -> WriteOptions:
    """Read who writes, and how."""
    params: Mapping[str, str] = request.query_params
    dry_run = params.get("dryRun", "")
    if dry_run not in ("", "All"):
        cause = errors.Cause(
            "FieldValueNotSupported", f'Unsupported value: ["{dry_run}"]: supported values: "All"', "dryRun"
        )
        raise errors.invalid(
            errors.Subject("", "meta.k8s.io", f"{_OPTIONS.get(request.method, 'Patch')}Options", ""), [cause]
        )
    agent = request.headers.get("user-agent", "unknown")
    on_conflict: Literal["take", "refuse"] = "take" if flag(request, "force") else "refuse"
    manager = params.get("fieldManager") or agent.partition("/")[0]
    unknown: Literal["drop", "refuse"] = "refuse" if params.get("fieldValidation") == "Strict" else "drop"
    return WriteOptions(manager, dry_run=dry_run == "All", on_conflict=on_conflict, unknown_fields=unknown)


def flag(request: Request, name: str) -> bool:
    """Read a boolean parameter."""
    return request.query_params.get(name, "").lower() in ("true", "1")


def media_type(request: Request) -> str:
    """Return the content type without its parameters."""
    return request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


class _JsonLoader(yaml.SafeLoader):
    """YAML as JSON sees it: a timestamp stays text."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


async def read_body(request: Request) -> Any:
    """Read the body as JSON, or as YAML where the content type says so; None when it is empty."""
    raw = await request.body()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        if not media_type(request).endswith("yaml"):
            raise errors.bad_request(f"the body is not JSON: {error}") from error
    try:
        return yaml.load(raw, _JsonLoader)  # noqa: S506  derived from SafeLoader
    except yaml.YAMLError as error:
        raise errors.bad_request(f"the body is not YAML: {error}") from error
