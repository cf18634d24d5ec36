"""Answer HTTP: every request passes `KubeHttp.answer`, whatever it asks for."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reconciler.demo.kubeapi import errors
from reconciler.demo.kubeapi.cluster import Cluster
from reconciler.demo.kubeapi.discovery import describe
from reconciler.demo.kubeapi.faults import Faults, Verb
from reconciler.demo.kubeapi.listing import Lister, list_body, parse_version
from reconciler.demo.kubeapi.metrics import Requests
from reconciler.demo.kubeapi.objects import JsonObject, metadata
from reconciler.demo.kubeapi.parameters import (
    find_target,
    flag,
    list_query,
    media_type,
    read_body,
    selector,
    write_options,
)
from reconciler.demo.kubeapi.requests import (
    JsonPatch,
    MergePatch,
    Preconditions,
    StrategicPatch,
    Target,
    WriteOptions,
)
from reconciler.demo.kubeapi.resources import CRDS
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
    faults: Faults | None = None


class KubeHttp:
    """The API as an ASGI application."""

    def __init__(self, cluster: Cluster, lister: Lister, options: HttpOptions) -> None:
        self._cluster = cluster
        self._lister = lister
        self._options = options
        self._requests = Requests()
        self._stopping = False

    def stop(self) -> None:
        """End all watches, and each new one at once; may be called from any thread."""
        self._stopping = True
        self._cluster.store.wake()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response | WatchStream:
        """Return what is to be sent; it waits for nothing but the body of the request."""
        try:
            self._authenticate(request)
            return await self._answer(request)
        except errors.ApiError as error:
            if not error.reason:
                return Response(f"{error.message}\n", error.code, media_type="text/plain")
            return _json(error.status(), error.code)
        except Exception:  # the edge: a fault of ours must reach the client as a Status too
            log.exception("%s %s failed", request.method, request.url.path)
            return _json(errors.ApiError(500, "InternalError", "Internal error occurred").status(), 500)

    async def _answer(self, request: Request) -> Response | WatchStream:
        """Carry the request out, unless a fault is due: this is the one place where requests fail on demand."""
        faults = self._options.faults
        verb = _verb(request)
        fault = faults.next(verb, request.url.path) if faults else None
        if faults is None or (fault is None and verb != "list"):
            return await self._dispatch(request)
        if fault is None or fault.stale:
            answer = await self._dispatch(request)
            first = faults.remembered(str(request.url), bytes(answer.body) if isinstance(answer, Response) else b"")
            return _raw(first) if fault else answer
        if fault.late:
            await self._dispatch(request)
        await asyncio.sleep(fault.hang)
        said = errors.ApiError(fault.code or 500, fault.reason, "this fails on demand").status()
        return Response(encode(said), fault.code or 500, fault.headers, "application/json")

    def _authenticate(self, request: Request) -> None:
        faults = self._options.faults
        token = faults.token if faults and faults.token else self._options.token
        if token is not None and request.headers.get("authorization") != f"Bearer {token}":
            raise errors.unauthorized()

    async def _dispatch(self, request: Request) -> Response | WatchStream:
        segments = tuple(part for part in request.url.path.split("/") if part)
        if segments and segments[0] in ("healthz", "readyz", "livez"):
            return Response(b"ok", media_type="text/plain")
        if segments == ("metrics",):
            return Response(self._requests.exposition(), media_type="text/plain; version=0.0.4")
        document = describe(segments, self._cluster.catalog.all())
        if document is not None:
            return _json(document)
        target = find_target(segments, self._cluster.catalog)
        self._requests.arrived(request, target)
        return await (self._on_object if target.name else self._on_collection)(request, target)

    async def _on_collection(self, request: Request, target: Target) -> Response | WatchStream:
        match request.method:
            case "GET" if flag(request, "watch"):
                return self._watch(request, target)
            case "GET":
                page = self._lister.page(target, list_query(request, target))
                selected = bool({"labelSelector", "fieldSelector"} & request.query_params.keys())
                return _raw(list_body(target.resource, page, selected))
            case "POST":
                body = await read_body(request)
                return _record(self._cluster.create(target, body, write_options(request)), 201)
            case "DELETE":
                return self._delete_collection(request, target)
            case _:
                raise errors.method_not_allowed()

    async def _on_object(self, request: Request, target: Target) -> Response | WatchStream:
        match request.method:
            case "GET" if flag(request, "watch"):
                return self._watch(request, target)
            case "GET":
                return _record(self._cluster.get(target))
            case "PUT":
                body = await read_body(request)
                return _record(self._cluster.replace(target, body, write_options(request)))
            case "PATCH":
                return self._patch(request, target, await read_body(request))
            case "DELETE":
                return self._delete(request, target, await read_body(request))
            case _:
                raise errors.method_not_allowed()

    def _patch(self, request: Request, target: Target, body: Any) -> Response:
        options = write_options(request)
        kind = media_type(request)
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
        record = self._cluster.delete(target, preconditions, write_options(request))
        # Only for pods, and for objects that are still there, the API answers with the object.
        if target.resource.qualified == "pods" or self._cluster.store.get(target.key):
            return _record(record)
        return _json(_deleted(target, record))

    def _delete_collection(self, request: Request, target: Target) -> Response:
        if target.resource.qualified in ("namespaces", CRDS.qualified):
            raise errors.method_not_allowed()
        page = self._lister.page(target, list_query(request, target))
        options = write_options(request)
        for record in page.records:
            key = record.key
            self._cluster.delete(Target(target.resource, key.namespace, key.name), Preconditions(), options)
        return _raw(list_body(target.resource, page, selected=True))

    def _watch(self, request: Request, target: Target) -> WatchStream:
        params = request.query_params
        version = params.get("resourceVersion", "")
        every = self._options.bookmark_seconds if flag(request, "allowWatchBookmarks") else None
        query = WatchQuery(
            resource=target.resource,
            namespace=target.namespace,
            matches=selector(request, target),
            since=parse_version(version) if version not in ("", "0") else None,
            timeout=float(params.get("timeoutSeconds") or _DEFAULT_WATCH_SECONDS),
            bookmark_every=every,
        )
        faults = self._options.faults
        opened = faults.cuts if faults else 0
        return WatchStream(self._cluster, query, lambda: self._stopping or bool(faults and faults.cuts != opened))


def _verb(request: Request) -> Verb:
    if request.method != "GET":
        return {"POST": "create", "DELETE": "delete"}.get(request.method, "patch")  # type: ignore[return-value]  # of these
    if flag(request, "watch"):
        return "watch"
    return "list" if request.url.path.rstrip("/").endswith(("inferenceservices", "revisions")) else "get"


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
