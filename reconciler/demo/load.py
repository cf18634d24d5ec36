"""Callers: send predictions to every served model all the time, and count what they see."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from reconciler.analysis.agreement import agrees
from reconciler.demo.kserve.router import REVISION_HEADER
from reconciler.demo.stack import NAMESPACE
from reconciler.ports import ProbeTarget
from reconciler.systems.inference import Malformed, answer_of, request_for

RECENT = 100


@dataclass(slots=True)
class Seen:
    """What the callers of one model saw; `recent` are the revisions that answered last."""

    sent: int = 0
    failed: int = 0
    unexpected: int = 0
    by_revision: dict[str, int] = field(default_factory=dict)
    unexpected_by_revision: dict[str, int] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    last_failure: str = ""

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
    """Send requests until the block ends. A model is called from the moment it first answers."""
    seen = {caller.model: Seen() for caller in callers}
    done = threading.Event()
    threads = [
        threading.Thread(target=_call, args=(ingress_url, caller, seen[caller.model], done), daemon=True)
        for caller in callers
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _call(ingress_url: str, caller: Caller, seen: Seen, done: threading.Event) -> None:
    target = ProbeTarget(f"{ingress_url}/serving/{NAMESPACE}/{caller.model}", caller.model, "v2")
    pause, number = 1 / caller.per_second, 0
    with httpx.Client(timeout=10, trust_env=False) as client:
        while not done.wait(pause):
            row = number % len(caller.rows)
            number += 1
            _once(client, target, caller, row, seen)


def _once(client: httpx.Client, target: ProbeTarget, caller: Caller, row: int, seen: Seen) -> None:
    url, body = request_for(target, caller.rows[row])
    try:
        response = client.post(url, content=body, headers={"Content-Type": "application/json"})
    except httpx.HTTPError as error:
        _failed(seen, f"{type(error).__name__}: {error}")
        return
    if response.status_code != 200:
        _failed(seen, f"HTTP {response.status_code}: {response.text[:120]}")
        return
    revision = response.headers.get(REVISION_HEADER, "?")
    seen.sent += 1
    seen.recent.append(revision)
    seen.by_revision[revision] = seen.by_revision.get(revision, 0) + 1
    if not _as_expected(target.protocol, response.content, caller, row):
        seen.unexpected += 1
        seen.unexpected_by_revision[revision] = seen.unexpected_by_revision.get(revision, 0) + 1


def _failed(seen: Seen, why: str) -> None:
    """Count a failure, but none before the first answer: nothing is served yet then."""
    if seen.sent:
        seen.sent += 1
        seen.failed += 1
        seen.last_failure = why


def _as_expected(protocol: str, content: bytes, caller: Caller, row: int) -> bool:
    try:
        return agrees(answer_of(protocol, content), caller.expected[row], caller.tolerance)
    except Malformed:
        return False
