"""Specs that survive a restart."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.documents import ModelSpec
from reconciler.desired.state import Commit, DesiredModel, Diagnostic
from reconciler.desired.stored import NotStored, from_json, to_json
from tests.desired.world import PIPELINE, model, state_of

FULL = """
training:
  kubeflowPipeline: {package: p.yaml}
  parameters: {depth: 4, rate: 0.5}
  triggers: {schedule: "0 3 * * 1", maxAge: 30d}
promotion:
  version: "7"
  gates:
    - {metric: f1, min: 0.9}
    - {metric: f1, against: production, maxRegression: 0.01}
    - {tag: approved, equals: "yes"}
    - {signature: compatible}
serving:
  namespace: models
  predictor:
    model: {modelFormat: {name: sklearn}, env: null}
rollout:
  steps: [{traffic: 10, hold: 90s}, {traffic: 50, hold: 1h30m}]
  deadline: 3h
  analysis:
    - name: example
      probe: {inputs: {from: inputExample}, maxLatencyP95: 250ms}
    - name: answers
      probe: {inputs: {file: rows.json}, agreement: {with: expected, min: 0.9}}
"""


def full() -> DesiredModel:
    """Return a model that uses every kind of field."""
    files = {"m.yaml": model("iris", FULL), "p.yaml": PIPELINE, "rows.json": '{"inputs": [[1]], "expected": [2]}'}
    state = state_of(files)
    assert state.diagnostics == ()
    return state.models["iris"]


def test_stored_model_comes_back_equal() -> None:
    stored = full()
    assert from_json(to_json(stored)) == stored


def test_storing_twice_gives_the_same_text() -> None:
    text = to_json(full())
    assert to_json(from_json(text)) == text


@given(
    st.text(max_size=10), st.dictionaries(st.text(max_size=5), st.binary(max_size=20)), st.integers(0, 9), st.booleans()
)
def test_any_model_comes_back_equal(text: str, files: dict[str, bytes], line: int, removed: bool) -> None:
    by = Commit(text, text, datetime(2026, 1, 1, tzinfo=UTC), text)
    stored = DesiredModel("a", ModelSpec(), by, text, line, {text: text}, files, (), removed)
    assert from_json(to_json(stored)) == stored


def test_what_is_stale_is_not_stored() -> None:
    by = Commit("1", "a", datetime(2026, 1, 1, tzinfo=UTC), "")
    stale = DesiredModel("a", ModelSpec(), by, "a.yaml", stale=(Diagnostic("x", "y", "z"),))
    assert from_json(to_json(stale)).stale == ()


BAD = {
    "no JSON": "{",
    "another format": to_json(full()).replace('"format":1', '"format":2'),
    "no spec": "{}",
    "a list": "[]",
    "a spec that is not valid": json.dumps({**json.loads(to_json(full())), "spec": {"x": 1}}),
    "files that are no base64": json.dumps({**json.loads(to_json(full())), "files": {"a": "*"}}),
}


@pytest.mark.parametrize("case", BAD)
def test_text_that_is_no_stored_model_is_refused(case: str) -> None:
    with pytest.raises(NotStored):
        from_json(BAD[case])
