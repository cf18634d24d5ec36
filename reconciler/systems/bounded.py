"""Whole answers with a limit on their size and on their time, for generated clients that know neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import urllib3

from reconciler.systems.deadline import bind_urllib3, ending

# A page of 500 InferenceServices, or of 200 runs with their pipelines, has a few megabytes.
LARGEST_ANSWER = 64 * 1024 * 1024
LARGEST_ERROR = 256 * 1024
_CHUNK = 64 * 1024


class UnboundedError(urllib3.exceptions.HTTPError):
    """The answer was larger than anything that is read."""


class _Pool(Protocol):
    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that was read to its end, with what generated clients ask of it."""

    status: int
    reason: str | None
    data: bytes
    headers: Mapping[str, str]

    def getheaders(self) -> Mapping[str, str]:
        """Return the headers."""
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """Return one header."""
        return self.headers.get(name, default)


class BoundedPool:
    """Stands before a generated client's connections; `seconds` is what a whole answer may take.

    Nothing is unpacked, for nothing packed is asked for: a megabyte can unfold to a gigabyte. An answer that the client
    wants to read by itself, such as a watch, is passed on as it is, unless it is an error.
    """

    def __init__(self, pool: _Pool, seconds: float) -> None:
        bind_urllib3(pool)
        self._pool = pool
        self._seconds = seconds

    def request(self, method: str, url: str, *, preload_content: bool = True, **options: Any) -> object:
        """Send a request. Raises urllib3's errors, UnboundedError among them."""
        with ending(self._seconds):
            response = self._pool.request(method, url, preload_content=False, **options)
            good = 200 <= response.status < 300
            if good and not preload_content:
                return response
            try:
                data = _read(response, LARGEST_ANSWER if good else LARGEST_ERROR)
            except BaseException:
                response.close()
                raise
        response.release_conn()
        return Whole(response.status, response.reason, data, response.headers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _read(response: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    content = bytearray()
    # Not `stream`, which would wait until a whole chunk has dripped in.
    while chunk := response.read1(_CHUNK, decode_content=False):
        content += chunk
        if len(content) > limit:
            raise UnboundedError(f"the answer is larger than {limit:,} bytes")
    return bytes(content)
