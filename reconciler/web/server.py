"""The thread that serves the API. Home of uvicorn."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from threading import Thread

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import SettingsError
from reconciler.settings import HttpSettings

_STOP_SECONDS = 2
REQUEST_SECONDS = 5
# uvicorn counts connections, also those that never ask for anything.
MOST_CONNECTIONS = 100


def listen(settings: HttpSettings) -> socket.socket:
    """Bind the API's address; port 0 takes a free one. Raises SettingsError when it cannot be had."""
    try:
        return socket.create_server((settings.host, settings.port), family=_family(settings.host), backlog=128)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}",
            help="set http.host and http.port to an address that is free; port 0 takes any",
        ) from error


def url_of(listener: socket.socket) -> str:
    """Return the base URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def allowed_hosts(host: str) -> frozenset[str]:
    """Return the names by which the API may be asked: any, unless it is bound to loopback."""
    if host == "localhost" or _is_loopback(host):
        return frozenset({"localhost", "127.0.0.1", "[::1]", host})
    return frozenset()


class _Impatient(H11Protocol):
    """Closes a connection whose next request, the first one too, is not there as a whole in time.

    uvicorn itself waits without end for a first request, and for the rest of one that was begun.
    """

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what came; wait no longer once it is a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _look(self) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class Server:
    """Serves an application on a bound socket, in a thread of its own; waits so many seconds for a request."""

    def __init__(self, app: FastAPI, listener: socket.socket, patience: int = REQUEST_SECONDS) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                http=_Impatient,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=patience,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        self._listener = listener
        self.thread = Thread(target=self._server.run, args=([listener],), name="http", daemon=True)

    def start(self) -> None:
        """Start to serve: the socket is bound already, so requests wait until the thread answers them."""
        self.thread.start()

    def alive(self) -> bool:
        """Tell whether the thread still serves."""
        return self.thread.is_alive()

    def stop(self) -> None:
        """Answer what was asked, then stop and close the socket."""
        self._server.should_exit = True
        self.thread.join(_STOP_SECONDS * 2)
        self._listener.close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
