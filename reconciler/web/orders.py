"""Orders by hand: they are recorded with the name of the token's holder, and then followed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import Annotated, Self

from fastapi import APIRouter, Request, Security
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from reconciler.errors import ReconcilerError, Terminal
from reconciler.observed import By, Meant, OrderKind
from reconciler.redaction import Redactor
from reconciler.status import OrderAnswer
from reconciler.web.access import HOLDER, Pace
from reconciler.web.answers import Json
from reconciler.web.models import absent
from reconciler.web.problems import Problem, ProblemError
from reconciler.web.tokens import Holder, TokenFile

LONGEST_REASON = 500
# Systems that hang hold up orders; of the threads that answer requests, most are left for who reads.
MOST_AT_ONCE = 10


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it must be one line without control characters")
    if not text.strip():
        raise ValueError("it must say something")
    return text.strip()


_Number = Annotated[int, Field(ge=0, le=2**31 - 1, strict=True)]


class Words(BaseModel):
    """Why it is ordered, which goes on the ledger for good, and for what: send what the model's `orderable` shows."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON), AfterValidator(_printable)]
    version: _Number | None = Field(
        default=None,
        description="Refuse the order if it is about another version by now; 0: if it is about any version. "
        "Without it, it is for whatever is there when it arrives.",
    )
    step: _Number = Field(
        default=0, description="Of an approval: refuse it if it is about another step; 0: if it is about any step."
    )

    @model_validator(mode="after")
    def _is_of_a_version(self) -> Self:
        if self.step and not self.version:
            raise ValueError("a step needs the version of its rollout")
        return self

    @property
    def meant(self) -> Meant | None:
        """Return what the order is for, None for whatever is there when it arrives."""
        return None if self.version is None else Meant(self.version, self.step)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where orders are taken: whose, how, and how fast."""

    tokens: TokenFile | None
    order: Callable[[str, OrderKind, By], OrderAnswer]
    monotonic: Callable[[], float]


_PROBLEMS = {
    400: "The reason is missing, too long, or holds control characters; or a step stands without its version.",
    401: "No token, or one that nobody holds.",
    403: "The token may not operate, or the service has no token file.",
    404: "There is no such model or order.",
    409: "There is nothing to order so, as things stand, or it is about another version or step than was said.",
    429: "Too many orders at once.",
    503: "It was not recorded, or that is not known: it can be sent again without harm.",
}


def orders_router(names: Callable[[], Collection[str]], desk: Desk, redactor: Redactor) -> APIRouter:
    """Build the routes that take orders."""
    # The check itself is made before any route is looked for; this describes it.
    bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="A token with the role operate.")
    router = APIRouter(prefix="/api/v1/models", tags=["orders"], dependencies=[Security(bearer)])
    pace, room = Pace(desk.monotonic), BoundedSemaphore(MOST_AT_ONCE)

    # No `async`: systems are read before an order is taken, in a thread of its own.
    @router.post(
        "/{name}/{order}",
        response_model=OrderAnswer,
        responses={code: {"model": Problem, "description": said} for code, said in _PROBLEMS.items()},
    )
    def give_order(name: str, order: OrderKind, said: Words, request: Request) -> Json:
        """Order something by hand; it is recorded before it counts, and once however often it is sent."""
        holder: Holder = getattr(request.state, HOLDER)
        if name not in names():
            raise absent(name, names())
        if wait := pace.wait(holder.name):
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{holder.name} gave too many orders at once",
                help=f"wait {math.ceil(wait)} s",
                retry_after=math.ceil(wait),
            )
        if not room.acquire(blocking=False):
            what = f"{MOST_AT_ONCE} orders are under way already"
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, what, help="send it again in a moment", retry_after=1)
        try:
            answer = desk.order(name, order, By(holder.name, said.reason, said.meant))
        except ReconcilerError as error:
            raise _problem(error) from error
        finally:
            room.release()
        return Json(redactor.redact(answer.as_json()))

    return router


def _problem(error: ReconcilerError) -> ProblemError:
    if isinstance(error, Terminal):
        return ProblemError(HTTPStatus.CONFLICT, error.message, help=error.help)
    advice = error.help or "send it again: an order that was recorded already is not recorded twice"
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, error.message, help=advice, retry_after=1)
