"""Answer HTTP: every request passes `KubeHttp._answer`, whatever it asks for."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.demo.kubeapi import errors
from reconciler.demo.kubeapi.cluster import Cluster
from reconciler.demo.kubeapi.discovery import describe
from reconciler.demo.kubeapi.listing import Lister, ListQuery, list_body, parse_version
from reconciler.demo.kubeapi.objects import JsonObject, metadata
from reconciler.demo.kubeapi.requests import (
    JsonPatch,
    MergePatch,
    Preconditions,
    StrategicPatch,
    Target,
    WriteOptions,
)
from reconciler.demo.kubeapi.resources import CRDS, ResourceCatalog
from reconciler.demo.kubeapi.selectors import Predicate, field_selector, label_selector
from reconciler.demo.kubeapi.store import Record, encode
from reconciler.demo.kubeapi.watch import WatchQuery, WatchStream

log = logging.getLogger(__name__)

_DEFAULT_WATCH_SECONDS = 1800.0
_APPLY = ("application/apply-patch+yaml", "application/apply-patch+cbor")
_MERGE, _JSON = "application/merge-patch+json", "application/json-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the server answers: its bearer token (None: open to all) and its pace of bookmarks."""

    token: str | None
    bookmark_seconds: float


class KubeHttp:
    """The API as an ASGI application."""

    def __init__(self, cluster: Cluster, lister: Lister, options: HttpOptions) -> None:
        self._cluster = cluster
        self._lister = lister
        self._options = options
        self._stopping = False

    def stop(self) -> None:
        """End all watches, and each new one at once; may be called from any thread."""
        self._stopping = True
        self._cluster.store.wake()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        try:
            self._authenticate(request)
            return await self._dispatch(request)
        except errors.ApiError as error:
            return _json(error.status(), error.code)
        except Exception:  # the edge: a fault of ours must reach the client as a Status too
            log.exception("%s %s failed", request.method, request.url.path)
            return _json(errors.ApiError(500, "InternalError", "Internal error occurred").status(), 500)

    def _authenticate(self, request: Request) -> None:
        token = self._options.token
        if token is not None and request.headers.get("authorization") != f"Bearer {token}":
            raise errors.unauthorized()

    async def _dispatch(self, request: Request) -> ASGIApp:
        segments = tuple(part for part in request.url.path.split("/") if part)
        if segments and segments[0] in ("healthz", "readyz", "livez"):
            return Response(b"ok", media_type="text/plain")
        document = describe(segments, self._cluster.catalog.all())
        if document is not None:
            return _json(document)
        target = find_target(segments, self._cluster.catalog)
        return await (self._on_object if target.name else self._on_collection)(request, target)

    async def _on_collection(self, request: Request, target: Target) -> ASGIApp:
        match request.method:
            case "GET" if _flag(request, "watch"):
                return self._watch(request, target)
            case "GET":
                page = self._lister.page(target, _list_query(request, target))
                selected = bool({"labelSelector", "fieldSelector"} & request.query_params.keys())
                return _raw(list_body(target.resource, page, selected))
            case "POST":
                body = await _read_body(request)
                return _record(self._cluster.create(target, body, _write_options(request)), 201)
            case "DELETE":
                return self._delete_collection(request, target)
            case _:
                raise errors.method_not_allowed()

    async def _on_object(self, request: Request, target: Target) -> ASGIApp:
        match request.method:
            case "GET" if _flag(request, "watch"):
                return self._watch(request, target)
            case "GET":
                return _record(self._cluster.get(target))
            case "PUT":
                body = await _read_body(request)
                return _record(self._cluster.replace(target, body, _write_options(request)))
            case "PATCH":
                return self._patch(request, target, await _read_body(request))
            case "DELETE":
                return self._delete(request, target, await _read_body(request))
            case _:
                raise errors.method_not_allowed()

    def _patch(self, request: Request, target: Target, body: Any) -> Response:
        options = _write_options(request)
        kind = _media_type(request)
        if kind in _APPLY:
            return self._apply(request, target, body, options)
        if kind == _JSON and isinstance(body, list):
            return _record(self._cluster.patch(target, JsonPatch(body), options))
        if kind == _MERGE and isinstance(body, dict):
            return _record(self._cluster.patch(target, MergePatch(body), options))
        if kind == _STRATEGIC and isinstance(body, dict) and not target.resource.custom:
            return _record(self._cluster.patch(target, StrategicPatch(body), options))
        accepted = [_JSON, _MERGE, _APPLY[0]] + ([] if target.resource.custom else [_STRATEGIC])
        if kind in accepted:
            raise errors.bad_request(f"the body of a {kind} cannot be a {type(body).__name__}")
        raise errors.unsupported_media_type(kind, accepted)

    def _apply(self, request: Request, target: Target, body: Any, options: WriteOptions) -> Response:
        if not request.query_params.get("fieldManager"):
            cause = errors.Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise errors.invalid(errors.Subject("patchoptions", "meta.k8s.io", "PatchOptions", ""), [cause])
        if isinstance(body, dict) and metadata(body).get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        existed = self._cluster.store.get(target.key) is not None
        return _record(self._cluster.apply(target, body, options), 200 if existed else 201)

    def _delete(self, request: Request, target: Target, body: Any) -> Response:
        wanted = (body or {}).get("preconditions") or {}
        preconditions = Preconditions(wanted.get("uid"), wanted.get("resourceVersion"))
        record = self._cluster.delete(target, preconditions, _write_options(request))
        # Only for pods, and for objects that are still there, the API answers with the object.
        if target.resource.qualified == "pods" or self._cluster.store.get(target.key):
            return _record(record)
        return _json(_deleted(target, record))

    def _delete_collection(self, request: Request, target: Target) -> Response:
        if target.resource.qualified in ("namespaces", CRDS.qualified):
            raise errors.method_not_allowed()
        page = self._lister.page(target, _list_query(request, target))
        options = _write_options(request)
        for record in page.records:
            key = record.key
            self._cluster.delete(Target(target.resource, key.namespace, key.name), Preconditions(), options)
        return _raw(list_body(target.resource, page, selected=True))

    def _watch(self, request: Request, target: Target) -> WatchStream:
        params = request.query_params
        version = params.get("resourceVersion", "")
        every = self._options.bookmark_seconds if _flag(request, "allowWatchBookmarks") else None
        query = WatchQuery(
            resource=target.resource,
            namespace=target.namespace,
            matches=_selector(request, target),
            since=parse_version(version) if version not in ("", "0") else None,
            timeout=float(params.get("timeoutSeconds") or _DEFAULT_WATCH_SECONDS),
            bookmark_every=every,
        )
        return WatchStream(self._cluster, query, lambda: self._stopping)


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
        raise errors.no_such_path()
    if name and resource.namespaced and not namespace:
        raise errors.no_such_path()
    if endpoint == "":
        return Target(resource, namespace, name)
    if endpoint == "status" and resource.has_status:
        return Target(resource, namespace, name, "status")
    raise errors.no_such_path()


def _selector(request: Request, target: Target) -> Predicate | None:
    params = request.query_params
    found: list[Predicate] = []
    if text := params.get("labelSelector"):
        found.append(label_selector(text))
    if text := params.get("fieldSelector"):
        found.append(field_selector(text, target.resource.selectable))
    if target.name:
        found.append(field_selector(f"metadata.name={target.name}", target.resource.selectable))
    return (lambda obj: all(test(obj) for test in found)) if found else None


def _list_query(request: Request, target: Target) -> ListQuery:
    params = request.query_params
    limit = params.get("limit") or "0"
    if not limit.isdigit():
        raise errors.bad_request(f"limit must be a number, found {limit!r}")
    return ListQuery(
        matches=_selector(request, target),
        limit=int(limit),
        token=params.get("continue", ""),
        resource_version=params.get("resourceVersion", ""),
        version_match=params.get("resourceVersionMatch", ""),
    )


def _write_options(request: Request) -> WriteOptions:
    params: Mapping[str, str] = request.query_params
    dry_run = params.get("dryRun", "")
    if dry_run not in ("", "All"):
        raise errors.bad_request(f"dryRun: Unsupported value: {dry_run!r}: supported values: 'All'")
    agent = request.headers.get("user-agent", "unknown")
    on_conflict: Literal["take", "refuse"] = "take" if _flag(request, "force") else "refuse"
    manager = params.get("fieldManager") or agent.partition("/")[0]
    return WriteOptions(manager, dry_run=dry_run == "All", on_conflict=on_conflict)


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("true", "1")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


class _JsonLoader(yaml.SafeLoader):
    """YAML as JSON sees it: a timestamp stays text."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


async def _read_body(request: Request) -> Any:
    raw = await request.body()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        if not _media_type(request).endswith("yaml"):
            raise errors.bad_request(f"the body is not JSON: {error}") from error
    try:
        return yaml.load(raw, _JsonLoader)  # noqa: S506  # derived from SafeLoader
    except yaml.YAMLError as error:
        raise errors.bad_request(f"the body is not YAML: {error}") from error


def _deleted(target: Target, record: Record) -> JsonObject:
    details = {
        "name": target.name,
        "group": target.resource.group,
        "kind": target.resource.plural,
        "uid": metadata(record.value)["uid"],
    }
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _record(record: Record, code: int = 200) -> Response:
    return _raw(record.body, code)


def _raw(body: bytes, code: int = 200) -> Response:
    return Response(body, status_code=code, media_type="application/json")


def _json(body: JsonObject, code: int = 200) -> Response:
    return _raw(encode(body), code)
