"""The HTTP API as an application. Home of FastAPI, with its neighbours in this folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel

from reconciler.metrics import CONTENT_TYPE
from reconciler.redaction import Redactor
from reconciler.status import ModelStatus, SystemStatus
from reconciler.web.access import Access
from reconciler.web.answers import Json
from reconciler.web.guards import Guards
from reconciler.web.models import models_router
from reconciler.web.orders import Desk, orders_router
from reconciler.web.problems import answer_with_problems

OPENAPI = "/api/v1/openapi.json"


@dataclass(frozen=True, slots=True)
class View:
    """What the API shows; each is called anew for each request, and must return at once."""

    names: Callable[[], Collection[str]]
    statuses: Callable[[], Mapping[str, ModelStatus]]
    systems: Callable[[], Mapping[str, SystemStatus]]
    sick: Callable[[], tuple[str, ...]]
    unready: Callable[[], tuple[str, ...]]
    metrics: Callable[[], bytes]


class Health(BaseModel):
    """Whether all is well; `reasons` say why not."""

    ok: bool
    reasons: tuple[str, ...] = ()


class SystemList(BaseModel):
    """How each system answers."""

    items: tuple[SystemStatus, ...]


def create_app(view: View, redactor: Redactor, hosts: Collection[str], desk: Desk | None = None) -> FastAPI:
    """Build the application; `hosts` are the names it may be asked by, empty for any; no desk takes no orders."""
    app = FastAPI(
        title="model-reconciler",
        summary="What the reconciler sees, does and waits for.",
        version="1",
        openapi_url=OPENAPI,
        # Both pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    answer_with_problems(app, redactor)
    app.include_router(models_router(view.names, view.statuses, redactor))
    if desk is not None:
        app.include_router(orders_router(view.names, desk, redactor))

    def health(reasons: tuple[str, ...]) -> Json:
        found = Health(ok=not reasons, reasons=reasons)
        return Json(redactor.redact(found.model_dump()), status_code=200 if found.ok else 503)

    @app.get("/healthz", response_model=Health, responses={503: {"model": Health}}, tags=["service"])
    async def healthz() -> Json:
        """Tell whether the loop runs."""
        return health(view.sick())

    @app.get("/readyz", response_model=Health, responses={503: {"model": Health}}, tags=["service"])
    async def readyz() -> Json:
        """Tell whether the first full observation is complete."""
        return health(view.unready())

    @app.get("/metrics", response_class=Response, tags=["service"])
    def metrics() -> Response:
        """Return metrics for Prometheus."""
        return Response(view.metrics(), media_type=CONTENT_TYPE)

    @app.get("/api/v1/systems", response_model=SystemList, tags=["systems"])
    async def systems() -> Json:
        """Tell how Git, the registry, serving, training and the ledger answer."""
        items = [system.as_json() for _, system in sorted(view.systems().items())]
        return Json({"items": redactor.redact(items)})

    app.add_middleware(Access, tokens=desk.tokens if desk else None)
    app.add_middleware(Guards, hosts=hosts)
    return app
