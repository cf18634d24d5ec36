"""What can happen to one HTTP exchange, chosen by a tape; 0 is the calm choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx

from tests.simulation.tape import Tape


class HttpFault(StrEnum):
    """What goes wrong; the words are those of the story."""

    CALM = "calm"
    UNREACHED = "connection refused"
    NO_CONNECTION = "no connection in time"
    CUT = "cut before the effect"
    CUT_AFTER = "applied, then cut"
    SILENT = "timed out before the effect"
    SILENT_AFTER = "applied, then timed out"
    LATE = "timed out, lands late"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    LOST_WAY = "404 of a proxy"
    ODD_404 = "404 in JSON without MLflow's code"
    CONFLICT = "409"
    BUSY = "429 with Retry-After"
    PAUSED = "503 with Retry-After"
    BROKEN = "500"
    BROKEN_AFTER = "applied, then 500"
    BAD_GATEWAY = "502"
    BAD_GATEWAY_AFTER = "applied, then 502"
    GATEWAY_SLOW = "504"
    GATEWAY_SLOW_AFTER = "applied, then 504"
    STARTING = "503"
    EMPTY = "200 {} without effect"
    EMPTY_AFTER = "applied, then 200 {}"
    PAGE = "200 with a page of HTML"
    PAGE_AFTER = "applied, then 200 with a page of HTML"
    HALF = "applied, then half of the body"
    FEWER = "the list lacks its last item"
    NO_TOKEN = "the list lacks its token"
    SHIFTED = "the page begins one item late"
    OTHER_TYPES = "numbers for texts"
    NAN = "every metric is NaN"


BEFORE = {
    HttpFault.UNAUTHORIZED: 401, HttpFault.FORBIDDEN: 403, HttpFault.LOST_WAY: 404, HttpFault.ODD_404: 404,
    HttpFault.CONFLICT: 409, HttpFault.BUSY: 429, HttpFault.PAUSED: 503, HttpFault.BROKEN: 500,
    HttpFault.BAD_GATEWAY: 502, HttpFault.GATEWAY_SLOW: 504, HttpFault.STARTING: 503, HttpFault.EMPTY: 200,
    HttpFault.PAGE: 200,
}  # fmt: skip
AFTER = {
    HttpFault.BROKEN_AFTER: 500, HttpFault.BAD_GATEWAY_AFTER: 502, HttpFault.GATEWAY_SLOW_AFTER: 504,
    HttpFault.EMPTY_AFTER: 200, HttpFault.PAGE_AFTER: 200,
}  # fmt: skip
_BODIES: Mapping[HttpFault, bytes] = {
    HttpFault.FORBIDDEN: b'{"error_code": "PERMISSION_DENIED", "message": "not yours"}',
    HttpFault.ODD_404: b'{"detail": "Not Found"}',
    HttpFault.CONFLICT: b'{"error_code": "RESOURCE_CONFLICT", "message": "meanwhile"}',
    HttpFault.BROKEN: b'{"error_code": "INTERNAL_ERROR", "message": "database is locked"}',
    HttpFault.BROKEN_AFTER: b'{"error_code": "INTERNAL_ERROR", "message": "database is locked"}',
    HttpFault.EMPTY: b"{}",
    HttpFault.EMPTY_AFTER: b"{}",
}
_HTML = b"<html><title>Sign in</title></html>"
_PAUSES = {HttpFault.BUSY: "7", HttpFault.PAUSED: "20"}


def answer_of(fault: HttpFault, status: int) -> httpx.Response:
    """Return the answer that stands in for the server's own."""
    headers = {"retry-after": _PAUSES[fault]} if fault in _PAUSES else {}
    return response(status, _BODIES.get(fault, _HTML), headers)


def response(status: int, content: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Return an answer whose body is still to be read from the wire."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


def bent(fault: HttpFault, body: Any) -> bytes:
    """Return the server's own answer, spoiled."""
    match fault:
        case HttpFault.FEWER | HttpFault.NO_TOKEN:
            body = _shortened(fault, body)
        case HttpFault.OTHER_TYPES:
            body = _mapped(body, lambda value: 7 if isinstance(value, str) else str(value))
        case HttpFault.NAN if "run" in body:
            metrics = [{**metric, "value": "NaN"} for metric in body["run"]["data"].get("metrics", [])]
            body = {"run": {**body["run"], "data": {**body["run"]["data"], "metrics": metrics}}}
    content = json.dumps(body).encode()
    return content[: len(content) // 2] if fault is HttpFault.HALF else content


def _shortened(fault: HttpFault, body: Mapping[str, Any]) -> Mapping[str, Any]:
    if fault is HttpFault.NO_TOKEN:
        return {key: value for key, value in body.items() if key != "next_page_token"}
    return {key: value[:-1] if isinstance(value, list) else value for key, value in body.items()}


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    match value:
        case dict():
            return {key: _mapped(each, change) for key, each in value.items()}
        case list():
            return [_mapped(each, change) for each in value]
        case _:
            return change(value)


@dataclass(slots=True)
class TapedHttp:
    """Chooses by the tape: one byte says after how many exchanges (0: never), the next one what happens."""

    tape: Tape
    calm_calls: int = -1

    def __call__(self, _: str) -> HttpFault:
        """Return what happens to the next exchange."""
        if not self.tape.running:
            return HttpFault.CALM
        if self.calm_calls < 0:
            wait = self.tape.byte()
            self.calm_calls = wait // 8 if wait else 10_000
        self.calm_calls -= 1
        return self.tape.pick(_FAULTS) if self.calm_calls < 0 else HttpFault.CALM

    def later(self) -> int:
        """Return after how many further exchanges a late request lands."""
        return self.tape.byte() // 16


_FAULTS = tuple(fault for fault in HttpFault if fault is not HttpFault.CALM)
