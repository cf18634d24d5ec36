"""What every request passes before it is answered: size, host, and headers that keep browsers from guessing."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.web.answers import Json
from reconciler.web.problems import MEDIA_TYPE, problem

LARGEST_REQUEST = 64 * 1024
_LONGEST_NUMBER = 9

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class Guards:
    """Refuses requests that are too large, or that name a host which is not this one; adds security headers.

    `hosts` empty allows every host. On loopback the check keeps web pages from reaching the API through a name of
    their own that resolves to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        refusal = self._refusal(dict(scope["headers"]))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, headers: dict[bytes, bytes]) -> Json | None:
        if self._hosts and _host(headers.get(b"host", b"")) not in self._hosts:
            return _refuse(HTTPStatus.MISDIRECTED_REQUEST, f"ask for {' or '.join(sorted(self._hosts))}")
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers or not _fits(length):
            return _refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a request body must tell its length and have at most {LARGEST_REQUEST} bytes",
            )
        return None


def _fits(length: bytes) -> bool:
    return length.isdigit() and len(length) <= _LONGEST_NUMBER and int(length) <= LARGEST_REQUEST


def _host(header: bytes) -> str:
    text = header.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    return name if colon and port.isdigit() else text


def _refuse(status: HTTPStatus, detail: str) -> Json:
    return Json(problem(status, detail).model_dump(), status_code=status.value, media_type=MEDIA_TYPE)
