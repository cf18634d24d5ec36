"""Whose fields are whose: what an apply of ours would take from others, and an object of somebody else made ours."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import Conflict
from reconciler.manifest import contested
from reconciler.observed import MANAGER
from reconciler.systems.serving.kserve import KServe
from reconciler.systems.serving.ownership import held_by_others, tracked_by
from tests.systems.serving.test_kserve import seen, shown
from tests.systems.serving.world import World, eventually, manifest

ANNOTATIONS = "annotations"

# What stands in the object beside, or instead of, what we applied, and is no drift.
DEFAULTS: dict[str, dict[str, Any]] = {
    "a model without a name has an empty one": {"spec": {"predictor": {"model": {"name": ""}}}},
    "a model without resources has empty ones": {"spec": {"predictor": {"model": {"resources": {}}}}},
    "a runtime gives the model its protocol": {"spec": {"predictor": {"model": {"runtime": "kserve-mlserver"}}}},
    "the model's format stands in an annotation": {"metadata": {"annotations": {"modelFormat": "mlflow"}}},
    "the controller adds its finalizer": {"metadata": {"finalizers": ["inferenceservice.finalizers"]}},
    "an autoscaler sets the most replicas": {"spec": {"predictor": {"maxReplicas": 5}}},
    "a scaler says what it scales by": {"spec": {"predictor": {"scaleMetric": "concurrency", "scaleTarget": 10}}},
    "a tool leaves an annotation of its own": {"metadata": {"annotations": {"example.com/seen": "yes"}}},
    "a tool leaves a label of its own": {"metadata": {"labels": {"example.com/team": "flowers"}}},
    "the webhook defaults the time-out": {"spec": {"predictor": {"timeout": 60}}},
    "the webhook writes whom to trust": {"spec": {"predictor": {"serviceAccountName": "default"}}},
}


@pytest.mark.parametrize("what", DEFAULTS)
def test_what_others_write_beside_our_fields_is_no_drift(kserve: KServe, world: World, what: str) -> None:
    wanted = manifest(world.namespace, "iris")
    kserve.apply(wanted)
    before = world.live("iris")["metadata"]["resourceVersion"]
    world.edit("iris", DEFAULTS[what], "kserve-controller-manager")
    eventually(lambda: shown(kserve, world).resource_version != before)

    assert kserve.drift(wanted) == ()
    assert contested(wanted, shown(kserve, world).held) == ()


def test_a_service_of_ours_is_told_to_argo_cd_as_none_of_its_business(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))

    annotations = world.live("iris")["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/compare-options"] == "IgnoreExtraneous"
    assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false"


def test_a_field_that_a_person_took_is_shown_with_his_name_and_an_apply_is_refused(
    kserve: KServe, world: World
) -> None:
    wanted = manifest(world.namespace, "iris")
    kserve.apply(wanted)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 4}}}, "kubectl-edit")
    eventually(lambda: shown(kserve, world).held)

    found = contested(wanted, shown(kserve, world).held)
    assert [(f.dotted, f.manager, f.value) for f in found] == [("spec.predictor.minReplicas", "kubectl-edit", 4)]
    with pytest.raises(Conflict, match="kubectl-edit"):
        kserve.apply(wanted)


def test_taking_over_makes_the_field_ours_again(kserve: KServe, world: World) -> None:
    wanted = manifest(world.namespace, "iris")
    kserve.apply(wanted)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 4}}}, "kubectl-edit")
    eventually(lambda: shown(kserve, world).held)

    kserve.take_over(wanted)

    assert contested(wanted, shown(kserve, world).held) == ()
    assert world.live("iris")["spec"]["predictor"]["minReplicas"] == 1
    kserve.apply(manifest(world.namespace, "iris", version=2))


def foreign(world: World, **meta: Any) -> dict[str, Any]:
    body = manifest(world.namespace, "iris")
    body["metadata"] |= {"labels": {}, **meta}
    del body["spec"]["predictor"]["labels"]
    return body


def meant(kserve: KServe, world: World) -> dict[str, Any]:
    found, wanted = shown(kserve, world), manifest(world.namespace, "iris")
    wanted["metadata"] |= {"uid": found.uid, "resourceVersion": found.resource_version}
    return wanted


def test_an_adopted_service_is_ours_and_its_next_version_is_no_conflict(kserve: KServe, world: World) -> None:
    world.create(foreign(world), "kubectl-create")
    eventually(lambda: seen(kserve, world))
    before = shown(kserve, world)
    assert (before.ours, before.tracked, (before.found or {}).get("mode")) == (False, "", "Knative")

    kserve.adopt(meant(kserve, world))

    after = shown(kserve, world)
    assert (after.ours, after.owner, after.uid) == (True, MANAGER, before.uid)
    kserve.apply(manifest(world.namespace, "iris", version=2))
    assert world.live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/2"


TRACKED: dict[str, dict[str, Any]] = {
    "by annotation": {ANNOTATIONS: {"argocd.argoproj.io/tracking-id": "flowers:serving.kserve.io/x:models/iris"}},
    "by label": {"labels": {"app.kubernetes.io/instance": "flowers"}},
    "by Helm": {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
}


@pytest.mark.parametrize("how", TRACKED)
def test_what_a_tool_tracks_is_never_adopted(kserve: KServe, world: World, how: str) -> None:
    world.create(foreign(world, **TRACKED[how]), "argocd-controller")
    eventually(lambda: seen(kserve, world))
    assert shown(kserve, world).tracked

    with pytest.raises(Conflict, match="not ours"):
        kserve.adopt(meant(kserve, world))
    assert MANAGER not in {entry["manager"] for entry in world.live("iris")["metadata"]["managedFields"]}


def test_what_changed_since_it_was_looked_at_is_not_adopted(kserve: KServe, world: World) -> None:
    world.create(foreign(world), "kubectl-create")
    eventually(lambda: seen(kserve, world))
    wanted = meant(kserve, world)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 4}}}, "kubectl-edit")

    with pytest.raises(Conflict):
        kserve.adopt(wanted)
    assert world.live("iris")["spec"]["predictor"]["minReplicas"] == 4


def test_fields_in_lists_are_told_by_their_keys() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:predictor": {"f:env": {'k:{"name":"A"}': {".": {}, "f:value": {}}}}}}
    obj = {
        "metadata": {"managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": fields}]},
        "spec": {"predictor": {"env": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}]}},
    }
    held = held_by_others(obj)
    assert [(f.dotted, f.value) for f in held] == [('spec.predictor.env[{"name":"A"}].value', "2")]
    assert contested({"spec": {"predictor": {"env": [{"name": "A", "value": "3"}]}}}, held) == held
    assert contested({"spec": {"predictor": {"env": [{"name": "A", "value": "2"}]}}}, held) == ()
    assert contested({"spec": {"predictor": {"env": [{"name": "C", "value": "3"}]}}}, held) == ()


def test_nobody_tracks_what_only_people_touched() -> None:
    assert tracked_by({"metadata": {"labels": {"team": "x"}, "annotations": {}}}) == ""
