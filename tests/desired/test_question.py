"""What a check asks: two that differ in limits alone ask the same, and anything else is another question."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.desired.checks import Check
from reconciler.desired.question import question_of

FILES = {"rows.json": b"[1]", "other.json": b"[1]"}
QUERY: dict[str, Any] = {"prometheus": {"query": "p95", "max": 200, "window": "2m", "samples": "n"}}
TEMPLATE: dict[str, Any] = {"prometheus": {"template": "latency-p95", "flavour": "istio", "max": 1}}
PROBE: dict[str, Any] = {"probe": {"inputs": {"file": "rows.json"}, "requests": 20}}
AGREES: dict[str, Any] = {"probe": {**PROBE["probe"], "agreement": {"with": "stable", "min": 0.9, "tolerance": 0.1}}}
JOB: dict[str, Any] = {"job": {"image": "tests:1", "command": ["run"], "args": ["--fast"], "env": {"LEVEL": "2"}}}


def asked(document: dict[str, Any], files: dict[str, bytes] | None = None, **changes: object) -> str:
    (kind,) = document
    check = {"name": "own", kind: {**document[kind], **changes}}
    return question_of(Check.model_validate(check), FILES if files is None else files)


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "other limits of a query": (QUERY, {"max": 300, "min": 1, "maxIncrease": {"relative": 0.5}}),
    "other limits of a probe": (PROBE, {"maxErrorRate": 0.5, "maxLatencyP95": "1s", "maxLatencyIncrease": 1.0}),
    "another share that has to agree": (AGREES, {"agreement": {"with": "stable", "min": 0.5, "tolerance": 0.1}}),
    "another time that a job may take": (JOB, {"timeout": "1m"}),
}


@pytest.mark.parametrize("sentence", SAME)
def test_a_check_with_other_limits_asks_the_same(sentence: str) -> None:
    document, changes = SAME[sentence]
    assert asked(document, **changes) == asked(document)


OTHER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another query": (QUERY, {"query": "p95 / 1000"}),
    "another window": (QUERY, {"window": "3m"}),
    "another way to count requests": (QUERY, {"samples": "m"}),
    "another template": (TEMPLATE, {"template": "latency-p99"}),
    "another flavour": (TEMPLATE, {"flavour": "knative"}),
    "another file, whatever it holds": (PROBE, {"inputs": {"file": "other.json"}}),
    "other inputs": (PROBE, {"inputs": {"from": "inputExample"}}),
    "another number of requests": (PROBE, {"requests": 21}),
    "schemas that are compared": (PROBE, {"schema": "stable"}),
    "answers that are compared": (PROBE, {"agreement": {"with": "stable", "min": 0.9}}),
    "answers that are compared with others": (AGREES, {"agreement": {"with": "expected", "min": 0.9}}),
    "another tolerance": (AGREES, {"agreement": {"with": "stable", "min": 0.9, "tolerance": 0.2}}),
    "another absolute tolerance": (
        AGREES, {"agreement": {"with": "stable", "min": 0.9, "tolerance": 0.1, "absoluteTolerance": 1}},
    ),
    "another image": (JOB, {"image": "tests:2"}),
    "another command": (JOB, {"command": ["walk"]}),
    "other arguments": (JOB, {"args": []}),
    "another environment": (JOB, {"env": {"LEVEL": "3"}}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", OTHER)
def test_what_is_measured_otherwise_is_another_question(sentence: str) -> None:
    document, changes = OTHER[sentence]
    assert asked(document, **changes) != asked(document)


def test_a_file_that_changed_asks_another_question_and_one_that_is_gone_too() -> None:
    assert len({asked(PROBE), asked(PROBE, {"rows.json": b"[2]"}), asked(PROBE, {})}) == 3


def test_its_name_and_its_pace_are_no_part_of_the_question() -> None:
    renamed = Check.model_validate({"name": "other", **JOB, "interval": "1m", "failureLimit": 3, "dryRun": True})
    assert question_of(renamed, FILES) == asked(JOB)


def test_no_two_kinds_ask_the_same() -> None:
    assert len({asked(document) for document in (QUERY, TEMPLATE, PROBE, AGREES, JOB)}) == 5
