"""Errors of the API as problem documents (RFC 9457), free of secrets and of traces."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from reconciler.redaction import Redactor
from reconciler.web.answers import Json

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, and in `help` what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    help: str = ""


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        help: str = "",  # noqa: A002  the word users see
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.problem = problem(status, detail, help)


def problem(status: HTTPStatus, detail: str, advice: str = "") -> Problem:
    """Build a problem document."""
    return Problem(title=status.phrase, status=status.value, detail=detail, help=advice)


def answer_with_problems(app: FastAPI, redactor: Redactor) -> None:
    """Have every error of the app answered with a problem document."""

    def answer(found: Problem, retry_after: int | None = None) -> Json:
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        body = redactor.redact(found.model_dump())
        return Json(body, status_code=found.status, media_type=MEDIA_TYPE, headers=headers)

    @app.exception_handler(ProblemError)
    def on_problem(_request: Request, error: ProblemError) -> Json:
        return answer(error.problem, error.retry_after)

    @app.exception_handler(HTTPException)
    def on_http_error(request: Request, error: HTTPException) -> Json:
        advice = f"what there is, is described at {app.openapi_url}"
        return answer(problem(HTTPStatus(error.status_code), f"{request.method} {request.url.path}", advice))

    @app.exception_handler(RequestValidationError)
    def on_bad_request(_request: Request, error: RequestValidationError) -> Json:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        return answer(problem(HTTPStatus.BAD_REQUEST, f"{where}: {said}"))

    @app.exception_handler(Exception)
    def on_fault(_request: Request, _error: Exception) -> Json:
        return answer(problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed", "the service's log tells why"))
