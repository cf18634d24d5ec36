"""Whatever comes in, nothing comes out but values and the product's own errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.analysis.agreement import agreement
from reconciler.audit.history import version_of
from reconciler.audit.record import entry_from_json
from reconciler.desired.cron import check_cron, last_fire, next_fire
from reconciler.desired.duration import format_duration, parse_duration
from reconciler.desired.stored import NotStored, from_json, to_json
from reconciler.ensure.analysis import from_json as measurement_from_json
from reconciler.errors import ReconcilerError
from reconciler.observed import TAG_GATES, TAG_REJECTED, TAG_ROLLOUT, Release, TrafficTarget
from reconciler.plan.marks import RolloutRecord, rejection_from_tag
from reconciler.systems.inference import Malformed as NoAnswer
from reconciler.systems.inference import answer_of
from reconciler.systems.registry import answers as mlflow_answers
from reconciler.systems.registry import decode, mlmodel
from reconciler.systems.serving.answers import refusal
from reconciler.systems.serving.api import INFERENCE_SERVICES, Call
from reconciler.systems.serving.holding import held
from reconciler.systems.serving.ownership import adopted, fingerprint, needs_adoption, owner_of
from reconciler.systems.serving.translate import inference_service, revision
from tests.desired.world import model, state_of
from tests.plan.scenes import NOW, wanting

# No deadline: the machine may be busy. Time is what test_parsers.py limits.
hostile = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ODD = st.sampled_from(
    ["", "\0", "\x1b[31m", "\u202e", "²", "٣", "1-abc", "2-²", "NaN", "-1", "1e999", "9" * 40, "0001-01-01T00:00:00",
     "9999-12-31T23:59:59.999999-23:59", "2026-01-01T00:00:00+00:00", "True", "Ready", "None", "Production", "ADDED"]
)  # fmt: skip
TEXT = ODD | st.text(max_size=20)
LEAF = (
    st.none() | st.booleans() | TEXT | st.integers() | st.sampled_from([10**400, -(10**30), 2**63])
    | st.floats(allow_nan=True, allow_infinity=True)
)  # fmt: skip


def shaped(*keys: str) -> st.SearchStrategy[Any]:
    """Return JSON in which these keys often stand, with values of any type."""
    names = st.sampled_from(keys) | TEXT
    return st.recursive(
        LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=25
    )


def mutated(value: Any) -> st.SearchStrategy[Any]:
    """Return a JSON value in which any part may be something else, or missing."""
    whole: st.SearchStrategy[Any]
    if isinstance(value, dict):
        inner = {key: mutated(item) for key, item in value.items()}
        whole = st.fixed_dictionaries({}, optional=inner) | st.fixed_dictionaries(inner)
    elif isinstance(value, list):
        whole = st.tuples(*(mutated(item) for item in value)).map(list)
    else:
        whole = st.just(value)
    return st.integers(0, 9).flatmap(lambda dice: LEAF | st.just([]) | st.just({}) if dice == 0 else whole)


RECORD = {
    "release": "2-abc", "stable": "1-abc", "stableRevision": "iris-predictor-00001", "step": 1, "percent": 10,
    "since": "2026-08-20T09:00:00+00:00", "started": "2026-08-20T09:00:00+00:00", "wanted": "w", "namespace": "models",
    "reason": "r", "at": "2026-08-20T09:00:00+00:00",
}  # fmt: skip
SERVICE = {
    "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
    "metadata": {
        "name": "iris", "namespace": "models", "uid": "u", "resourceVersion": "7", "generation": 2,
        "labels": {"reconciler.dev/model": "iris", "app.kubernetes.io/managed-by": "model-reconciler"},
        "annotations": {"a": "b"}, "ownerReferences": [{"kind": "A", "name": "b", "controller": True}],
        "managedFields": [
            {"manager": "model-reconciler", "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {'k:{"a":1}': {}}}}},
            {"manager": "model-reconciler", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {"v:1": {}}}}},
        ],
    },
    "spec": {"predictor": {"labels": {"reconciler.dev/release": "2-abc"}, "canaryTrafficPercent": 10}, "a": [1]},
    "status": {
        "conditions": [{"type": "Ready", "status": "False", "reason": "x", "message": "y"}], "url": "http://x",
        "components": {"predictor": {
            "traffic": [
                {"revisionName": "r1", "percent": 90, "tag": "prev"},
                {"revisionName": "r2", "percent": 10, "latestRevision": True},
            ], "latestCreatedRevision": "r2", "latestReadyRevision": "r2",
        }},
        "modelStatus": {"transitionStatus": "InvalidSpec", "lastFailureInfo": {"reason": "a", "message": "b"}},
    },
}  # fmt: skip
STATUS = {
    "kind": "Status", "message": "no", "reason": "AlreadyExists", "code": 409,
    "details": {"causes": [{"reason": "FieldManagerConflict", "field": ".spec", "message": 'conflict with "x"'}],
                "name": "a", "kind": "namespaces", "retryAfterSeconds": 5},
}  # fmt: skip
MODELS = {
    "registered_models": [
        {"name": "iris", "tags": [{"key": "a", "value": "b"}], "aliases": [{"alias": "champion", "version": "1"}],
         "latest_versions": [{"version": "1"}]}
    ], "next_page_token": "x",
    "model_versions": [
        {"name": "iris", "version": "1", "current_stage": "Production", "creation_timestamp": 1_700_000_000_000,
         "run_id": "r", "source": "s", "status": "READY", "tags": [{"key": "a", "value": "b"}]}
    ],
    "run": {"data": {"metrics": [{"key": "a", "value": 0.5}]}},
}  # fmt: skip
MEASURED = {
    "check": "c", "release": "2-abc", "step": 1, "at": "2026-08-20T09:10:00+00:00", "compared": 1, "agreed": 1,
    "shapeCompared": 1, "shapeAgreed": 1, "job": {"name": "iris-own-1", "exitCode": 0},
    "candidate": {"requests": 20, "errors": 1, "latenciesMs": [1.0]}, "error": None,
    "metering": {"windowSeconds": 120.0, "candidate": {"query": "up", "value": 0.5, "samples": 20, "why": ""},
                 "stable": {"query": "up", "value": None, "samples": None, "why": "no series"}},
    "stable": {"requests": 20, "errors": 0, "latenciesMs": [1.0]},
}  # fmt: skip
STORED = json.loads(to_json(state_of({"m.yaml": model()}).models["iris"]))


@hostile
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_spec_or_diagnostics(data: bytes) -> None:
    state_of({"m.yaml": b"apiVersion: reconciler.dev/v1alpha1\nkind: Model\n" + data})


@hostile
@given(shaped("apiVersion", "kind", "metadata", "name", "spec", "training", "promotion", "gates", "rollout", "serving"))
def test_any_document_is_a_spec_or_diagnostics(value: Any) -> None:
    document = {"apiVersion": "reconciler.dev/v1alpha1", "kind": "Model", "metadata": {"name": "a"}, "spec": value}
    state_of({"m.yaml": json.dumps(document), "n.yaml": json.dumps(value)})


@hostile
@given(st.from_regex(r"\A([0-9*?LRH/,#-]{1,6} ){4}[0-9a-z*?L/,#-]{1,6}\Z") | st.text(max_size=30))
def test_a_cron_expression_that_is_accepted_can_say_when_it_fires(expression: str) -> None:
    try:
        check_cron(expression)
    except ValueError:
        return
    assert last_fire(expression, NOW) <= NOW < next_fire(expression, NOW)


@hostile
@given(st.from_regex(r"\A([0-9]{1,12}(ms|[smhdw])){1,3}\Z") | LEAF)
def test_a_duration_is_read_and_written_back_or_refused(text: Any) -> None:
    try:
        value = parse_duration(text)
    except ValueError:
        return
    assert parse_duration(format_duration(value)) == value


@hostile
@given(mutated(RECORD).map(json.dumps) | TEXT, mutated(RECORD).map(json.dumps) | TEXT, TEXT, st.integers(0, 4))
def test_the_planner_takes_any_tags_of_ours_that_hostile_hands_edited(
    rollout: str, rejected: str, gates: str, live: int
) -> None:
    scene = wanting().version(1).version(2)
    scene = (scene, scene.serving(1), scene.serving(2), scene.rolling(10, 1), scene.rolling(None))[live]
    hostile_tags = {TAG_ROLLOUT: rollout, TAG_REJECTED: rejected, TAG_GATES: gates}
    edited = tuple(replace(version, tags={**version.tags, **hostile_tags}) for version in scene.versions)
    replace(scene, versions=edited).evidence(1, accuracy=1.0).evidence(2, accuracy=1.0).decide()


@hostile
@given(mutated(RECORD).map(json.dumps) | TEXT)
def test_a_tag_is_a_record_of_ours_that_can_be_counted_with_or_none(text: str) -> None:
    if (record := RolloutRecord.from_tag(text)) is not None:
        assert 0 <= record.step <= 100
        assert RolloutRecord.from_tag(record.to_tag()) == record
        assert record.since + timedelta(days=3650) > datetime(2000, 1, 1, tzinfo=UTC)
    if (rejection := rejection_from_tag(text)) is not None:
        assert rejection.at.tzinfo is not None


@hostile
@given(TEXT | st.from_regex(r"\A[0-9]{1,70}-[0-9a-z]{1,70}\Z"))
def test_a_label_is_a_release_that_writes_itself_or_none(text: str) -> None:
    found = Release.parse(text)
    assert found is None or Release.parse(str(found)) == found


@hostile
@given(st.lists(st.integers(-200, 200), max_size=3), st.sampled_from([None, 0, 10, 150, -5]))
def test_the_planner_takes_any_shares_of_traffic(shares: list[int], asked: int | None) -> None:
    targets = [{"revisionName": f"iris-predictor-0000{i}", "percent": share} for i, share in enumerate(shares, 1)]
    service = {**SERVICE, "status": {"components": {"predictor": {"traffic": targets}}}}
    seen = inference_service(service).traffic
    assert sum(target.percent for target in seen) in (0, 100)
    assert all(isinstance(target, TrafficTarget) and 0 <= target.percent <= 100 for target in seen)
    scene = wanting().version(1).version(2).evidence(1, accuracy=1.0).evidence(2, accuracy=1.0).rolling(10, 1)
    assert scene.live is not None
    replace(scene, live=replace(scene.live, traffic=seen, canary_percent=asked)).decide()


@hostile
@given(mutated(SERVICE) | shaped(*SERVICE))
@pytest.mark.parametrize(
    "read",
    [inference_service, revision, owner_of, held, fingerprint, needs_adoption],
    ids=lambda read: getattr(read, "__name__", ""),
)
def test_any_object_of_a_cluster_is_read(read: Callable[[Any], object], value: Any) -> None:
    read(value if isinstance(value, dict) else {"metadata": value, "status": value, "spec": value})


@hostile
@given(mutated(SERVICE))
def test_any_object_that_is_ours_can_be_adopted(value: Any) -> None:
    if isinstance(value, dict) and needs_adoption(value):
        adopted(value)


@hostile
@given(st.sampled_from([400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 503]), mutated(STATUS) | LEAF, TEXT)
def test_any_refusal_of_a_cluster_is_an_error_of_ours(code: int, body: Any, after: str) -> None:
    call = Call("patch", INFERENCE_SERVICES, "models", "iris")
    error = refusal(call, code, body, {"Retry-After": after})
    assert isinstance(error, ReconcilerError)
    assert 0 <= (getattr(error, "retry_after", None) or 0) <= 600


@hostile
@given(st.integers(100, 599), (mutated({"error_code": "X", "message": "no"}) | LEAF).map(json.dumps), TEXT)
def test_any_refusal_of_mlflow_is_an_error_of_ours(status: int, body: str, after: str) -> None:
    error = mlflow_answers.error_of(status, {"retry-after": after}, body.encode(), "reading", ReconcilerError)  # type: ignore[arg-type]  # the base stands for both
    assert isinstance(error, ReconcilerError)
    assert 0 <= (getattr(error, "retry_after", None) or 0) <= 600


@hostile
@given(mutated(MODELS) | shaped(*MODELS, "name", "version", "value", "key", "tags"))
@pytest.mark.parametrize("read", [decode.models_of, decode.versions_of, decode.metrics_of, decode.next_page])
def test_any_answer_of_mlflow_is_read_or_malformed(read: Callable[[Any], object], value: Any) -> None:
    try:
        read(value if isinstance(value, dict) else {})
    except decode.Malformed as error:
        assert len(str(error)) < 1_000  # noqa: PT017  it need not be raised


@hostile
@given(
    shaped("signature", "inputs", "outputs", "saved_input_example_info", "artifact_path", "type", "name").map(
        json.dumps
    )
)
def test_any_mlmodel_is_read(text: str) -> None:
    found = mlmodel.parse(text.encode())
    mlmodel.signature_of(found)
    mlmodel.signature_of({"signature": {"inputs": text, "outputs": text}})
    mlmodel.example_paths(found)
    mlmodel.rows_of(text.encode())


@hostile
@given(shaped("outputs", "predictions", "data", "shape", "name"), st.sampled_from(["v1", "v2"]))
def test_any_answer_of_a_predictor_is_a_value_or_malformed(value: Any, protocol: str) -> None:
    for whole in (value, {"predictions": value, "outputs": [{"name": "a", "data": value, "shape": value}]}):
        try:
            answer = answer_of(protocol, json.dumps(whole).encode())
        except NoAnswer:
            continue
        assert agreement([answer], [answer], 0.1)[0] == 1


@hostile
@given(shaped("a"), shaped("a"))
def test_any_two_answers_can_be_compared(one: Any, other: Any) -> None:
    compared, agreed = agreement([one], [other], 0.1)
    assert 0 <= agreed <= compared <= 1


@hostile
@given(mutated(MEASURED))
def test_a_measurement_on_record_can_be_counted_with_or_is_none(value: Any) -> None:
    measured = measurement_from_json(value) if isinstance(value, dict) else None
    if measured is not None:
        assert measured.at.tzinfo is not None
        assert sum(measured.candidate.latencies_ms) >= 0 or measured.candidate.latencies_ms
        assert measured.candidate.requests + measured.stable.requests + measured.compared >= 0


@hostile
@given(mutated(STORED).map(json.dumps) | TEXT)
def test_a_stored_spec_is_read_or_refused(text: str) -> None:
    try:
        found = from_json(text)
    except NotStored:
        return
    assert isinstance(found.name, str)
    assert found.commit.at.tzinfo is not None


@hostile
@given(mutated({"version": "2", "release": "2-abc"}))
def test_the_version_that_an_entry_names_is_a_number_or_none(value: Any) -> None:
    found = version_of(value if isinstance(value, dict) else {"version": value})
    assert found is None or found >= 0


@hostile
@given(
    mutated(
        {"at": "2026-01-01T00:00:00Z", "moment": "intent", "model": "a", "action": "b", "reason": "c", "commit": "d",
         "author": "e", "result": "Done", "evidence": {}, "before": {}, "after": {}, "attemptOf": 1, "durationMs": 2}
    )
)  # fmt: skip
def test_an_entry_is_whole_or_refused(value: Any) -> None:
    try:
        entry = entry_from_json(value)
    except (KeyError, TypeError, ValueError):
        return
    assert entry.author.split(" <")[0] is not None
    assert entry.at.tzinfo is not None
