"""A small real HTTP server that answers as a test says: well, oddly, partly, late or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `body` is sent as JSON unless it is bytes."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed after these bytes of a longer answer; None: before any answer."""

    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer until the server is closed."""


@dataclass(frozen=True, slots=True)
class Drip:
    """A byte now and then, never the end."""


Reply = Answer | Cut | Hang | Drip
Script = Callable[[Asked], Reply]


class ScriptedServer(ThreadingHTTPServer):
    """Keeps what was asked, and how many requests were open at once."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: list[Asked] = []
        self.connections: set[tuple[str, int]] = set()
        self.closing = threading.Event()
        self.counting = threading.Lock()
        self.open = 0
        self.most_open = 0

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body leave in two writes: without this the second waits 40 ms for the client's delayed ACK.
    disable_nagle_algorithm = True
    server: ScriptedServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's signature
        """Stay silent."""

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {k.lower(): v for k, v in self.headers.items()}
        asked = Asked(self.command, self.path, headers, _parsed(raw, headers.get("content-type", "")))
        with self.server.counting:
            self.server.asked.append(asked)
            self.server.connections.add(self.client_address)
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        try:
            self._play(self.server.script(asked))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.server.counting:
                self.server.open -= 1

    def _play(self, reply: Reply) -> None:
        match reply:
            case Answer(body, status, headers, delay):
                time.sleep(delay)
                self._whole(body, status, headers)
            case Cut(body):
                self._begin(10_000) if body is not None else None
                self.wfile.write(body or b"")
                self.close_connection = True
            case Hang():
                self.server.closing.wait()
                self.close_connection = True
            case Drip():
                self._begin(10_000)
                while not self.server.closing.wait(0.05):
                    self.wfile.write(b" ")

    def _whole(self, body: Any, status: int, headers: Mapping[str, str]) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _begin(self, length: int) -> None:
        self.send_response(200)
        self.send_header("content-length", str(length))
        self.end_headers()


def _parsed(raw: bytes, media_type: str) -> Any:
    if media_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(raw.decode()))
    return json.loads(raw) if raw else None


@contextmanager
def scripted(script: Script) -> Iterator[ScriptedServer]:
    """Serve a script until the block ends."""
    server = ScriptedServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
