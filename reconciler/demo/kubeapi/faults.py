"""What goes wrong with the embedded API on demand: for tests, which hand it over when they start the server."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Verb = Literal["get", "list", "watch", "create", "patch", "delete"]
WRITES: tuple[Verb, ...] = ("create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request fails: by a Status with `code`, or without an answer for `hang` seconds.

    `late`: the request is carried out first. `stale`: a list is answered as the first one like it was. `retry_after` is
    what the server asks for, in seconds. With a `plural`, only requests for that kind of object are meant.
    """

    verbs: tuple[Verb, ...]
    code: int = 0
    reason: str = "InternalError"
    retry_after: int | None = None
    hang: float = 0.0
    late: bool = False
    stale: bool = False
    plural: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def means(self, verb: Verb, path: str) -> bool:
        """Tell whether it can happen to such a request."""
        return verb in self.verbs and (not self.plural or self.plural in path.split("/"))


@dataclass(slots=True)
class Faults:
    """Faults to come, each for one request and in order; `token` takes the place of the server's own."""

    token: str | None = None
    cuts: int = 0
    met: list[Fault] = field(default_factory=list)
    _coming: deque[Fault] = field(default_factory=deque)
    _lists: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def then(self, *faults: Fault) -> None:
        """Let the next requests of these verbs fail so."""
        with self._lock:
            self._coming.extend(faults)

    def next(self, verb: Verb, path: str) -> Fault | None:
        """Return what happens to a request."""
        with self._lock:
            if not self._coming or not self._coming[0].means(verb, path):
                return None
            fault = self._coming.popleft()
            self.met.append(fault)
            return fault

    @property
    def left(self) -> int:
        """Return how many faults have not happened yet."""
        with self._lock:
            return len(self._coming)

    def remembered(self, url: str, body: bytes) -> bytes:
        """Keep the first answer to a list, and return it."""
        with self._lock:
            return self._lists.setdefault(url, body)
