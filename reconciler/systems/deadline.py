"""When a whole call must have ended, for sockets whose own time-outs know single waits only.

A server that drips a byte a second never exceeds a time-out that begins anew with every byte, nor one that is looked
at only between the parts of a body: its headers alone can take for ever. So each read and write of a socket asks here
how much is left. The two HTTP libraries are bound where they hand their sockets out.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import urllib3

_ENDS: ContextVar[float | None] = ContextVar("ends", default=None)
_PIECE = 64 * 1024


@contextmanager
def ending(seconds: float) -> Iterator[None]:
    """End whatever this thread does on bound sockets after so long; an end that is set already may be sooner."""
    ends, before = time.monotonic() + seconds, _ENDS.get()
    token = _ENDS.set(ends if before is None else min(before, ends))
    try:
        yield
    finally:
        _ENDS.reset(token)


def _left(timeout: float | None) -> float | None:
    """Return the time-out of one wait. Raises TimeoutError when the call's time is over."""
    ends = _ENDS.get()
    if ends is None:
        return timeout
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call did not end in time")
    return left if timeout is None else min(timeout, left)


def bind_httpx(client: Any) -> None:
    """Have the connections of an httpx client end with the call."""
    # httpx hands no socket out, and to its own transports no network: these names are the only way to them.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001  as just said
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Network(pool._network_backend)  # noqa: SLF001  as just said


class _Network(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            left = _left(timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        return _Stream(self._inner.connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            left = _left(timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        return self._inner.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            try:
                left = _left(timeout)
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            self._inner.write(buffer[start : start + _PIECE], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            left = _left(timeout)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def bind_urllib3(pool: Any) -> None:
    """Have the connections of a urllib3 pool manager end with the call."""
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Timed(io.RawIOBase):
    """A socket's bytes, each wait no longer than what is left."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._wait = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._wait))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Timed(sock, self.fp.detach()))


class _HttpConnection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
