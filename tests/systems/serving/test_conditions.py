"""Is it live, and if not: will it ever be? Every reason of KServe, and of Knative's conditions, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.observed import Failure
from reconciler.systems.serving.conditions import failure_of, is_ready, is_routed, message_of

Json = dict[str, Any]
UNTIL_THE_SPEC_CHANGES, AFTER_A_DEADLINE, PENDING = "until the spec changes", "after a deadline", "pending"
SAID = "as KServe says it"
TRANSITIONS = ("UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec")
LOADS = (
    "ModelLoadFailed", "RuntimeUnhealthy", "RuntimeDisabled", "NoSupportingRuntime", "RuntimeNotRecognized",
    "InvalidPredictorSpec",
)  # fmt: skip
CONDITIONS = (
    "LatestDeploymentReady", "PredictorConfigurationReady", "PredictorReady", "TransformerReady", "ExplainerReady",
    "PredictorRouteReady", "RoutesReady", "IngressReady", "Ready",
)  # fmt: skip


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def model(transition: str, reason: str) -> Json:
    return {"modelStatus": {"transitionStatus": transition, "lastFailureInfo": {"reason": reason, "message": SAID}}}


def revisions(created: str, ready: str) -> Json:
    return {"components": {"predictor": {"latestCreatedRevision": created, "latestReadyRevision": ready}}}


def verdict(status: Json) -> str:
    failure = failure_of(status)
    if failure is None:
        return PENDING
    return UNTIL_THE_SPEC_CHANGES if failure.terminal else AFTER_A_DEADLINE


# The pairs that fail; every other pair of a transition and a reason is pending, for reasons are never cleared.
LOAD_FAILURES: Mapping[tuple[str, str], str] = {
    ("InvalidSpec", "NoSupportingRuntime"): UNTIL_THE_SPEC_CHANGES,
    ("InvalidSpec", "InvalidPredictorSpec"): UNTIL_THE_SPEC_CHANGES,
    ("InvalidSpec", "RuntimeDisabled"): UNTIL_THE_SPEC_CHANGES,
    ("InvalidSpec", "RuntimeNotRecognized"): AFTER_A_DEADLINE,
    ("InvalidSpec", "ModelLoadFailed"): AFTER_A_DEADLINE,
    ("InvalidSpec", "RuntimeUnhealthy"): AFTER_A_DEADLINE,
    **{("BlockedByFailedLoad", reason): AFTER_A_DEADLINE for reason in LOADS},
}


@pytest.mark.parametrize("reason", LOADS)
@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_model_that_does_not_load(transition: str, reason: str) -> None:
    status = model(transition, reason)
    assert verdict(status) == LOAD_FAILURES.get((transition, reason), PENDING)
    if (transition, reason) in LOAD_FAILURES:
        assert failure_of(status) == Failure(reason, SAID, verdict(status) == UNTIL_THE_SPEC_CHANGES)


@pytest.mark.parametrize("transition", ["InvalidSpec", "BlockedByFailedLoad"])
def test_a_model_that_does_not_load_and_nobody_says_why(transition: str) -> None:
    assert failure_of({"modelStatus": {"transitionStatus": transition}}) == Failure(transition, "", terminal=False)


# What a condition that is False may say. Most of it passes: pods are scheduled, images pulled, nodes added.
CONDITION_REASONS: Mapping[str, str] = {
    "ReconcileFailed": AFTER_A_DEADLINE,
    "ProgressDeadlineExceeded": AFTER_A_DEADLINE,
    "RevisionFailed": AFTER_A_DEADLINE,
    "InternalError": AFTER_A_DEADLINE,
    "RevisionMissing": PENDING,
    "ContainerMissing": PENDING,
    "Deploying": PENDING,
    "Unscheduled": PENDING,
    "PredictorConfigurationReady not ready": PENDING,
    "": PENDING,
}


@pytest.mark.parametrize("reason", CONDITION_REASONS)
@pytest.mark.parametrize("kind", CONDITIONS)
def test_a_condition_that_is_false(kind: str, reason: str) -> None:
    status = {"conditions": [condition(kind, "False", reason, SAID)]}
    assert verdict(status) == CONDITION_REASONS[reason]
    assert failure_of(status) in (None, Failure(reason, SAID, terminal=False))


@pytest.mark.parametrize("state", ["True", "Unknown"])
@pytest.mark.parametrize("reason", CONDITION_REASONS)
def test_a_condition_that_is_not_false_fails_nothing_whatever_its_reason(reason: str, state: str) -> None:
    assert verdict({"conditions": [condition("Ready", state, reason, SAID)]}) == PENDING


@pytest.mark.parametrize("kind", ["Stopped", "CanaryPredictorReady", "Novel"])
def test_conditions_that_are_no_part_of_being_ready_fail_nothing(kind: str) -> None:
    assert verdict({"conditions": [condition(kind, "False", "RevisionFailed", SAID)]}) == PENDING


def test_nothing_reported_is_pending() -> None:
    assert verdict({}) == PENDING
    assert message_of({}) == "KServe has not reported a status yet"


def test_of_several_failures_the_one_nearest_to_the_cause_is_told() -> None:
    conditions = [condition(kind, "False", "RevisionFailed", kind) for kind in reversed(CONDITIONS)]
    for near, kind in enumerate(CONDITIONS):
        failure = failure_of({"conditions": conditions[: len(CONDITIONS) - near]})
        assert failure == Failure("RevisionFailed", kind, terminal=False)


def test_what_the_model_says_is_nearer_to_the_cause_than_any_condition() -> None:
    status = {
        **model("InvalidSpec", "NoSupportingRuntime"),
        "conditions": [condition("Ready", "False", "ReconcileFailed")],
    }
    assert failure_of(status) == Failure("NoSupportingRuntime", SAID, terminal=True)
    assert message_of(status) == f"NoSupportingRuntime: {SAID}"


READY: Mapping[str, tuple[Json, bool]] = {
    "ready, and the newest revision is": ({"conditions": [condition("Ready")], **revisions("r2", "r2")}, True),
    "ready, but by an older revision": ({"conditions": [condition("Ready")], **revisions("r2", "r1")}, False),
    "not ready": ({"conditions": [condition("Ready", "False")], **revisions("r2", "r2")}, False),
    "nobody knows": ({"conditions": [condition("Ready", "Unknown")], **revisions("r2", "r2")}, False),
    "another condition is ready": ({"conditions": [condition("PredictorReady")], **revisions("r2", "r2")}, False),
    "nothing is reported": ({}, False),
    "observedGeneration alone": ({"observedGeneration": 7, **revisions("r2", "r2")}, False),
}  # fmt: skip


@pytest.mark.parametrize("row", READY)
def test_it_is_ready_only_by_its_newest_revision(row: str) -> None:
    status, ready = READY[row]
    assert is_ready(status) is ready


def test_a_failure_of_long_ago_does_not_keep_it_from_being_ready() -> None:
    status = {"conditions": [condition("Ready")], **revisions("r2", "r2"), **model("UpToDate", "ModelLoadFailed")}
    assert (is_ready(status), failure_of(status), message_of(status)) == (True, None, "")


ROUTED: Mapping[str, tuple[list[Json], bool]] = {
    "Knative has programmed the predictor's route": ([condition("PredictorRouteReady")], True),
    "Knative has not programmed it yet": ([condition("PredictorRouteReady", "Unknown", "IngressNotConfigured")], False),
    "Knative cannot program it": ([condition("PredictorRouteReady", "False", "RevisionMissing")], False),
    "only all routes together are told": ([condition("RoutesReady", "Unknown")], False),
    "a transformer's route is not, but the predictor's is": (
        [condition("RoutesReady", "False"), condition("PredictorRouteReady")], True,
    ),
    "nobody says anything of routes": ([condition("Ready")], True),
}  # fmt: skip


@pytest.mark.parametrize("row", ROUTED)
def test_shares_count_as_routed_when(row: str) -> None:
    told, routed = ROUTED[row]
    assert is_routed({"conditions": told}) is routed
