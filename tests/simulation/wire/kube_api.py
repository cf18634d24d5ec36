"""The API as the adapter asks it, with all that can go wrong on the way, and its watches, one event at a time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.demo.kubeapi.errors import ApiError
from reconciler.demo.kubeapi.watch import WatchStream
from reconciler.errors import ReconcilerError, Transient
from reconciler.systems.serving.answers import lost, refusal
from reconciler.systems.serving.api import Call, Json
from tests.simulation.faults import Crash, Fault, Faults
from tests.simulation.wire.kube_faults import SAID, OnWatch, Wire, of
from tests.simulation.wire.kubernetes import Kubernetes, RefusalError

T = TypeVar("T")
_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}
_REWIND = 3
_BOOKMARK_SECONDS = 60.0


@dataclass(slots=True)
class WireApi:
    """Implements the adapter's Api. `pick` chooses, the first option being the calm one.

    `often` tells of each call, besides the faults that every system has, whether it fails; its number is how likely
    the call is to. While `cut`, nothing is listed or watched. `landing` are writes that nobody waits for any more and
    that are still on their way. `monotonic` counts seconds.
    """

    kubernetes: Kubernetes
    faults: Faults
    monotonic: Callable[[], float]
    pick: Callable[[Sequence[Any]], Any]
    before: Callable[[Call], None]
    cut: Callable[[], bool]
    often: Callable[[int], bool] = lambda _: False
    landing: list[Call] = field(default_factory=list)
    streams: dict[str, WireStream] = field(default_factory=dict)
    writes: int = 0

    def call(self, call: Call) -> Any:
        """Send one request."""
        what = f"serving.{call.verb} {call.name or call.resource.plural}"
        if call.verb == "list" and self.cut():
            raise Transient("no connection: the API cannot be reached")
        fault = self.fault(what, 8 if call.writes else 4)
        if fault is Fault.CRASH_BEFORE:
            raise Crash(what)
        wrong = None if fault in (Fault.CALM, Fault.CRASH_AFTER) else self.pick(of(call))
        if wrong is not None:
            self.faults.log.append(f"{what}: {wrong.value}")
        self._refuse(call, wrong)
        found = self._sent(call, what)
        if fault is Fault.CRASH_AFTER:
            raise Crash(what)
        return self._spoilt(call, wrong, found)

    def fault(self, what: str, likely: int) -> Fault:
        """Ask what happens to a call."""
        self.faults.calls += 1
        fault = self.faults.choose(what)
        return Fault.REFUSED if fault is Fault.CALM and self.often(likely) else fault

    def _refuse(self, call: Call, wrong: Wire | None) -> None:
        """Fail before there is any effect."""
        if wrong is Wire.REFUSED:
            raise Transient("no connection: Connection refused")
        if wrong is Wire.SILENT:
            raise lost(call, "no answer: timed out")
        if wrong is Wire.LATE:
            self._announce(call)
            self.landing.append(call)
            raise lost(call, "no answer: timed out")
        if wrong is not None and wrong in SAID and wrong is not Wire.AFTER_BROKEN:
            said = SAID[wrong]
            raise refusal(call, said.code, said.body(), said.headers)

    def _sent(self, call: Call, what: str) -> Any:
        self._announce(call)
        try:
            found = self._ask(call)
        except RefusalError as refused:
            raise refusal(call, refused.code, refused.body, {}) from None
        if call.writes:
            self.faults.log.append(what)
        return found

    def _announce(self, call: Call) -> None:
        if call.writes:
            self.faults.before_write(f"serving.{call.verb} {call.name}")
            self.before(call)

    def _ask(self, call: Call) -> Any:
        before = self.kubernetes.store.revision
        try:
            return self.kubernetes.ask(_METHODS[call.verb], call.url_path, call.query, call.body, call.media_type)
        finally:
            self.writes += call.writes and self.kubernetes.store.revision != before

    def _spoilt(self, call: Call, wrong: Wire | None, found: Any) -> Any:
        """Return the answer, or what came in its place."""
        match wrong:
            case Wire.AFTER_SILENT:
                raise lost(call, "no answer: timed out")
            case Wire.AFTER_CUT:
                raise lost(call, "the answer is no JSON object")
            case Wire.AFTER_BROKEN:
                said = SAID[wrong]
                raise refusal(call, said.code, said.body(), said.headers)
            case Wire.EMPTY | Wire.AFTER_EMPTY:
                return {}
            case Wire.NULL_ITEMS:
                return {**found, "items": None}
            case Wire.FEWER:
                return {**found, "items": found["items"][:-1]}
            case Wire.STALE:
                return self._stale(call, found)
            case Wire.PAGES:
                return self._ask(_limited(call))
        return found

    def _stale(self, call: Call, found: Json) -> Json:
        steps = self.pick((1, 2, 3, 5, 8, 13))
        revision, items = self.kubernetes.before(call.resource.qualified, steps)
        return {**found, "metadata": {"resourceVersion": str(revision)}, "items": items}

    def land(self) -> None:
        """Let what was on its way arrive, now or later."""
        while self.landing and self.pick((True, False)):
            call = self.landing.pop(0)
            try:
                self._ask(call)
            except RefusalError as refused:
                self.faults.log.append(f"-- late {call.verb} {call.name} was refused: {refused.code}")
            else:
                self.faults.log.append(f"-- late {call.verb} {call.name} arrived")

    @contextmanager
    def open(self, call: Call, idle_seconds: float) -> Iterator[WireStream]:
        """Open a watch."""
        del idle_seconds
        if self.cut():
            raise Transient("no connection: the API cannot be reached")
        query = dict(call.query)
        fault = self.fault(f"serving.watch {call.resource.plural}", 2)
        if fault is not Fault.CALM:
            wrong = self.pick((*of(call), None))
            self.faults.log.append(f"watch {call.resource.plural}: {wrong or 'begins too early'}")
            self._refuse(call, wrong)
            query["resourceVersion"] = str(max(1, int(query["resourceVersion"]) - _REWIND))
        watch = self.kubernetes.watch(call.url_path, tuple(query.items()))
        stream = WireStream(self, call, watch, self.monotonic() + float(query["timeoutSeconds"]))
        self.streams[call.resource.plural] = stream
        try:
            yield stream
        finally:
            if self.streams.get(call.resource.plural) is stream:
                del self.streams[call.resource.plural]


@dataclass(slots=True)
class WireStream:
    """An open watch that ends after some time; `ready` tells whether there is anything to be read."""

    api: WireApi
    opened: Call
    watch: WatchStream
    ends: float
    quiet_since: float = 0.0
    coming: deque[bytes] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.quiet_since = self.api.monotonic()

    def ready(self) -> bool:
        """Tell whether a line has come, or the end."""
        if not self.coming:
            self._pull()
        now = self.api.monotonic()
        if not self.coming and now - self.quiet_since >= _BOOKMARK_SECONDS:
            self.coming.append(self.watch.bookmark())
        return bool(self.coming) or self.api.cut() or now >= self.ends

    def _pull(self) -> None:
        try:
            self.coming.extend(self.watch.next_lines())
        except ApiError as error:
            self.coming.append(_error(error.code, error.reason, error.message))

    def lines(self) -> Iterator[bytes]:
        """Return what has come, one line after the other, until the watch ends or breaks."""
        while self.ready():
            if self.api.cut():
                raise lost(self.opened, "the stream broke: Connection reset by peer")
            if not self.coming:
                return
            self.quiet_since = self.api.monotonic()
            line = self.coming.popleft()
            if self.api.fault(f"serving.event {self.opened.resource.plural}", 1) is Fault.CALM:
                yield line
            else:
                wrong = self.api.pick(tuple(OnWatch))
                self.api.faults.log.append(f"{self.opened.resource.plural}: {wrong.value}")
                yield from self._spoilt(line, wrong)
                if wrong is OnWatch.ENDED:
                    return

    def _spoilt(self, line: bytes, wrong: OnWatch) -> Iterator[bytes]:
        match wrong:
            case OnWatch.CUT:
                raise self._broke()
            case OnWatch.TWICE:
                yield line
                yield line
            case OnWatch.EXPIRED:
                self.api.kubernetes.store.forget_history()
                yield _error(410, "Expired", "too old resource version")
            case OnWatch.BROKEN:
                yield _error(500, "InternalError", "etcdserver: no leader")
            case OnWatch.GARBAGE:
                yield line[: len(line) // 2]
            case OnWatch.ENDED:
                yield line
            case OnWatch.LOST:
                return

    def _broke(self) -> ReconcilerError:
        return lost(self.opened, "the stream broke: Connection reset by peer")

    def cut(self) -> None:
        """Nobody cuts a watch here from another thread."""


def _error(code: int, reason: str, message: str) -> bytes:
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return json.dumps({"type": "ERROR", "object": status}).encode()


def _limited(call: Call) -> Call:
    query = {**dict(call.query), "limit": "1"}
    return Call(call.verb, call.resource, call.namespace, query=tuple(query.items()))
