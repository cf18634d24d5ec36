"""Whose fields are whose: what an apply of ours would take from others, and an object of somebody else made ours."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import Conflict
from reconciler.manifest import LEFT_ALONE, contested
from reconciler.observed import MANAGER
from reconciler.systems.serving.kserve import KServe
from reconciler.systems.serving.ownership import held_by_others, owner_of, tracked_by
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


APP = "argocd.argoproj.io/tracking-id"
FLUX = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
FLUX_RELEASE = {"helm.toolkit.fluxcd.io/name": "iris", "helm.toolkit.fluxcd.io/namespace": "flux-system"}
HELM = {"meta.helm.sh/release-name": "iris", "meta.helm.sh/release-namespace": "models"}
BY_HELM = {"app.kubernetes.io/managed-by": "Helm"}
TRACKED: dict[str, tuple[dict[str, Any], str]] = {
    "by Argo CD's annotation": ({ANNOTATIONS: {APP: "flowers:x/y:models/iris"}}, 'Argo CD application "flowers"'),
    "by Argo CD's annotation, be it empty": ({ANNOTATIONS: {APP: ""}}, "Argo CD"),
    "by Argo CD's label": ({"labels": {"argocd.argoproj.io/instance": "flowers"}}, 'Argo CD application "flowers"'),
    "for Argo CD": ({ANNOTATIONS: {"argocd.argoproj.io/sync-wave": "2"}}, "Argo CD"),
    "for Argo CD, which may prune it": ({ANNOTATIONS: {"argocd.argoproj.io/sync-options": "Prune=true"}}, "Argo CD"),
    "by the label that any tool may write": (
        {"labels": {"app.kubernetes.io/instance": "flowers"}},
        'the application "flowers" (label app.kubernetes.io/instance)',
    ),
    "by Flux": ({"labels": FLUX}, 'Flux Kustomization "apps"'),
    "by a release of Flux, which is one of Helm too": (
        {"labels": {**BY_HELM, **FLUX_RELEASE}, ANNOTATIONS: HELM}, 'Flux HelmRelease "iris"',
    ),
    "for Flux": ({ANNOTATIONS: {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}, "Flux"),
    "by Helm": ({"labels": BY_HELM, ANNOTATIONS: HELM}, 'Helm release "iris"'),
    "by Helm's label alone": ({"labels": BY_HELM}, "Helm"),
    "by Helm's annotation alone": ({ANNOTATIONS: HELM}, 'Helm release "iris"'),
    "by Fleet": ({"labels": {"fleet.cattle.io/bundle-name": "flowers"}}, "Fleet"),
    "by a bundle of Fleet": ({ANNOTATIONS: {"objectset.rio.cattle.io/id": "default-flowers"}}, "Fleet"),
    "by Config Sync": (
        {ANNOTATIONS: {"config.k8s.io/owning-inventory": "x", "configsync.gke.io/resource-id": "y"}}, "Config Sync",
    ),
    "by the older Config Sync": ({ANNOTATIONS: {"configmanagement.gke.io/managed": "enabled"}}, "Config Sync"),
    "by kpt": ({ANNOTATIONS: {"config.k8s.io/owning-inventory": "x"}}, "kpt"),
}  # fmt: skip


@pytest.mark.parametrize("how", TRACKED)
def test_what_a_tool_tracks_is_told(how: str) -> None:
    meta, tool = TRACKED[how]
    assert tracked_by({"metadata": meta}) == owner_of({"metadata": meta}) == tool


@pytest.mark.parametrize("how", ["by Argo CD's annotation", "by Flux", "by Helm's annotation alone", "for Flux"])
def test_what_a_tool_tracks_is_never_adopted(kserve: KServe, world: World, how: str) -> None:
    meta, tool = TRACKED[how]
    world.create(foreign(world, **meta), "kubectl-create")
    eventually(lambda: seen(kserve, world))
    assert shown(kserve, world).tracked == tool

    with pytest.raises(Conflict, match="not ours"):
        kserve.adopt(meant(kserve, world))
    assert MANAGER not in {entry["manager"] for entry in world.live("iris")["metadata"]["managedFields"]}


@pytest.mark.parametrize(
    ("manager", "tool"),
    [
        ("argocd-controller", "Argo CD"),
        ("argocd-application-controller", "Argo CD"),
        ("kustomize-controller", "Flux"),
        ("helm-controller", "Flux"),
        ("helm", "Helm"),
        ("fleetagent", "Fleet"),
        ("fleet-agent", "Fleet"),
        ("configsync", "Config Sync"),
        ("configsync.gke.io", "Config Sync"),
        ("kpt", "kpt"),
    ],
)
def test_a_tool_that_leaves_no_mark_is_known_by_its_field_manager(
    kserve: KServe, world: World, manager: str, tool: str
) -> None:
    world.create(foreign(world), manager)
    eventually(lambda: seen(kserve, world))
    assert shown(kserve, world).tracked == f'{tool} (field manager "{manager}")'

    with pytest.raises(Conflict, match=f"managed by {tool}"):
        kserve.adopt(meant(kserve, world))


@pytest.mark.parametrize(
    "manager", ["kustomize", "kubectl-kustomize", "kubectl-client-side-apply", "my-helm", "manager"]
)
def test_what_people_use_and_what_has_a_similar_name_tracks_nothing(manager: str) -> None:
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    assert tracked_by({"metadata": {"managedFields": [entry]}}) == ""


def test_a_tool_that_only_wrote_a_status_tracks_nothing() -> None:
    entry = {"manager": "argocd-controller", "operation": "Update", "subresource": "status", "fieldsV1": {}}
    assert tracked_by({"metadata": {"managedFields": [entry]}}) == ""


def test_keys_of_other_domains_that_end_alike_track_nothing() -> None:
    for key in ("notargocd.argoproj.io.example.com/x", "myconfig.k8s.io/x", "internal.config.kubernetes.io/x", "x"):
        assert tracked_by({"metadata": {"labels": {key: "y"}}}) == ""


def test_what_tells_argo_cd_that_it_is_none_of_its_business_is_no_mark_of_it() -> None:
    assert tracked_by({"metadata": {"annotations": dict(LEFT_ALONE)}}) == ""


def test_a_field_that_a_tool_set_on_an_object_of_ours_takes_it_from_nobody(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    world.edit("iris", {"metadata": {"annotations": {"argocd.argoproj.io/sync-wave": "2"}}}, "kustomize-controller")
    world.edit("iris", {"metadata": {"labels": {"team": "flowers"}}}, "argocd-controller")
    eventually(lambda: len(shown(kserve, world).held) == 2)

    assert (shown(kserve, world).ours, shown(kserve, world).tracked) == (True, "")
    kserve.apply(manifest(world.namespace, "iris", version=2))


@pytest.mark.parametrize("how", ["by Argo CD's label", "by Flux", "by Helm's annotation alone"])
def test_an_object_of_ours_that_a_tool_tracks_now_is_left_alone(kserve: KServe, world: World, how: str) -> None:
    meta, tool = TRACKED[how]
    kserve.apply(manifest(world.namespace, "iris"))
    world.edit("iris", {"metadata": meta}, "kubectl-edit")
    eventually(lambda: not shown(kserve, world).ours)

    assert shown(kserve, world).owner == tool
    with pytest.raises(Conflict, match=f"managed by {tool}"):
        kserve.apply(manifest(world.namespace, "iris", version=2))


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
