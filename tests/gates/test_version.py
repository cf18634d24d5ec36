"""Gates, each case as a sentence: what was asked, what the version shows, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf, nan

import pytest

from reconciler.desired.documents import Gate, MetricGate, SignatureGate, TagGate
from reconciler.gates.version import Candidate, check_gate, needs_evidence, needs_production
from reconciler.observed import Column, ModelVersion, Signature, Stage, VersionEvidence

AT_LEAST = MetricGate(metric="auc", min=0.9)
AT_MOST = MetricGate(metric="rmse", max=2.0)
NO_WORSE = MetricGate(metric="auc", against="production", max_regression=0.01)
LOWER_IS_BETTER = MetricGate(metric="rmse", against="production", max_regression=0.5, goal="minimize")
TAGGED = TagGate(tag="status", equals="approved")


def candidate(metrics: Mapping[str, float], number: int = 2, tags: Mapping[str, str] | None = None) -> Candidate:
    version = ModelVersion(number, Stage.NONE, frozenset(), tags or {}, "run", "", datetime(2026, 1, 1, tzinfo=UTC))
    return Candidate(version, VersionEvidence(metrics, "s3://m"))


METRICS: dict[str, tuple[Gate, Mapping[str, float], Mapping[str, float] | None, bool, str]] = {
    "above the limit passes": (AT_LEAST, {"auc": 0.95}, None, True, "auc 0.95 >= 0.9"),
    "exactly at the limit passes": (AT_LEAST, {"auc": 0.9}, None, True, "auc 0.9 >= 0.9"),
    "below the limit fails": (AT_LEAST, {"auc": 0.89}, None, False, "auc 0.89 < 0.9"),
    "above a maximum fails": (AT_MOST, {"rmse": 2.1}, None, False, "rmse 2.1 > 2"),
    "exactly at a maximum passes": (AT_MOST, {"rmse": 2.0}, None, True, "rmse 2 <= 2"),
    "NaN proves nothing": (AT_LEAST, {"auc": nan}, None, False, "auc is nan, which proves nothing"),
    "infinity proves nothing": (AT_LEAST, {"auc": inf}, None, False, "proves nothing"),
    "a metric that was not logged fails": (AT_LEAST, {}, None, False, "logged no metric auc"),
    "without production nothing is compared": (NO_WORSE, {"auc": 0.1}, None, True, "nothing is in Production yet"),
    "as good as production passes": (NO_WORSE, {"auc": 0.9}, {"auc": 0.9}, True, "of production version 1"),
    "worse by more than is allowed fails": (NO_WORSE, {"auc": 0.88}, {"auc": 0.9}, False, "0.02 worse"),
    "better than production passes": (NO_WORSE, {"auc": 0.95}, {"auc": 0.9}, True, "0.95 against 0.9"),
    "lower can be better": (LOWER_IS_BETTER, {"rmse": 1.0}, {"rmse": 2.0}, True, "1 against 2"),
    "higher can be worse": (LOWER_IS_BETTER, {"rmse": 3.0}, {"rmse": 2.0}, False, "1 worse"),
    "NaN of the candidate fails a comparison": (NO_WORSE, {"auc": nan}, {"auc": 0.9}, False, "candidate is nan"),
    "NaN of production fails a comparison": (NO_WORSE, {"auc": 0.9}, {"auc": nan}, False, "version 1 is nan"),
    "exactly as much worse as is allowed passes": (
        MetricGate(metric="auc", against="production", max_regression=0.25),
        {"auc": 0.5},
        {"auc": 0.75},
        True,
        "0.25 worse",
    ),
    "exactly as much worse, whatever floating point makes of the difference": (
        MetricGate(metric="auc", against="production", max_regression=0.01),
        {"auc": 0.95},
        {"auc": 0.96},
        True,
        "0.01 worse",
    ),
    "where nothing worse is allowed, nothing is": (
        MetricGate(metric="auc", against="production", max_regression=0),
        {"auc": 0.5},
        {"auc": 0.75},
        False,
        "at most 0 worse",
    ),
    "a metric that the candidate lacks fails a comparison": (NO_WORSE, {}, {"auc": 0.9}, False, "candidate is None"),
    "a metric that production lacks fails a comparison": (NO_WORSE, {"auc": 0.9}, {}, False, "version 1 is None"),
}


@pytest.mark.parametrize("sentence", METRICS)
def test_metric(sentence: str) -> None:
    gate, ours, theirs, passed, words = METRICS[sentence]
    production = None if theirs is None else candidate(theirs, 1)
    result = check_gate(gate, candidate(ours), production)
    assert (result.passed, words in result.said) == (passed, True), result.said


@pytest.mark.parametrize(
    ("tags", "passed", "words"),
    [({"status": "approved"}, True, "is approved"), ({"status": "x"}, False, "is x"), ({}, False, "is not set")],
)
def test_tag(tags: dict[str, str], passed: bool, words: str) -> None:
    result = check_gate(TAGGED, candidate({}, tags=tags), None)
    assert (result.passed, words in result.said) == (passed, True)


A, B = Column("a", "double"), Column("b", "double")
OPTIONAL, LONG = Column("b", "double", required=False), Column("a", "long")
SIGNATURES: dict[str, tuple[Signature | None, Signature | None, str]] = {
    "the same serves the same callers": (Signature((A,), (B,)), Signature((A,), (B,)), ""),
    "a new optional input breaks nobody": (Signature((A, OPTIONAL), (B,)), Signature((A,), (B,)), ""),
    "a new required input breaks callers": (Signature((A, B), (B,)), Signature((A,), (B,)), "input b is required"),
    "an input of another type breaks callers": (Signature((LONG,), (B,)), Signature((A,), (B,)), "input a is long"),
    "an input that is gone breaks callers": (Signature((A,), ()), Signature((A, B), ()), "input b is sent by callers"),
    "an output that is gone breaks callers": (Signature((A,), ()), Signature((A,), (B,)), "output b is expected"),
    "an output of another type breaks callers": (Signature((), (LONG,)), Signature((), (A,)), "output a is long"),
    "a candidate without a signature proves nothing": (None, Signature((A,), ()), "candidate has no signature"),
    "production without a signature proves nothing": (Signature((A,), ()), None, "production version has no"),
}


@pytest.mark.parametrize("sentence", SIGNATURES)
def test_signature(sentence: str) -> None:
    ours, theirs, words = SIGNATURES[sentence]
    new, old = candidate({}), candidate({}, 1)
    new = Candidate(new.version, VersionEvidence({}, "", ours))
    old = Candidate(old.version, VersionEvidence({}, "", theirs))
    result = check_gate(SignatureGate(signature="compatible"), new, old)
    assert result.passed is not bool(words)
    assert words in result.said


def test_where_nothing_is_in_production_no_signature_is_compared() -> None:
    result = check_gate(SignatureGate(signature="compatible"), candidate({}), None)
    assert result.passed
    assert "nothing is in Production yet" in result.said


def test_a_column_without_a_name_is_told_as_such() -> None:
    column = Column(None, "double")
    new = Candidate(candidate({}).version, VersionEvidence({}, "", Signature((column,), ())))
    old = Candidate(candidate({}, 1).version, VersionEvidence({}, "", Signature((), ())))
    assert "input (unnamed) is required" in check_gate(SignatureGate(signature="compatible"), new, old).said


NEEDS: dict[str, tuple[Gate, bool, bool]] = {
    "a limit reads the candidate": (AT_LEAST, True, False),
    "a comparison reads production too": (NO_WORSE, True, True),
    "a signature is compared": (SignatureGate(signature="compatible"), True, True),
    "a tag is seen without reading": (TAGGED, False, False),
}


@pytest.mark.parametrize("sentence", NEEDS)
def test_what_a_gate_reads(sentence: str) -> None:
    gate, evidence, production = NEEDS[sentence]
    assert (needs_evidence(gate), needs_production(gate)) == (evidence, production)
