"""The least HTTP client that will do for the callers: POST over kept-alive connections to one server of ours.

It costs a twentieth of a full client's time, which callers, ingress and API share in the demo's one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NoAnswer(Exception):  # noqa: N818  names what the caller got
    """Nothing came back that is an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Poster:
    """Posts JSON to one address; as many connections as there are requests at a time."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._timeout = timeout
        self._idle: list[_Connection] = []

    async def post(self, body: bytes) -> Answer:
        """Send one request. Raises NoAnswer."""
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout):
                connection = self._kept() or await asyncio.open_connection(self._host, self._port)
                answer = await self._exchange(*connection, body)
        except (OSError, EOFError, ValueError, KeyError, asyncio.LimitOverrunError) as error:
            if connection is not None:
                connection[1].close()
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        self._idle.append(connection)
        return answer

    def _kept(self) -> _Connection | None:
        """Return an idle connection that the server has not closed meanwhile."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> Answer:
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        content = await reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), headers, content)

    def close(self) -> None:
        """Close what is open."""
        while self._idle:
            self._idle.pop()[1].close()
