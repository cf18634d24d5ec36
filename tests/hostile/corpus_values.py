"""What is read back from systems and from disk: texts that anybody may have written there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from reconciler.audit.chain import Link
from reconciler.audit.contents import from_text
from reconciler.audit.export import csv_lines, json_lines
from reconciler.audit.history import version_of
from reconciler.audit.ledger import _recorded
from reconciler.audit.memory import _group
from reconciler.desired.cron import check_cron, last_fire, next_fire
from reconciler.desired.duration import parse_duration
from reconciler.desired.stored import NotStored, from_json
from reconciler.ensure.analysis import from_json as measurement_from_json
from reconciler.ensure.analysis import read_inputs
from reconciler.errors import ReconcilerError
from reconciler.observed import Package, Release
from reconciler.plan.marks import RolloutRecord, rejection_from_tag
from reconciler.redaction import Redactor
from reconciler.systems.inference import Malformed as NoAnswer
from reconciler.systems.inference import answer_of
from reconciler.systems.registry import mlmodel
from reconciler.systems.training.failure import cause_in
from reconciler.systems.training.package import read_package
from tests.hostile.rows import BODIES, Row

MIB = 1024 * 1024
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEEP = "[" * 100_000
DIGITS = "9" * 1_000_000


class _Expected(Exception):  # noqa: N818  only tells the runner that the product refused
    pass


EXPECTED = (ReconcilerError, NotStored, NoAnswer, _Expected)


def _refused(read: Callable[[], object]) -> None:
    """Let a ValueError pass: pydantic and the commands turn it into a diagnostic."""
    try:
        read()
    except ValueError as error:
        raise _Expected from error


def _cron(expression: str) -> None:
    """Ask what is accepted when it fires: always at the same time."""
    try:
        check_cron(expression)
    except ValueError:
        return
    assert last_fire(expression, NOW) == last_fire(expression, NOW) <= NOW < next_fire(expression, NOW)


def _mlmodel(content: bytes) -> None:
    found = mlmodel.parse(content)
    mlmodel.signature_of(found)
    mlmodel.example_paths(found)


def _none(read: Callable[[str], object], text: str) -> None:
    assert read(text) is None


TEXTS: Mapping[str, str] = {
    "nothing": "",
    "NUL": "\0",
    "an escape": "\x1b]0;x\x07",
    "a megabyte": "a" * MIB,
    "JSON nested without end": DEEP,
    "a number of a million digits": DIGITS,
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "NaN": "NaN",
    "a lone surrogate": '"\\ud800"',
}
_TAG: Mapping[str, Any] = {
    "release": "2-abc", "stable": "1-abc", "stableRevision": "r", "step": 1, "since": "2026-01-01T00:00:00+00:00",
    "started": "2026-01-01T00:00:00+00:00", "wanted": "w", "percent": 10, "namespace": "models",
    "reason": "r", "at": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
assert RolloutRecord.from_tag(json.dumps(_TAG)) is not None
TAGS: Mapping[str, str] = {
    **TEXTS,
    "a step of infinity": json.dumps({**_TAG, "step": float("inf")}),
    "a step below nothing": json.dumps({**_TAG, "step": -1}),
    "a step of a million digits": json.dumps({**_TAG, "step": 0}).replace('"step": 0', '"step": ' + DIGITS),
    "a step that is true": json.dumps({**_TAG, "step": True}),
    "a share of 1,000 percent": json.dumps({**_TAG, "percent": 1_000}),
    "a time without a zone": json.dumps({**_TAG, "since": "2026-01-01T00:00:00"}),
    "the last second of all times": json.dumps({**_TAG, "started": "9999-12-31T23:59:59-23:59"}),
    "the first second of all times": json.dumps({**_TAG, "started": "0001-01-01T00:00:00+23:59"}),
    "a time that is a number": json.dumps({**_TAG, "since": 5}),
    "a release that is a number": json.dumps({**_TAG, "release": 5}),
    "a release of a digit that is none": json.dumps({**_TAG, "release": "²-abc"}),
    "a release of a million digits": json.dumps({**_TAG, "release": DIGITS + "-abc"}),
    "a list nested without end inside": json.dumps({**_TAG, "wanted": 0}).replace('"wanted": 0', '"wanted": ' + DEEP),
}
RELEASES = {
    "a superscript two": "²-abc", "Arabic digits": "٣-abc", "a million digits": DIGITS + "-abc", "no template": "1-",
    "a template of escapes": "1-\x1b[31m", "a line feed at the end": "1-abc\n", "only a dash": "-", "words": "one-abc",
}  # fmt: skip
CRONS = {
    "a day that never comes": "0 0 31 2 *", "a day that no month has": "0 0 31 2,4,6,9,11 *", "by lot": "R R * * *",
    "a lot for the hour": "0 R(1-3) * * *", "hashed": "H H * * *", "400 KiB": "0," * 200_000 + "0 * * * *",
    "ten billion minutes": "0-9999999999 * * * *", "steps of nothing": "*/0 * * * *", "digits": DIGITS + " 0 * * *",
    "a superscript": "² * * * *", "full width": "\uff10 0 * * *", "six fields": "0 0 0 * * *", "a NUL": "0 0 * * \0",
    "a sixth Sunday": "0 0 * * sun#6", "the last Monday of a first day": "0 0 1 1 L1", "blanks": " \t\n " * 1_000,
    "names": "0 0 * mar,apr fri", "the 29th of February": "0 0 29 2 *", "backwards": "50-10 * * * *",
}  # fmt: skip
DURATIONS = {
    "digits": DIGITS + "s", "units": "1s" * 500_000, "the longest that fits": "9" * 30 + "w", "signs": "-1s",
    "NaN": "nan",    "Arabic digits": "٣s", "a line feed": "1s\n", "a NUL": "1\0s", "an exponent": "1e9s",
}  # fmt: skip
PATTERNS = {
    "stars": "*a" * 40 + "b", "questions": "?*" * 60 + "b", "brackets": "[!a-" * 30, "ranges": "[z-a]" * 20,
    "a bracket of all": "[" + "".join(map(chr, range(33, 93))) + "]*", "backslashes": "\\" * 120, "sets": "[[][]]" * 20,
}  # fmt: skip
YAMLS: Mapping[str, bytes] = {
    "lists nested without end": b"[" * 500_000,
    "dashes nested without end": b"- " * 250_000,
    "mappings nested without end": b"{a: " * 100_000,
    "a billion merges": b"a: &a {x: 1}\n" + b"".join(
        b"k%d: &b%d {<<: [%s]}\n" % (i, i, b",".join([b"*a" if i == 0 else b"*b%d" % (i - 1)] * 9)) for i in range(10)
    ),
    "an int that is no number": b'a: !!int ""',
    "a bool that is text": b"a: !!bool foo",
    "a timestamp that is text": b"a: !!timestamp foo",
    "an object of Python": b"a: !!python/object/apply:os.system ['true']",
    "a number of a million digits": b"a: " + b"9" * 1_000_000,
    "base 60 without end": b"a: 1" + b":59" * 300_000,
    "no text at all": b"\xff\xfe\x00\x80",
    "100,000 duplicate keys": b"x: 1\n" * 100_000,
    "a list as key": b"? [a]\n: b",
    "tasks that are numbers": b"pipelineInfo: {}\nroot: {dag: {tasks: {a: 1, b: []}}}\ndeploymentSpec: {}\n",
    "16 MiB": b"a: b\n" * (3 * MIB),
}  # fmt: skip
ANSWERS: Mapping[str, str] = {
    **TEXTS,
    "a shape that is text": '{"outputs": [{"name": "a", "data": [1], "shape": [1, 4000000000, "a"]}]}',
    "a shape of huge numbers": '{"outputs": [{"name": "a", "data": [1], "shape": [1'
    + ", 99999999999999" * 9_000
    + "]}]}",
    "a shape that is an object": '{"outputs": [{"name": "a", "data": [1], "shape": {"a": 1}}]}',
    "ragged data": '{"outputs": [{"name": "a", "data": [[1, 2], [3]], "shape": [1, 3]}]}',
    "data nested 900 deep": '{"outputs": [{"name": "a", "data": ' + "[" * 900 + "1" + "]" * 900 + ', "shape": [1]}]}',
    "an output that is a list": '{"outputs": [[]]}',
    "outputs that are an object": '{"outputs": {"a": 1}}',
    "predictions of nothing": '{"predictions": []}',
    "a prediction that is NaN": '{"predictions": [NaN]}',
    "a million outputs": '{"outputs": [' + ",".join(['{"name": "a", "data": [1], "shape": [1]}'] * 50_000) + "]}",
}
PROBES = {**TEXTS, "an answer that is a number": '{"inputs": [1], "expected": 5}'}
SECRETIVE: Mapping[str, str] = {
    "schemes upon schemes": "a://" * 50_000,
    "users without a host": "https://" + "u" * 200_000,
    "keys that begin and do not end": "-----BEGIN PRIVATE KEY-----" * 8_000,
    "passwords without end": "password=" * 25_000,
    "an open quote": 'token: "' + "a\\" * 100_000,
    "quotes": "secret='" * 25_000,
    "bearers": "bearer " * 30_000,
    "a token of 200 KiB": "eyJ" + "a" * 200_000 + "." + "b" * 200_000,
    "cookies": "set-cookie: " * 20_000,
}


def _inputs(content: str) -> None:
    read_inputs("p.json", content.encode("utf-8", "surrogatepass"))


def _redact(text: str) -> None:
    Redactor(["hunter2-hunter2"]).redact_text(text)


def _exported(text: str) -> None:
    """Whatever stands in the ledger, what is written of it is printable."""
    link = Link(1, "0" * 64, text)
    for line in (*json_lines([link]), *csv_lines([link])):
        unsafe = [c for c in line if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066"]
        assert not unsafe, (unsafe, line[:200])


CASES: Mapping[str, Callable[[], object]] = {
    **{f"a rollout tag: {n}": partial(_none, RolloutRecord.from_tag, t) for n, t in TAGS.items()},
    **{f"a rejected tag: {n}": partial(rejection_from_tag, t) for n, t in TAGS.items()},
    **{f"a release label: {n}": partial(_none, Release.parse, t) for n, t in RELEASES.items()},
    **{f"a cron expression: {n}": partial(_cron, t) for n, t in CRONS.items()},
    **{f"a duration: {n}": partial(_refused, partial(parse_duration, t)) for n, t in DURATIONS.items()},
    **{f"a pattern: {n}": partial(fnmatchcase, "a" * 40, t) for n, t in PATTERNS.items()},
    **{f"an MLmodel: {n}": partial(_mlmodel, t) for n, t in YAMLS.items()},
    **{f"a package: {n}": partial(read_package, Package("p.yaml", t)) for n, t in YAMLS.items()},
    **{f"a predictor's V2 answer: {n}": partial(answer_of, "v2", t.encode()) for n, t in ANSWERS.items()},
    **{f"a predictor's V1 answer: {n}": partial(answer_of, "v1", t.encode()) for n, t in ANSWERS.items()},
    **{f"an input example: {n}": partial(mlmodel.rows_of, t.encode()) for n, t in ANSWERS.items()},
    **{f"a signature: {n}": partial(mlmodel.signature_of, {"signature": {"inputs": t}}) for n, t in TEXTS.items()},
    **{f"a probe file: {n}": partial(_inputs, t) for n, t in PROBES.items()},
    **{f"a stored spec: {n}": partial(from_json, t) for n, t in TEXTS.items()},
    **{f"stored files: {n}": partial(_refused, partial(from_text, t, {})) for n, t in TEXTS.items()},
    **{f"stored serving fields: {n}": partial(_group, [Row(serving=t)]) for n, t in TEXTS.items()},
    **{f"a version in the ledger: {n}": partial(version_of, {"version": t, "release": t}) for n, t in TEXTS.items()},
    **{f"a measurement: {n}": partial(measurement_from_json, {"candidate": t, "at": t}) for n, t in TEXTS.items()},
    **{f"a ledger row: {n}": partial(_recorded, 1, "0" * 64, t) for n, t in BODIES.items()},
    **{f"an export: {n}": partial(_exported, t) for n, t in BODIES.items()},
    **{f"redacting: {n}": partial(_redact, t) for n, t in SECRETIVE.items()},
    **{f"the log of a run: {n}": partial(cause_in, t) for n, t in {**TEXTS, **SECRETIVE}.items()},
}  # fmt: skip
