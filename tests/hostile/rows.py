"""Rows of a ledger that somebody wrote into."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ENTRY: Mapping[str, Any] = {
    "at": "2026-01-01T00:00:00.000000Z", "moment": "intent", "model": "iris", "action": "Deploy", "reason": "because",
    "commit": "c", "author": "Ana <ana@example.org>", "result": "Pending", "evidence": {}, "before": {}, "after": {},
    "attemptOf": None, "durationMs": None,
}  # fmt: skip


def body(**changes: object) -> str:
    """Return the text of an entry, as nobody but an intruder would write it."""
    sealed = {"entry": {**_ENTRY, **changes}, "previous": "0" * 64, "seq": 1}
    return json.dumps(sealed, ensure_ascii=False)


BODIES: Mapping[str, str] = {
    "as it should be": body(),
    "nothing": "",
    "JSON nested without end": "[" * 100_000,
    "text": '"text"',
    "no entry": "{}",
    "an entry that is a list": '{"entry": [], "previous": "", "seq": 1}',
    "an author that is a number": body(author=5),
    "before that is text": body(before="x"),
    "a time without a zone": body(at="2026-01-01T00:00:00"),
    "a time of no calendar": body(at="2026-13-01T00:00:00Z"),
    "an unknown moment": body(moment="now"),
    "escapes in raw": body(author="\x1b]0;x\x07\x9b31m\u202e\x7f"),
    "a second line": body(reason="x") + '\n{"entry": {}}',
    "a megabyte of escapes": body(reason="\x9b" * 1_000_000),
    "an attempt of text": body(attemptOf="1"),
    "a duration of a million digits": body(durationMs=0).replace('"durationMs": 0', '"durationMs": ' + "9" * 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of releases."""

    serving: str
    model: str = "iris"
    release: str = "1-abc"
    storage_uri: str = "s3://x"
