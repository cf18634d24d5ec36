"""The least HTTP client that will do on loopback: requests over kept-alive connections, answers read as a whole.

Callers, ingress and API share one process, and a request passes here twice: this costs a twentieth of what a full
client does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

Header = tuple[bytes, bytes]
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_END = b"\r\n\r\n"
# Servers here close what was idle for 65 s; what is nearly as old is not used again.
_KEPT_SECONDS = 30.0


class NoAnswer(Exception):  # noqa: N818  names what the caller got
    """Nothing came back that is an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Sequence[Header]
    content: bytes

    def header(self, name: bytes) -> bytes:
        """Return a header's value, empty where there is none."""
        return next((value for found, value in self.headers if found == name), b"")


class Connections:
    """Connections to servers on 127.0.0.1, as many as there are requests at a time; for use in one event loop."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._idle: dict[int, list[tuple[float, _Streams]]] = {}

    async def ask(self, port: int, method: str, target: bytes, headers: Iterable[Header], body: bytes) -> Answer:
        """Send one request and read the answer. Raises NoAnswer."""
        lines = [f"{method} ".encode(), target, f" HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n".encode()]
        lines += [b"%s: %s\r\n" % header for header in headers if header[0].lower() != b"content-length"]
        request = b"".join([*lines, b"content-length: %d\r\n\r\n" % len(body), body])
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(port, method, request)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error

    async def _exchange(self, port: int, method: str, request: bytes) -> Answer:
        if kept := self._kept(port):
            with suppress(_ClosedMeanwhile):
                return await self._over(kept, port, method, request)
        return await self._over(await asyncio.open_connection("127.0.0.1", port), port, method, request)

    async def _over(self, streams: _Streams, port: int, method: str, request: bytes) -> Answer:
        """Use a connection; it is kept only after a whole answer, of which nothing may be left behind."""
        reader, writer = streams
        try:
            writer.write(request)
            answer = await _read(reader, method)
        except BaseException:
            writer.close()
            raise
        self._idle.setdefault(port, []).append((time.monotonic(), streams))
        return answer

    def _kept(self, port: int) -> _Streams | None:
        """Return an idle connection that the server has not closed, and is not about to."""
        idle = self._idle.get(port, [])
        while idle:
            used, streams = idle.pop()
            if time.monotonic() - used < _KEPT_SECONDS and not streams[0].at_eof():
                return streams
            streams[1].close()
        return None

    def close(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            for _, (_, writer) in idle:
                writer.close()
        self._idle.clear()


class _ClosedMeanwhile(EOFError):  # noqa: N818  names what happened
    """The server closed a connection without a word: it has not seen the request."""


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(_END)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        if getattr(error, "partial", b""):
            raise
        raise _ClosedMeanwhile("the connection was closed") from error


async def _read(reader: asyncio.StreamReader, method: str) -> Answer:
    status, *lines = (await _head(reader)).removesuffix(_END).split(b"\r\n")
    parts = (line.partition(b":") for line in lines)
    headers = [(name.lower(), value.strip()) for name, _, value in parts]
    answer = Answer(int(status.partition(b" ")[2][:3]), headers, b"")
    if method == "HEAD" or answer.status in (204, 304):
        return answer
    if answer.header(b"transfer-encoding"):
        content = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        content = await reader.readexactly(int(answer.header(b"content-length")))
    return replace(answer, content=content)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
