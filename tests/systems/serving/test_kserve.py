"""The adapter against an API server: the embedded one, or the one that --kubeconfig names."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import Conflict, Refused, Transient
from reconciler.observed import LABEL_RELEASE, MANAGER, InferenceService, Known, TrafficTarget
from reconciler.systems.serving.kserve import KServe
from tests.systems.serving.conftest import Serve
from tests.systems.serving.world import World, eventually, manifest, ready_status, release


def seen(kserve: KServe, world: World, name: str = "iris") -> InferenceService | None:
    answer = kserve.read_all()
    assert isinstance(answer, Known), answer
    return answer.value.get((world.namespace, name))


def shown(kserve: KServe, world: World, name: str = "iris") -> InferenceService:
    found = seen(kserve, world, name)
    assert found is not None
    return found


def test_a_service_that_was_just_created_is_in_the_next_read(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))

    found = shown(kserve, world)
    assert (found.ours, found.owner, found.release) == (True, MANAGER, release(world.namespace))
    assert (found.ready, found.canary_percent, found.message) == (False, None, "KServe has not reported a status yet")


def test_applying_the_same_again_changes_nothing(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    kserve.apply(manifest(world.namespace, "iris"))
    version = world.live("iris")["metadata"]["resourceVersion"]

    kserve.apply(manifest(world.namespace, "iris"))

    assert world.live("iris")["metadata"]["resourceVersion"] == version


def test_an_update_is_in_the_next_read_and_raises_the_generation_by_one(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    before = shown(kserve, world).generation

    kserve.apply(manifest(world.namespace, "iris", version=2))

    assert shown(kserve, world).release == release(world.namespace, 2)
    assert shown(kserve, world).generation == before + 1
    assert world.live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/2"


def test_the_fields_of_a_create_become_those_of_the_apply(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    kserve.apply(manifest(world.namespace, "iris", version=2))

    ours = [e for e in world.live("iris")["metadata"]["managedFields"] if e["manager"] == MANAGER]
    assert [e["operation"] for e in ours] == ["Apply"]


def test_a_status_between_create_and_first_apply_does_not_hinder_it(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    world.report("iris", ready_status("iris-predictor-00001"))

    kserve.apply(manifest(world.namespace, "iris", version=2, canary=0))

    assert shown(kserve, world).canary_percent == 0
    assert world.live("iris")["status"]["url"] == "http://iris.example.com"


def test_a_raised_canary_share_changes_the_share_alone(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris", canary=0))
    before = world.live("iris")

    kserve.apply(manifest(world.namespace, "iris", canary=10))

    after = world.live("iris")
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert after["spec"]["predictor"].pop("canaryTrafficPercent") == 10
    assert before["spec"]["predictor"].pop("canaryTrafficPercent") == 0
    assert after["spec"] == before["spec"]


def test_a_canary_share_that_is_left_out_is_removed(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris", canary=0))

    kserve.apply(manifest(world.namespace, "iris", canary=None))

    assert "canaryTrafficPercent" not in world.live("iris")["spec"]["predictor"]
    assert shown(kserve, world).canary_percent is None


def test_a_status_is_seen_and_wakes_the_loop(kserve: KServe, world: World) -> None:
    woken: list[tuple[str, str]] = []
    kserve.on_change(lambda namespace, name: woken.append((namespace, name)))
    kserve.apply(manifest(world.namespace, "iris"))
    woken.clear()

    world.report("iris", ready_status("iris-predictor-00001"))

    found = eventually(lambda: seen(kserve, world) if shown(kserve, world).ready else None)
    assert found.traffic == (TrafficTarget("iris-predictor-00001", 100, latest=True),)
    assert (found.message, found.failure, found.url) == ("", None, "http://iris.example.com")
    assert eventually(lambda: woken) == [(world.namespace, "iris")]


def revision(name: str, label: str) -> dict[str, Any]:
    labels = {"serving.kserve.io/inferenceservice": "iris", "component": "predictor", LABEL_RELEASE: label}
    metadata = {"name": name, "labels": labels}
    spec = {"containers": [{"image": "tests:1"}]}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": metadata, "spec": spec}


def test_revisions_are_joined_to_their_service(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    place = ("serving.knative.dev", "v1", world.namespace, "revisions")

    def revisions() -> dict[str, str]:
        return {name: str(one) for name, one in (shown(kserve, world).revisions or {}).items()}

    assert shown(kserve, world).revisions == {}
    world.objects.create_namespaced_custom_object(*place, revision("r1", "1-aaaa"))
    world.objects.create_namespaced_custom_object(*place, revision("r2", "2-bbbb"))
    assert eventually(lambda: revisions() == {"r1": "1-aaaa", "r2": "2-bbbb"})

    world.objects.delete_namespaced_custom_object(*place, "r1")
    assert eventually(lambda: revisions() == {"r2": "2-bbbb"})


def test_a_service_of_somebody_else_is_never_written(kserve: KServe, world: World) -> None:
    body = manifest(world.namespace, "iris")
    body["metadata"]["labels"] = {}
    world.create(body, "kubectl-create")
    eventually(lambda: seen(kserve, world))

    with pytest.raises(Conflict, match='not ours: it is managed by field manager "kubectl-create"'):
        kserve.apply(manifest(world.namespace, "iris", version=2))

    assert world.live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/1"


def test_a_service_that_argo_cd_tracks_is_named_and_left_alone(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    tracking = {"argocd.argoproj.io/tracking-id": f"flowers:serving.kserve.io/InferenceService:{world.namespace}/iris"}
    world.edit("iris", {"metadata": {"annotations": tracking}}, "argocd-controller")
    eventually(lambda: not shown(kserve, world).ours)

    assert shown(kserve, world).owner == 'Argo CD application "flowers"'
    with pytest.raises(Conflict, match='managed by Argo CD application "flowers"'):
        kserve.apply(manifest(world.namespace, "iris", version=2))


def test_a_field_that_somebody_took_is_a_conflict_that_names_both(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    kserve.apply(manifest(world.namespace, "iris", canary=0))
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 5}}}, "kubectl-edit")
    eventually(lambda: kserve.drift(manifest(world.namespace, "iris", canary=0)))

    with pytest.raises(Conflict) as caught:
        kserve.apply(manifest(world.namespace, "iris", canary=0))

    assert '"model-reconciler"' in caught.value.message
    assert '.spec.predictor.minReplicas ("kubectl-edit")' in caught.value.message
    assert world.live("iris")["spec"]["predictor"]["minReplicas"] == 5


def test_a_service_made_between_read_and_create_is_not_taken_over(serve: Serve, world: World) -> None:
    late = serve()
    late.close()
    body = manifest(world.namespace, "iris")
    body["metadata"]["labels"] = {}
    world.create(body, "somebody")

    with pytest.raises(Conflict, match='managed by field manager "somebody"'):
        late.apply(manifest(world.namespace, "iris"))


def test_our_own_create_that_the_watch_has_not_shown_is_waited_for(serve: Serve, world: World) -> None:
    late = serve()
    late.close()
    serve().apply(manifest(world.namespace, "iris"))

    with pytest.raises(Transient, match="is ours and new"):
        late.apply(manifest(world.namespace, "iris"))


@pytest.mark.parametrize("adopted", [False, True], ids=["before its first apply", "after its first apply"])
def test_a_service_deleted_and_made_anew_is_a_conflict(serve: Serve, world: World, adopted: bool) -> None:
    late = serve()
    late.apply(manifest(world.namespace, "iris"))
    if adopted:
        late.apply(manifest(world.namespace, "iris", canary=0))
    late.close()
    world.delete("iris")
    serve().apply(manifest(world.namespace, "iris", version=3))

    with pytest.raises(Conflict):
        late.apply(manifest(world.namespace, "iris", version=2))

    assert world.live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/3"


def meant_for(found: InferenceService, **changes: int) -> dict[str, object]:
    """Return a manifest that is only meant for the object as it was read."""
    wanted = manifest(found.namespace, found.name, **changes)
    return {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": found.resource_version}}


def test_the_first_update_of_what_was_read_succeeds_although_fields_are_handed_over_first(
    kserve: KServe, world: World
) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    kserve.apply(meant_for(shown(kserve, world), version=2))
    assert shown(kserve, world).release == release(world.namespace, 2)


@pytest.mark.parametrize("applied", [False, True], ids=["before its first apply", "after its first apply"])
def test_an_update_that_is_meant_for_an_older_state_is_refused(kserve: KServe, world: World, applied: bool) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    if applied:
        kserve.apply(manifest(world.namespace, "iris", version=2))
    older = shown(kserve, world)
    world.edit("iris", {"metadata": {"annotations": {"example.org/note": "by hand"}}}, "a-person")
    eventually(lambda: True if shown(kserve, world).resource_version != older.resource_version else None)

    with pytest.raises((Conflict, Transient)):
        kserve.apply(meant_for(older, version=3))

    assert shown(kserve, world).release != release(world.namespace, 3)


def test_a_service_that_vanished_unseen_is_not_made_by_an_update(serve: Serve, world: World) -> None:
    late = serve()
    late.apply(manifest(world.namespace, "iris"))
    late.apply(manifest(world.namespace, "iris", canary=0))
    late.close()
    world.delete("iris")

    with pytest.raises(Conflict):
        late.apply(manifest(world.namespace, "iris", version=2))


def test_nothing_drifts_right_after_an_apply(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    assert kserve.drift(manifest(world.namespace, "iris")) == ()

    kserve.apply(manifest(world.namespace, "iris", canary=10))
    assert kserve.drift(manifest(world.namespace, "iris", canary=10)) == ()


def test_what_others_add_is_no_drift(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    added = {"spec": {"predictor": {"timeout": 30, "model": {"runtime": "mlserver"}}}}
    world.apply_as("iris", added, "webhook")
    world.edit("iris", {"metadata": {"finalizers": ["reconciler.dev/test"], "labels": {"team": "flowers"}}}, "manager")
    generation = world.generation("iris")
    eventually(lambda: shown(kserve, world).generation == generation)

    assert kserve.drift(manifest(world.namespace, "iris")) == ()


def test_drift_names_each_field_that_is_no_longer_as_applied(kserve: KServe, world: World) -> None:
    wanted = manifest(world.namespace, "iris", canary=0)
    kserve.apply(wanted)
    kserve.apply(wanted)
    patch = {
        "metadata": {"annotations": {"serving.kserve.io/enable-tag-routing": None}},
        "spec": {"predictor": {"minReplicas": 3, "model": {"storageUri": "s3://elsewhere"}}},
    }
    generation = int(world.edit("iris", patch, "kubectl-edit")["metadata"]["generation"])
    eventually(lambda: shown(kserve, world).generation == generation)

    assert kserve.drift(wanted) == (
        'metadata.annotations["serving.kserve.io/enable-tag-routing"]',
        "spec.predictor.minReplicas",
        "spec.predictor.model.storageUri",
    )


def test_a_field_that_somebody_removed_can_be_put_back(kserve: KServe, world: World) -> None:
    wanted = manifest(world.namespace, "iris", canary=0)
    kserve.apply(wanted)
    generation = int(
        world.edit("iris", {"spec": {"predictor": {"minReplicas": None}}}, "kubectl-edit")["metadata"]["generation"]
    )
    eventually(lambda: shown(kserve, world).generation == generation)
    assert kserve.drift(wanted) == ("spec.predictor.minReplicas",)

    kserve.apply(wanted)

    assert kserve.drift(wanted) == ()
    assert world.live("iris")["spec"]["predictor"]["minReplicas"] == 1


def test_drift_of_a_service_that_is_not_there_is_no_answer(kserve: KServe, world: World) -> None:
    with pytest.raises(Transient, match="nothing to compare"):
        kserve.drift(manifest(world.namespace, "iris"))


def test_a_deleted_service_is_gone_from_the_next_read(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))

    kserve.delete(world.namespace, "iris", shown(kserve, world).uid)

    assert seen(kserve, world) is None


def test_a_service_held_by_a_finalizer_shows_as_deleting(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    world.edit("iris", {"metadata": {"finalizers": ["reconciler.dev/test"]}}, "manager")

    kserve.delete(world.namespace, "iris", shown(kserve, world).uid)

    assert shown(kserve, world).deleting
    with pytest.raises(Transient, match="is being deleted"):
        kserve.apply(manifest(world.namespace, "iris"))


def test_deleting_what_is_gone_is_success(kserve: KServe, world: World) -> None:
    kserve.delete(world.namespace, "iris", "2b1d0000-0000-0000-0000-000000000000")


def test_deleting_another_object_of_the_same_name_is_a_conflict(kserve: KServe, world: World) -> None:
    kserve.apply(manifest(world.namespace, "iris"))

    with pytest.raises(Conflict):
        kserve.delete(world.namespace, "iris", "2b1d0000-0000-0000-0000-000000000000")

    assert world.live("iris")


def test_what_the_api_refuses_is_refused_with_its_words(kserve: KServe, world: World) -> None:
    body = manifest(world.namespace, "Iris_1")

    with pytest.raises(Refused, match="Iris_1"):
        kserve.apply(body)


def test_a_namespace_that_is_not_watched_is_not_written(kserve: KServe, world: World) -> None:
    assert kserve.namespaces == (world.namespace,)
    with pytest.raises(Refused, match="namespace elsewhere is not watched"):
        kserve.apply(manifest("elsewhere", "iris"))
