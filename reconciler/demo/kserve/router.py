"""The ingress: one HTTP server that splits each service's requests over its revisions or Deployments.

Host names do not resolve on a laptop, so services are told apart by path, as KServe's ingress does
with `pathTemplate: "/serving/{{ .Namespace }}/{{ .Name }}"`; a tag gets `{{ .Name }}--<tag>`.
`/stats` counts what went where, `/metrics` says it to Prometheus.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler.demo.kserve.exchange import Connections, NoAnswer
from reconciler.demo.kserve.metrics import CONTENT_TYPE, Family, Metrics
from reconciler.demo.kserve.pods import RevisionId
from reconciler.demo.kserve.traffic import Traffic

REVISION_HEADER = "x-reconciler-demo-revision"
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade", b"host"})
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_REQUEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A route's name in its namespace; tags are routes of their own, `<service>--<tag>`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Weights = tuple[tuple[RevisionId, int], ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Who gets which part of a route's requests."""

    weights: Weights
    waits: bool
    """Whether a request waits for a server that is not up, as at Knative's activator; else it fails at once."""


class Router:
    """The data plane; `publish` and `backend` may be called from any thread."""

    def __init__(
        self,
        wake: Callable[[RevisionId], None],
        clock: Callable[[], float],
        rng: random.Random,
        activation_timeout: float,
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._rng = rng
        self._activation_timeout = activation_timeout
        self._published: dict[Entry, Mapping[Entry, Split]] = {}
        self._routes: Mapping[Entry, Split] = {}
        self._ports: Mapping[RevisionId, int] = {}
        self._in_flight: Counter[RevisionId] = Counter()
        self._last_used: dict[RevisionId, float] = {}
        self._traffic = Traffic(clock)
        self._metrics = Metrics()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers = Connections(_REQUEST_SECONDS)

    def publish(self, service: Entry, routes: Mapping[Entry, Split]) -> None:
        """Replace all routes of one service, in one step."""
        self._published = {**self._published, service: routes}
        every = self._published.values()
        tagged = {entry: split for published in every for entry, split in published.items()}
        # A service that is really called `iris--prev` goes before the tag of `iris`.
        named = {name: published[name] for name, published in self._published.items() if name in published}
        self._routes = {**tagged, **named}

    def backend(self, revision: RevisionId, port: int | None) -> None:
        """Tell where a revision answers, or that it does not."""
        if self._ports.get(revision) == port:
            return
        others = {known: at for known, at in self._ports.items() if known != revision}
        self._ports = others if port is None else {**others, revision: port}
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._announce)

    def in_flight(self, revision: RevisionId) -> int:
        """Count the requests that a revision has been given and has not answered."""
        return self._in_flight[revision]

    def last_used(self, revision: RevisionId) -> float | None:
        """Tell when a revision last got a request, on the clock that was given."""
        return self._last_used.get(revision)

    @contextmanager
    def serve(self, port: int) -> Iterator[str]:
        """Serve on 127.0.0.1 (port 0: a free one) in a thread, and yield the URL."""
        app = Starlette(
            routes=[
                Route("/stats", self._stats),
                Route("/metrics", self._exposition),
                Route("/serving/{namespace}/{name}/{rest:path}", self._forward, methods=_METHODS),
                Route("/serving/{namespace}/{name}", self._forward, methods=_METHODS),
            ],
            lifespan=self._lifespan,
        )
        config = uvicorn.Config(
            app, ws="none", log_config=None, access_log=False, timeout_keep_alive=75, timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", port)) as listener:
            thread = threading.Thread(target=server.run, args=([listener],), name="kserve-ingress", daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        yield
        self._loop = None
        self._servers.close()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _stats(self, _request: Request) -> Response:
        return JSONResponse({"windowSeconds": 10, "routes": self._traffic.report()})

    async def _exposition(self, _request: Request) -> Response:
        return Response(self._metrics.exposition(), media_type=CONTENT_TYPE)

    async def _forward(self, request: Request) -> Response:
        entry = Entry(request.path_params["namespace"], request.path_params["name"])
        split = self._routes.get(entry)
        if split is None:
            return JSONResponse({"error": f"no route to {entry}"}, status_code=404)
        body = await request.body()
        # From the choice to the count there is no await: a revision that is chosen counts as busy.
        revision, began = self._choose(split.weights), self._clock()
        with self._busy(revision):
            response = await self._answer(request, body, revision, split)
        response.headers[REVISION_HEADER] = revision.name
        self._traffic.count(str(entry), revision.name, response.status_code)
        family: Family = "knative" if split.waits else "istio"
        self._metrics.answered(family, revision, response.status_code, self._clock() - began)
        return response

    def _choose(self, weights: Weights) -> RevisionId:
        if len(weights) == 1:
            return weights[0][0]
        return self._rng.choices([r for r, _ in weights], [weight for _, weight in weights])[0]

    @contextmanager
    def _busy(self, revision: RevisionId) -> Iterator[None]:
        self._in_flight[revision] += 1
        self._last_used[revision] = self._clock()
        try:
            yield
        finally:
            self._in_flight[revision] -= 1

    async def _answer(self, request: Request, body: bytes, revision: RevisionId, split: Split) -> Response:
        if not split.waits and revision not in self._ports:
            return JSONResponse({"error": f"{revision} has no ready endpoint"}, status_code=503)
        try:
            async with asyncio.timeout(self._activation_timeout) as activation:
                port = await self._activated(revision)
                activation.reschedule(None)
                return await self._send(request, body, port)
        except TimeoutError:
            error = f"{revision} did not become ready within {self._activation_timeout:g} s"
        except NoAnswer as failure:
            error = f"{revision} did not answer: {failure}"
        return JSONResponse({"error": error}, status_code=503)

    async def _activated(self, revision: RevisionId) -> int:
        """Wait, as Knative's activator does, until a revision that is scaled to zero is up."""
        while revision not in self._ports:
            changed = self._changed
            self._wake(revision)
            if revision not in self._ports:
                await changed.wait()
        return self._ports[revision]

    async def _send(self, request: Request, body: bytes, port: int) -> Response:
        rest = request.scope["raw_path"].split(b"/", 4)[4:]
        path = b"/" + b"".join(rest)
        query = request.scope["query_string"]
        target = path + (b"?" + query if query else b"")
        headers = [(name, value) for name, value in request.headers.raw if name not in _HOP_BY_HOP]
        answer = await self._servers.ask(port, request.method, target, headers, body)
        response = Response(answer.content, answer.status)
        response.raw_headers = [(name, value) for name, value in answer.headers if name not in _HOP_BY_HOP]
        return response
