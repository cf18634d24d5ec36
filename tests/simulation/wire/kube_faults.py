"""What can happen between the adapter and a Kubernetes API: the catalogue, by the kind of call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.systems.serving.api import Call

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A refusal in place of an answer."""

    code: int
    reason: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> Json:
        """Return the Status."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code}
        return {**status, "reason": self.reason, "message": self.message, "details": dict(self.details)}


class Wire(StrEnum):
    """What goes wrong on the way; `AFTER` kinds happen when the request has had its effect."""

    REFUSED = "connection refused"
    SILENT = "no answer, not applied"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    CONFLICT = "409"
    BUSY = "429"
    BROKEN = "500"
    STARTING = "503"
    AFTER_SILENT = "applied, no answer"
    AFTER_BROKEN = "applied, then 500"
    AFTER_EMPTY = "applied, then {}"
    AFTER_CUT = "applied, then half an answer"
    LATE = "no answer, lands late"
    EMPTY = "{} with 200"
    NULL_ITEMS = "items: null"
    FEWER = "a truncated page"
    STALE = "a list from a stale cache"
    PAGES = "pages of one"
    EXPIRED = "410"


SAID: Mapping[Wire, Said] = {
    Wire.UNAUTHORIZED: Said(401, "Unauthorized", "Unauthorized"),
    Wire.FORBIDDEN: Said(403, "Forbidden", 'User "x" cannot do that in API group "serving.kserve.io"'),
    Wire.NOT_FOUND: Said(404, "NotFound", "the server could not find the requested resource"),
    Wire.CONFLICT: Said(409, "Conflict", "the object has been modified; please apply your changes again"),
    Wire.BUSY: Said(429, "TooManyRequests", "too many requests", {}, {"Retry-After": "3"}),
    Wire.BROKEN: Said(500, "InternalError", "Internal error occurred: etcdserver: leader changed"),
    Wire.STARTING: Said(503, "ServiceUnavailable", "the server is starting", {"retryAfterSeconds": 2}),
    Wire.AFTER_BROKEN: Said(500, "InternalError", "Internal error occurred: context deadline exceeded"),
    Wire.EXPIRED: Said(410, "Expired", "The provided continue parameter is too old"),
}

_REFUSALS = (
    Wire.REFUSED, Wire.SILENT, Wire.BUSY, Wire.BROKEN, Wire.STARTING, Wire.UNAUTHORIZED, Wire.FORBIDDEN,
    Wire.NOT_FOUND,
)  # fmt: skip
_APPLIED = (Wire.AFTER_SILENT, Wire.AFTER_BROKEN, Wire.AFTER_EMPTY, Wire.AFTER_CUT, Wire.LATE)
# What is carried out without a word is rarer among the calls, and tells more.
_WRITES = (*_REFUSALS, Wire.CONFLICT, *_APPLIED, *_APPLIED, *_APPLIED)
_READS = (*_REFUSALS, Wire.EMPTY)
_LISTS = (
    *_READS, Wire.NULL_ITEMS, Wire.FEWER, Wire.STALE, Wire.PAGES, Wire.EXPIRED, Wire.FEWER, Wire.STALE, Wire.PAGES,
)  # fmt: skip
_WATCHES = (*_REFUSALS, Wire.EXPIRED)


def of(call: Call) -> tuple[Wire, ...]:
    """Return what can happen to this call."""
    if call.verb == "watch":
        return _WATCHES
    if call.verb == "list":
        return _LISTS
    return _WRITES if call.writes else _READS


class OnWatch(StrEnum):
    """What can happen to one event of a watch."""

    CUT = "the watch is cut"
    TWICE = "an event comes twice"
    LOST = "an event is lost"
    EXPIRED = "410 on the watch"
    ENDED = "the watch ends"
    BROKEN = "an error on the watch"
    GARBAGE = "half a line on the watch"
