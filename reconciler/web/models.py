"""The models, as a list that can be filtered and one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from reconciler.redaction import Redactor
from reconciler.status import Health, ModelStatus, Phase, Sync
from reconciler.web.answers import Json
from reconciler.web.problems import Problem, ProblemError

Statuses = Callable[[], Mapping[str, ModelStatus]]
LONGEST_PAGE = 1000


class ModelList(BaseModel):
    """Models by name: `total` fit the filters, `next` is what to ask for as `after` when there are more."""

    items: tuple[ModelStatus, ...]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Which models are asked for: of several values of one filter any may fit, of several filters all must."""

    sync: Annotated[tuple[Sync, ...], Query()] = ()
    health: Annotated[tuple[Health, ...], Query()] = ()
    phase: Annotated[tuple[Phase, ...], Query()] = ()
    name: Annotated[str, Query(max_length=63, description="With * as wildcard.")] = "*"
    label: Annotated[tuple[str, ...], Query(description="As key=value.")] = ()

    def fit(self, status: ModelStatus) -> bool:
        """Tell whether a model is asked for."""
        return (
            (not self.sync or status.sync in self.sync)
            and (not self.health or status.health in self.health)
            and (not self.phase or status.phase in self.phase)
            and fnmatchcase(status.name, self.name)
            and (not self.label or any(f"{key}={value}" in self.label for key, value in status.labels.items()))
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    after: Annotated[str, Query(max_length=63, description="Only models whose names come after.")] = ""
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = LONGEST_PAGE


def models_router(names: Callable[[], Collection[str]], statuses: Statuses, redactor: Redactor) -> APIRouter:
    """Build the routes below /api/v1/models."""
    router = APIRouter(prefix="/api/v1/models", tags=["models"])

    # No `async`: a long list is written in a thread of its own, so that /healthz answers meanwhile.
    @router.get("", response_model=ModelList, responses={400: {"model": Problem}})
    def list_models(filters: Annotated[Filters, Depends()], page: Annotated[Page, Depends()]) -> Json:
        """List the models, by name."""
        fitting = sorted((s for s in list(statuses().values()) if filters.fit(s)), key=lambda status: status.name)
        rest = [status for status in fitting if status.name > page.after]
        items = rest[: page.limit]
        return Json(
            {
                "items": [redactor.redact(status.as_json()) for status in items],
                "total": len(fitting),
                "next": items[-1].name if len(rest) > len(items) else None,
            }
        )

    @router.get("/{name}", response_model=ModelStatus, responses={404: {"model": Problem}})
    async def one_model(name: str) -> Json:
        """Return one model's status."""
        status = statuses().get(name)
        if status is None:
            raise absent(name, names())
        return Json(redactor.redact(status.as_json()))

    return router


def absent(name: str, names: Collection[str]) -> ProblemError:
    """Return the problem of a model that is not there, or not yet."""
    if name in names:
        return ProblemError(
            HTTPStatus.NOT_FOUND, f"the model {name} has not been looked at yet", help="ask again in a moment"
        )
    close = get_close_matches(name, names, n=1)
    advice = f"did you mean {close[0]}?" if close else "`reconciler status` lists all models"
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no model {name[:63]}", help=advice)
