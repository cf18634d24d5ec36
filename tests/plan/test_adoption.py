"""An object of somebody else, row by row: what is said of it, what would help, and when it is taken over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.desired.digest import digest
from reconciler.manifest import serving_fields
from reconciler.observed import (
    InferenceService,
    Rejection,
    Release,
    ReleaseRecord,
    Stage,
    TrafficTarget,
    Unknown,
)
from reconciler.plan.action import Adopt
from reconciler.plan.adoption import adopted_record, decide_adoption, found_version
from reconciler.plan.decision import Decision
from reconciler.plan.facts import wanted_digest
from reconciler.plan.marks import rejection_to_tag
from reconciler.status import Health, Phase
from tests.plan.scenes import CANDIDATE, NOW, STABLE, Scene, wanting
from tests.plan.test_ordering import facts_of

MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
ONE, TWO = "s3://models/iris/1", "s3://models/iris/2"
WHERE = "InferenceService models/iris"


def asking(**serving: Any) -> Scene:
    """Begin with versions 1 and 2 proven, of a spec that takes over what it finds."""
    asked = {"namespace": "models", "predictor": {"model": MODEL}, "adopt": True, **serving}
    made = wanting(serving=asked).version(1).version(2)
    return made.sees(locations={1: ONE, 2: TWO})


def fields(uri: object = ONE, **predictor: Any) -> dict[str, Any]:
    """Return what an object serves, as the adapter reads it."""
    model = {**MODEL, "storageUri": uri}
    return {"namespace": "models", "mode": "Knative", "predictor": {"model": model, **predictor}}


FOUND = InferenceService(
    "models", "iris", "uid-7", "1", 1, False, "kubectl", None, None, True, "",
    (TrafficTarget(STABLE, 100, "latest", latest=True),), STABLE, STABLE, STABLE, {STABLE: None}, found=fields(),
)  # fmt: skip
SPLIT = (TrafficTarget(CANDIDATE, 10, "latest", latest=True), TrafficTarget(STABLE, 90, "prev"))
# A target without a share is only an address.
ADDRESS = (*FOUND.traffic, TrafficTarget(CANDIDATE, 0, "prev"))


def decided(scene: Scene, **changes: Any) -> Decision:
    live = replace(FOUND, **changes)
    return decide_adoption(facts_of(replace(scene, live=live)), live)


def rejected(scene: Scene) -> Scene:
    """Let the release that would be adopted have been rolled back under these wishes."""
    serving = scene.wanted.spec.serving
    assert serving is not None
    release = adopted_record(FOUND, serving, 1).release
    mark = rejection_to_tag(Rejection(release, wanted_digest(scene.wanted.spec), "p95 doubled", NOW))
    return replace(scene, versions=()).version(1, rejected=mark).version(2)


# What an object in Standard mode has, and what is said of it.
NOT_ROLLED_OUT: Mapping[str, tuple[dict[str, Any], str]] = {
    "a transformer": ({"transformer": {}}, "transformer"),
    "an explainer and a transformer": ({"explainer": {}, "transformer": {}}, "transformer, explainer"),
    "several nodes": ({"predictor": {**fields()["predictor"], "workerSpec": {}}}, "workerSpec"),
    "several artifacts": ({"predictor": {**fields()["predictor"], "storageUris": []}}, "storageUris"),
    "no replicas, of which no canary may have more": (
        {"predictor": {**fields()["predictor"], "minReplicas": 0}}, "minReplicas: 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_ROLLED_OUT)
def test_what_no_canary_can_stand_beside_is_not_adopted_in_standard_mode(what: str) -> None:
    own, said = NOT_ROLLED_OUT[what]
    found = {**fields(), **own}
    decision = decided(asking(mode="Standard"), mode="Standard", found={**found, "mode": "Standard"})
    assert decision.stalled == f"{WHERE} cannot be adopted: nothing can be rolled out over {said} in Standard mode"
    assert decision.waits_for == "it to go without that, or to be deleted"
    assert "rolled out over" not in decided(asking(), found=found).stalled


LEFT_ALONE: Mapping[str, tuple[Scene, dict[str, Any], str, str]] = {
    "an object that a tool tracks, whatever Git says": (
        asking(), {"tracked": "Argo CD's application iris"},
        f"{WHERE} exists and is tracked by Argo CD's application iris, which would undo our changes",
        "the model to get another name, or Argo CD's application iris to let go of it without deleting it",
    ),
    "an object that Git does not say to adopt": (
        asking(adopt=False), {},
        f"{WHERE} exists and belongs to kubectl",
        "serving.adopt: true in Git, that object to be deleted, or the model to get another name",
    ),
    "an object whose owner nobody knows": (
        asking(adopt=False), {"owner": ""},
        f"{WHERE} exists and belongs to somebody else",
        "serving.adopt: true in Git, that object to be deleted, or the model to get another name",
    ),
    "an object of another mode": (
        asking(), {"found": {**fields(), "mode": "Standard"}},
        f"{WHERE} cannot be adopted: it runs in Standard mode, and Git asks for Knative",
        "serving.mode to be as it is there",
    ),
    "an object of which nothing could be read": (
        asking(), {"found": None},
        f"{WHERE} cannot be adopted: it runs in  mode, and Git asks for Knative",
        "serving.mode to be as it is there",
    ),
    "an object with a canary share": (
        asking(), {"canary_percent": 0},
        f"{WHERE} cannot be adopted: its traffic is split", "somebody to end the split",
    ),
    "an object whose traffic is split without one": (
        asking(), {"traffic": SPLIT},
        f"{WHERE} cannot be adopted: its traffic is split", "somebody to end the split",
    ),
    "an object that is not ready": (
        asking(), {"ready": False},
        f"{WHERE} cannot be adopted: it is not ready", "it to become ready, or to be deleted",
    ),
    "an object with a newer revision on its way": (
        asking(), {"latest_created": CANDIDATE},
        f"{WHERE} cannot be adopted: it is not ready", "it to become ready, or to be deleted",
    ),
    "an object that serves what nobody registered": (
        asking(), {"found": fields("s3://elsewhere/7")},
        f"{WHERE} cannot be adopted: its storageUri s3://elsewhere/7 is that of no registered version",
        "that model to be registered as a version, or the object to be deleted",
    ),
    "an object without a storageUri": (
        asking(), {"found": fields(None)},
        f"{WHERE} cannot be adopted: its storageUri (none) is that of no registered version",
        "that model to be registered as a version, or the object to be deleted",
    ),
    "an object whose predictor is no model": (
        asking(), {"found": {"mode": "Knative", "predictor": {"containers": []}}},
        f"{WHERE} cannot be adopted: its storageUri (none) is that of no registered version",
        "that model to be registered as a version, or the object to be deleted",
    ),
    "a version that passed no gates": (
        replace(asking(), versions=()).version(1, gates=None).version(2), {},
        f"{WHERE} serves version 1, which has not passed the gates",
        'promotion.version: "1" in Git, which asks for its gates, and to pass them',
    ),
    "a release that was rolled back": (
        rejected(asking()), {},
        f"{WHERE} serves {adopted_record(FOUND, asking().wanted.spec.serving, 1).release}, which was rolled back",  # type: ignore[arg-type]  # it has one
        "a commit that changes what is wanted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", LEFT_ALONE)
def test_it_is_left_alone_and_both_why_and_what_would_help_are_said(row: str) -> None:
    scene, changes, what, helps = LEFT_ALONE[row]
    decision = decided(scene, **changes)
    assert decision.action is None
    assert (decision.stalled, decision.waits_for) == (what, helps)
    assert (decision.cause, decision.phase, decision.health) == ("NotOurs", Phase.IDLE, Health.UNKNOWN)


TAKEN: Mapping[str, tuple[Callable[[Scene], Scene], dict[str, Any], int]] = {
    "the version whose artifact it serves": (lambda scene: scene, {}, 1),
    "another version of it": (lambda scene: scene, {"found": fields(TWO)}, 2),
    "the newest of two with the same artifact": (lambda scene: scene.sees(locations={2: ONE, 1: ONE}), {}, 2),
    "an artifact that is written with a slash at its end there": (
        lambda scene: scene, {"found": fields(ONE + "/")}, 1,
    ),
    "an artifact that is written with a slash at its end here": (
        lambda scene: scene.sees(locations={1: ONE + "/"}), {}, 1,
    ),
    "one with a second address": (lambda scene: scene, {"traffic": ADDRESS}, 1),
}  # fmt: skip


@pytest.mark.parametrize("row", TAKEN)
def test_it_is_taken_over_as_the_release_that_it_serves(row: str) -> None:
    change, changes, version = TAKEN[row]
    scene = change(asking())
    decision = decided(scene, **changes)
    assert decision.action == Adopt(scene.release(version), "uid-7")
    assert decision.reason == f"because Git says adopt, and its storageUri is that of version {version}"
    assert decision.phase is Phase.DEPLOYING


def test_an_object_that_is_being_deleted_is_waited_for() -> None:
    decision = decided(asking(), deleting=True)
    assert (decision.action, decision.stalled) == (None, "")
    assert decision.waits_for == "the InferenceService to be deleted"
    assert decision.phase is Phase.DEPLOYING


def test_what_is_tracked_or_not_asked_for_is_told_even_while_it_is_being_deleted() -> None:
    assert "belongs to kubectl" in decided(asking(adopt=False), deleting=True).stalled
    assert "is tracked by Helm" in decided(asking(), deleting=True, tracked="Helm").stalled


def test_locations_that_cannot_be_read_are_waited_for() -> None:
    scene = asking().sees(locations=Unknown("MLflow does not answer", NOW))
    decision = decided(scene)
    assert (decision.action, decision.stalled) == (None, "")
    assert decision.waits_for == "the versions' locations: MLflow does not answer"
    assert (decision.phase, decision.health) == (Phase.DEPLOYING, Health.UNKNOWN)
    assert found_version(facts_of(replace(scene, live=FOUND)), FOUND) is None


def test_an_artifact_at_no_address_is_not_that_of_an_object_without_one() -> None:
    scene = asking().sees(locations={1: ""})
    assert found_version(facts_of(replace(scene, live=FOUND)), replace(FOUND, found=fields(""))) is None


def test_an_object_of_which_nothing_could_be_read_serves_no_version() -> None:
    live = replace(FOUND, found=None)
    assert found_version(facts_of(replace(asking(), live=live)), live) is None


def test_a_spec_that_serves_nothing_adopts_nothing() -> None:
    assert "belongs to kubectl" in decided(wanting(serving=None).version(1)).stalled


def test_a_location_of_a_version_that_is_gone_finds_none() -> None:
    scene = asking().sees(locations={9: ONE})
    assert decided(scene).stalled.endswith("is that of no registered version")


def record(found: dict[str, Any] | None, **serving: Any) -> tuple[ReleaseRecord, dict[str, Any]]:
    """Return the record of an object, and the fields that Git asks for."""
    wanted = asking(**serving).wanted.spec.serving
    assert wanted is not None
    return adopted_record(replace(FOUND, found=found), wanted, 1), serving_fields(wanted)


def test_where_the_object_has_all_that_git_asks_for_the_release_is_git_s_own() -> None:
    made, wanted = record(fields(minReplicas=3))
    assert made == ReleaseRecord(Release(1, digest(wanted)), ONE, wanted)


OWN: Mapping[str, dict[str, Any]] = {
    "a field with another value": fields(minReplicas=3),
    "a field that it does not have": fields(),
    "a part that is no mapping": {**fields(minReplicas=1), "predictor": {"minReplicas": 1, "model": {
        "modelFormat": "a name", "protocolVersion": "v2", "storageUri": ONE}}},
}  # fmt: skip


@pytest.mark.parametrize("row", OWN)
def test_where_it_differs_it_serves_on_under_its_own_fields(row: str) -> None:
    predictor = {"model": MODEL, "minReplicas": 1}
    made, wanted = record(OWN[row], predictor=predictor)
    found = OWN[row]["predictor"]
    kept = {**found, "model": {name: value for name, value in found["model"].items() if name != "storageUri"}}
    assert made.serving == {**OWN[row], "predictor": kept}
    assert made.serving != wanted
    assert made.release == Release(1, digest(made.serving))
    assert made.storage_uri == ONE


def test_a_version_in_the_archive_is_adopted_as_well() -> None:
    scene = replace(asking(), versions=()).version(1, Stage.ARCHIVED)
    assert isinstance(decided(scene).action, Adopt)


def test_locations_need_no_reading_where_nothing_is_adopted() -> None:
    scene = asking(adopt=False).sees(locations=Unknown("MLflow does not answer", NOW))
    assert "belongs to" in decided(scene).stalled


def test_gates_under_earlier_rules_count() -> None:
    scene = replace(asking(), versions=()).version(1, gates="passed earlier")
    assert isinstance(decided(scene).action, Adopt)


@pytest.mark.parametrize(("own", "name"), [({"name": "theirs"}, "theirs"), ({}, "")])
def test_in_standard_mode_the_predictor_keeps_its_name_and_its_release_is_none_of_it(
    own: dict[str, Any], name: str
) -> None:
    wanted = asking(mode="Standard").wanted.spec.serving
    assert wanted is not None
    found = {**fields(**own), "mode": "Standard"}
    made = adopted_record(replace(FOUND, found=found, mode="Standard"), wanted, 1)
    assert made == ReleaseRecord(
        Release(1, digest(serving_fields(wanted))),
        ONE,
        {**serving_fields(wanted), "predictor": {**serving_fields(wanted)["predictor"], "name": name}},
    )


def test_in_knative_mode_a_predictor_gets_no_name() -> None:
    made, _ = record(fields())
    assert "name" not in made.serving["predictor"]
