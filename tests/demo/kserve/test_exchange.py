"""The small HTTP client between callers, ingress and model servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.demo.kserve.exchange import Answer, Connections, NoAnswer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Of: %d\r\n\r\nok"


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    return head + await reader.readexactly(int(length))


def asked(talk: Talk, times: int = 1, method: str = "POST", timeout: float = 10.0) -> list[Answer]:
    """Ask a server so often, which talks so over each connection."""
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def run() -> list[Answer]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port, connections = server.sockets[0].getsockname()[1], Connections(timeout)
            try:
                return [await connections.ask(port, method, b"/x?y=1", [(b"a", b"b")], b"body") for _ in range(times)]
            finally:
                connections.close()
                await asyncio.gather(*filter(None, served), return_exceptions=True)

    return asyncio.run(run())


def answering(*answers: bytes) -> tuple[Talk, list[bytes]]:
    """Answer the requests of each connection so, then close it."""
    requests: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            requests.append(await request_of(reader))
            writer.write(answer)

    return talk, requests


def test_method_target_headers_and_body_arrive_and_a_connection_is_used_again() -> None:
    talk, requests = answering(PLAIN % 1, PLAIN % 2)
    answers = asked(talk, times=2)
    assert [(a.status, a.content, a.header(b"x-of")) for a in answers] == [(200, b"ok", b"1"), (200, b"ok", b"2")]
    for request in requests:
        assert request.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
        assert b"\r\na: b\r\n" in request
        assert request.endswith(b"\r\n\r\nbody")


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    talk, requests = answering(PLAIN % 1)
    assert [answer.content for answer in asked(talk, times=3)] == [b"ok"] * 3
    assert len(requests) == 3


def test_an_answer_in_chunks_is_put_together() -> None:
    chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nt: 1\r\n\r\n"
    talk, _ = answering(chunked, PLAIN % 1)
    assert [(answer.status, answer.content) for answer in asked(talk, times=2)] == [(201, b"abcd"), (200, b"ok")]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("POST", b"204 No Content"), ("POST", b"304 Not Modified")]
)
def test_what_has_no_body_is_not_waited_for(method: str, status: bytes) -> None:
    talk, _ = answering(b"HTTP/1.1 " + status + b"\r\ncontent-length: 7\r\n\r\n")
    (answer,) = asked(talk, method=method)
    assert answer.content == b""


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"]
)
def test_what_is_no_whole_answer_is_none(said: bytes) -> None:
    talk, _ = answering(said)
    with pytest.raises(NoAnswer):
        asked(talk)


def test_a_silent_server_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(NoAnswer, match="TimeoutError"):
        asked(silent, timeout=0.1)
