"""Kubernetes JSON to observed values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.manifest import inference_service as rendered
from reconciler.observed import LABEL_MODEL, LABEL_RELEASE, MANAGER, Failure, Release, TrafficTarget
from reconciler.systems.serving.ownership import adopted, fingerprint, needs_adoption
from reconciler.systems.serving.translate import inference_service, revision
from tests.systems.serving.world import ready_status, record

Json = dict[str, Any]


def service(status: Json | None = None, **metadata: Any) -> Json:
    """Return an InferenceService of ours as the API shows it."""
    body = rendered("iris", record("models", 2), 10)
    entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    meta = {**body["metadata"], "uid": "u", "resourceVersion": "7", "generation": 3, "managedFields": [entry]}
    return {**body, "metadata": {**meta, **metadata}, **({"status": status} if status is not None else {})}


def managed(*managers: str) -> list[Json]:
    return [{"manager": name, "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}} for name in managers]


def test_what_spec_asks_for() -> None:
    found = inference_service(service())

    assert (found.namespace, found.name, found.uid, found.resource_version) == ("models", "iris", "u", "7")
    assert (found.generation, found.canary_percent, found.release) == (3, 10, record("models", 2).release)
    assert (found.traffic, found.latest_created, found.revisions, found.deleting) == ((), None, None, False)


def test_a_split_in_the_middle_of_a_canary() -> None:
    predictor = {
        "latestCreatedRevision": "iris-predictor-00002",
        "latestReadyRevision": "iris-predictor-00002",
        "latestRolledoutRevision": "iris-predictor-00001",
        "traffic": [
            {"latestRevision": True, "percent": 10, "tag": "latest", "url": "http://latest-iris.example.com"},
            {"latestRevision": False, "percent": 90, "revisionName": "iris-predictor-00001", "tag": "prev"},
        ],
    }
    found = inference_service(service({**ready_status(""), "components": {"predictor": predictor}}))

    assert found.traffic == (
        TrafficTarget("iris-predictor-00002", 10, "latest", latest=True, url="http://latest-iris.example.com"),
        TrafficTarget("iris-predictor-00001", 90, "prev"),
    )
    assert found.latest_rolledout == "iris-predictor-00001"
    assert found.ready


def test_a_candidate_at_nothing_is_still_a_target() -> None:
    target = {"latestRevision": True, "revisionName": "r2", "tag": "latest"}
    found = inference_service(service({"components": {"predictor": {"traffic": [target]}}}))

    assert found.traffic == (TrafficTarget("r2", 0, "latest", latest=True),)


def test_shares_that_knative_writes_before_it_programs_them_are_told_as_such() -> None:
    target = {"latestRevision": True, "revisionName": "r2", "percent": 100}
    status = {
        "components": {"predictor": {"traffic": [target]}},
        "conditions": conditions(("PredictorRouteReady", "Unknown", "IngressNotConfigured", "")),
    }
    found = inference_service(service(status))

    assert (found.routed, found.traffic) == (False, (TrafficTarget("r2", 100, latest=True),))
    assert inference_service(service()).routed


def conditions(*found: tuple[str, str, str, str]) -> list[Json]:
    names = ("type", "status", "reason", "message")
    return [{name: value for name, value in zip(names, one, strict=True) if value} for one in found]


def load_failure(transition: str, reason: str) -> Json:
    info = {"reason": reason, "message": "no runtime takes mlflow"}
    return {"modelStatus": {"transitionStatus": transition, "lastFailureInfo": info}}


READY = {"type": "Ready", "status": "True"}
STATES = {
    "no status is not ready": ({}, False, None, "KServe has not reported a status yet"),
    "all is well": (ready_status("r1"), True, None, ""),
    "a newer revision is on its way": (
        {
            "conditions": [READY],
            "components": {"predictor": {"latestCreatedRevision": "r2", "latestReadyRevision": "r1"}},
        },
        False,
        None,
        "",
    ),
    "an old failure is never cleared and says nothing": (
        {**ready_status("r1"), **load_failure("UpToDate", "ModelLoadFailed")},
        True,
        None,
        "",
    ),
    "no runtime: only another spec helps": (
        {**ready_status("r1"), **load_failure("InvalidSpec", "NoSupportingRuntime")},
        True,
        Failure("NoSupportingRuntime", "no runtime takes mlflow", terminal=True),
        "NoSupportingRuntime: no runtime takes mlflow",
    ),
    "an unknown runtime may yet be installed": (
        {**ready_status("r1"), **load_failure("InvalidSpec", "RuntimeNotRecognized")},
        True,
        Failure("RuntimeNotRecognized", "no runtime takes mlflow", terminal=False),
        "RuntimeNotRecognized: no runtime takes mlflow",
    ),
    "a model that does not load may yet load": (
        {
            "conditions": [{"type": "Ready", "status": "False"}],
            **load_failure("BlockedByFailedLoad", "ModelLoadFailed"),
        },
        False,
        Failure("ModelLoadFailed", "no runtime takes mlflow", terminal=False),
        "ModelLoadFailed: no runtime takes mlflow",
    ),
    "a failed revision names its cause": (
        {
            "conditions": conditions(
                ("Ready", "False", "RevisionFailed", "passed on"),
                ("LatestDeploymentReady", "False", "RevisionFailed", 'Revision "r2" failed: exit code 1'),
            )
        },
        False,
        Failure("RevisionFailed", 'Revision "r2" failed: exit code 1', terminal=False),
        'RevisionFailed: Revision "r2" failed: exit code 1',
    ),
    "what is merely not ready yet is no failure": (
        {
            "conditions": conditions(
                ("Ready", "False", "", ""),
                ("PredictorReady", "Unknown", "RevisionMissing", "Configuration is waiting for a Revision"),
            )
        },
        False,
        None,
        "PredictorReady: RevisionMissing: Configuration is waiting for a Revision",
    ),
}


@pytest.mark.parametrize(("status", "ready", "failure", "message"), STATES.values(), ids=STATES.keys())
def test_states(status: Json, ready: bool, failure: Failure | None, message: str) -> None:
    found = inference_service(service(status))

    assert (found.ready, found.failure, found.message) == (ready, failure, message)


OURS = {"app.kubernetes.io/managed-by": MANAGER, LABEL_MODEL: "iris"}
OWNERS: dict[str, tuple[Json, str]] = {
    "we made it and labelled it": ({}, MANAGER),
    "we made it, somebody edited it": ({"managedFields": managed(MANAGER, "kubectl-edit")}, MANAGER),
    "another tool's labels": (
        {"labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "iris-prod"}},
        'Helm release "iris-prod"',
    ),
    "Argo CD's annotation beats our labels": (
        {"annotations": {"argocd.argoproj.io/tracking-id": "shop:serving.kserve.io/InferenceService:models/iris"}},
        'Argo CD application "shop"',
    ),
    "Argo CD's label": (
        {"labels": {"app.kubernetes.io/instance": "shop"}},
        'the application "shop" (label app.kubernetes.io/instance)',
    ),
    "an owner object": (
        {"labels": {}, "ownerReferences": [{"kind": "Pipeline", "name": "nightly", "controller": True}]},
        'Pipeline "nightly"',
    ),
    "a person with kubectl, KServe's own writes aside": (
        {"labels": {}, "managedFields": managed("kubectl-client-side-apply", "manager")},
        'field manager "kubectl-client-side-apply"',
    ),
    "our labels copied by a person": (
        {"labels": OURS, "managedFields": managed("kubectl-create")},
        'field manager "kubectl-create"',
    ),
    "our labels taken off": ({"labels": {}}, "nobody named: our labels are missing"),
    "only a status is ours": (
        {"managedFields": [{"manager": MANAGER, "operation": "Update", "subresource": "status", "fieldsV1": {}}]},
        "nobody named",
    ),
}


@pytest.mark.parametrize(("metadata", "owner"), OWNERS.values(), ids=OWNERS.keys())
def test_owners(metadata: Json, owner: str) -> None:
    found = inference_service(service(**metadata))

    assert (found.owner, found.ours) == (owner, owner == MANAGER)


@pytest.mark.parametrize(
    "obj",
    [{}, {"metadata": None}, {"metadata": {"labels": []}, "spec": "x", "status": {"conditions": {}, "components": 1}}],
    ids=["empty", "null metadata", "wrong types"],
)
def test_a_misshapen_object_is_read_as_far_as_it_goes(obj: Json) -> None:
    found = inference_service(obj)

    assert (found.ours, found.ready, found.release) == (False, False, None)


@pytest.mark.parametrize(
    ("said", "year"),
    [
        ("2026-11-22T10:00:00Z", 2026),
        ("2026-11-22T10:00:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("soon", None),
        (5, None),
    ],
)
def test_an_apply_was_made_at_a_time_that_can_be_counted_from(said: object, year: int | None) -> None:
    entry = {"manager": "model-reconciler", "operation": "Apply", "time": said}
    at = inference_service({"metadata": {"name": "iris", "managedFields": [entry]}}).applied_at
    assert (at.year if at else None) == year


def test_a_revision_names_its_service_and_release() -> None:
    labels = {"serving.kserve.io/inferenceservice": "iris", "component": "predictor", LABEL_RELEASE: "2-4f2c1ab09d"}
    found = revision({"metadata": {"namespace": "models", "name": "iris-predictor-00002", "labels": labels}})

    assert found is not None
    assert (found.service, found.name, found.release) == (
        ("models", "iris"),
        "iris-predictor-00002",
        Release(2, "4f2c1ab09d"),
    )


def test_a_revision_of_a_transformer_is_not_one_of_the_model() -> None:
    labels = {"serving.kserve.io/inferenceservice": "iris", "component": "transformer"}

    assert revision({"metadata": {"namespace": "models", "name": "iris-transformer-00001", "labels": labels}}) is None


def test_a_fingerprint_is_blind_to_status_and_time() -> None:
    entry = managed(MANAGER)[0]
    status = {"manager": "manager", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}
    before = fingerprint(service(managedFields=[{**entry, "time": "2026-08-21T10:00:00Z"}]))

    assert before == fingerprint(service(ready_status("r1"), resourceVersion="8", managedFields=[entry, status]))
    assert before != fingerprint(service(generation=4, managedFields=[entry]))
    assert before != fingerprint(service(managedFields=[entry, *managed("kubectl-edit")]))


def test_adoption_unites_the_fields_of_create_and_apply() -> None:
    create = {"manager": MANAGER, "operation": "Update", "fieldsV1": {"f:spec": {"f:a": {}, "f:b": {"f:c": {}}}}}
    apply = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:b": {"f:d": {}}}}}
    other = managed("kubectl-edit")[0]
    obj = service(managedFields=[apply, create, other])

    assert needs_adoption(obj)
    moved = adopted(obj)
    assert moved == [
        {**apply, "fieldsV1": {"f:spec": {"f:a": {}, "f:b": {"f:c": {}, "f:d": {}}}}},
        other,
    ]
    assert not needs_adoption(service(managedFields=moved))


def test_a_revision_that_says_it_is_not_ready_has_failed_and_one_that_does_not_know_has_not() -> None:
    labels = {"serving.kserve.io/inferenceservice": "iris"}
    obj = {"metadata": {"namespace": "models", "name": "r", "labels": labels}}
    for status, failed in (("False", True), ("Unknown", False), ("True", False)):
        said = {"type": "Ready", "status": status, "lastTransitionTime": "2026-08-20T09:00:00Z"}
        found = revision({**obj, "status": {"conditions": [{"type": "Active", "status": "False"}, said]}})
        assert found is not None
        assert (found.failed, found.since) == (failed, datetime(2026, 8, 20, 9, tzinfo=UTC) if failed else None)
