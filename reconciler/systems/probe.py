"""Inference requests over V1 and V2, as canary analysis sends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from reconciler.observed import Side
from reconciler.ports import ProbeResult, ProbeTarget
from reconciler.systems.deadline import bind_httpx, ending
from reconciler.systems.inference import Malformed, answer_of, request_for

CONCURRENCY = 4
MAX_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Answer:
    """One request's end: `value` is None where it failed."""

    value: Any
    latency_ms: float


class HttpProber:
    """Sends requests, four at a time; each has a time-out, and the whole probe a deadline."""

    def __init__(self, timeout: timedelta, deadline: timedelta) -> None:
        self._timeout = timeout.total_seconds()
        self._deadline = deadline.total_seconds()
        limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY, keepalive_expiry=3)
        # Proxies from the environment are for the outside; models answer inside the cluster.
        self._client = httpx.Client(limits=limits, trust_env=False)
        bind_httpx(self._client)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def probe(
        self, target: ProbeTarget, rows: Sequence[Any], requests: int, before_each: Callable[[], None]
    ) -> ProbeResult:
        """Send `requests` single-row requests, cycling over `rows`; the answer at i belongs to row i modulo rows.

        Requests that the deadline did not let begin are not counted. Raises Refused for rows that V2 cannot carry,
        ValueError without rows, and what `before_each` raises once the requests under way have ended.
        """
        if not rows:
            raise ValueError("a probe needs at least one row")
        prepared = [request_for(target, row) for row in rows]
        ends = time.monotonic() + self._deadline

        def send(request: tuple[str, bytes]) -> _Answer | None:
            before_each()
            return self._send(target.protocol, request, ends)

        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="probe") as pool:
            cycle = [prepared[i % len(prepared)] for i in range(requests)]
            sent = list(pool.map(send, cycle))
        begun = [a for a in sent if a is not None]
        answered = [a for a in begun if a.value is not None]
        side = Side(len(begun), len(begun) - len(answered), tuple(a.latency_ms for a in answered))
        return ProbeResult(side, tuple(None if a is None else a.value for a in sent))

    def _send(self, protocol: str, request: tuple[str, bytes], ends: float) -> _Answer | None:
        begun = time.monotonic()
        if begun >= ends:
            return None
        try:
            value = answer_of(protocol, self._post(*request, min(ends, begun + self._timeout)))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, Malformed):
            value = None
        return _Answer(value, (time.monotonic() - begun) * 1000)

    def _post(self, url: str, body: bytes, ends: float) -> bytes:
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        remaining = max(0.001, ends - time.monotonic())
        with (
            ending(remaining),
            self._client.stream("POST", url, content=body, headers=headers, timeout=remaining) as response,
        ):
            if not response.is_success:
                raise Malformed(f"status {response.status_code}")
            content = bytearray()
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > MAX_ANSWER or time.monotonic() > ends:
                    raise Malformed("the answer is too large or too slow")
        return bytes(content)
