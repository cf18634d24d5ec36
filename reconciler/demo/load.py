"""Callers: send predictions to every served model at a constant rate, and count what they see.

The loop is open: the next request is sent when it is due, whether or not the ones before it were answered. A slow or
silent service therefore gets no fewer requests.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler.analysis.agreement import agrees
from reconciler.demo.kserve.exchange import Answer, Connections, NoAnswer
from reconciler.demo.kserve.router import REVISION_HEADER
from reconciler.demo.stack import NAMESPACE
from reconciler.ports import ProbeTarget
from reconciler.systems.inference import Malformed, answer_of, request_for

RECENT = 250
NO_ANSWER = "no answer"
_JSON = ((b"content-type", b"application/json"),)
_TIMEOUT_SECONDS = 10.0
# Until a model answers for the first time, it is asked this often to find out when it does.
_FIRST_PER_SECOND = 5.0


@dataclass(slots=True)
class Seen:
    """What the callers of one model saw since its first answer; `recent` are the revisions that answered last.

    `per_second` is the rate that was asked for; since `began`, `due` requests were sent, whether answered or not.
    """

    per_second: float = 0.0
    since: float | None = None
    began: float | None = None
    due: int = 0
    sent: int = 0
    unexpected: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    by_revision: Counter[str] = field(default_factory=Counter)
    unexpected_by_revision: Counter[str] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    last_failure: str = ""

    @property
    def failed(self) -> int:
        """Return how many requests were not answered by a prediction."""
        return sum(count for status, count in list(self.by_status.items()) if status != "200")

    @property
    def bad(self) -> int:
        """Return how many callers did not get what they should: no prediction, or a wrong one."""
        return self.failed + self.unexpected

    @property
    def rate(self) -> float:
        """Return how many requests a second were sent."""
        return self.due / max(time.monotonic() - self.began, 0.001) if self.began is not None else 0.0

    def share(self, revision: str) -> float:
        """Return the observed share of a revision among the last answers, 0 to 1."""
        return self.recent.count(revision) / len(self.recent) if self.recent else 0.0


@dataclass(frozen=True, slots=True)
class Caller:
    """One model's callers: rows with expected answers, and how many requests a second."""

    model: str
    rows: Sequence[Any]
    expected: Sequence[Any]
    per_second: float
    tolerance: float


def caller_of(repository: Path, model: str, per_second: float, tolerance: float) -> Caller:
    """Read a model's probe file."""
    raw = json.loads((repository / "probes" / f"{model}.json").read_text(encoding="utf-8"))
    return Caller(model, raw["inputs"], raw["expected"], per_second, tolerance)


@contextmanager
def load(ingress_url: str, callers: Sequence[Caller]) -> Iterator[Mapping[str, Seen]]:
    """Send requests until the block ends. What a model answers counts from its first prediction on."""
    lines = [_Line(ingress_url, caller, Seen(caller.per_second)) for caller in callers]
    done = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=[_call(lines, done)], name="callers", daemon=True)
    thread.start()
    try:
        yield {line.caller.model: line.seen for line in lines}
    finally:
        done.set()
        thread.join()


async def _call(lines: Sequence[_Line], done: threading.Event) -> None:
    await asyncio.gather(*(line.run(done) for line in lines))


class _Line:
    """The callers of one model."""

    def __init__(self, ingress_url: str, caller: Caller, seen: Seen) -> None:
        self.caller = caller
        self.seen = seen
        target = ProbeTarget(f"{ingress_url}/serving/{NAMESPACE}/{caller.model}", caller.model, "v2")
        self._protocol = target.protocol
        requests = [request_for(target, row) for row in caller.rows]
        address = urlsplit(requests[0][0])
        self._port, self._path = address.port or 80, address.path.encode()
        self._connections = Connections(_TIMEOUT_SECONDS)
        self._bodies = [body for _, body in requests]
        self._open: set[asyncio.Task[None]] = set()

    async def run(self, done: threading.Event) -> None:
        """Send one request after the other as each is due; at the end, wait for the answers to what was sent."""
        while self.seen.since is None and not done.is_set():
            await self._ask(0)
            await asyncio.sleep(1 / _FIRST_PER_SECOND)
        self.seen.began = began = time.monotonic()
        while not done.is_set():
            due = began + self.seen.due / self.caller.per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(self.seen.due % len(self._bodies)))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            self.seen.due += 1
        await asyncio.gather(*self._open)
        self._connections.close()

    async def _ask(self, row: int) -> None:
        try:
            answer = await self._connections.ask(self._port, "POST", self._path, _JSON, self._bodies[row])
        except NoAnswer as error:
            self._count(NO_ANSWER, str(error))
            return
        if answer.status != 200:
            self._count(str(answer.status), f"HTTP {answer.status}: {answer.content[:120]!r}")
            return
        self.seen.since = self.seen.since or time.monotonic()
        self._count("200")
        self._compare(answer, row)

    def _count(self, status: str, failure: str = "") -> None:
        if self.seen.since is None:
            return  # nothing is served yet
        self.seen.sent += 1
        self.seen.by_status[status] += 1
        self.seen.last_failure = failure or self.seen.last_failure

    def _compare(self, answer: Answer, row: int) -> None:
        revision = answer.header(REVISION_HEADER.encode()).decode()
        self.seen.recent.append(revision)
        self.seen.by_revision[revision] += 1
        if not self._is_expected(answer.content, row):
            self.seen.unexpected += 1
            self.seen.unexpected_by_revision[revision] += 1

    def _is_expected(self, content: bytes, row: int) -> bool:
        try:
            return agrees(answer_of(self._protocol, content), self.caller.expected[row], self.caller.tolerance)
        except Malformed:
            return False
