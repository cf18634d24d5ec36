"""Deleting: preconditions, finalizers, owners and namespaces."""

from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import V1ConfigMap, V1DeleteOptions, V1ObjectMeta, V1OwnerReference, V1Preconditions

from tests.demo.kubeapi.conftest import Clients, Refusal, inference_service
from tests.systems.serving.world import eventually


def test_a_deleted_object_is_gone_and_cannot_be_deleted_again(kube: Clients, refused: Refusal) -> None:
    uid = kube.create(inference_service())["metadata"]["uid"]
    answer = kube.delete()
    assert (answer["status"], answer["details"]["uid"]) == ("Success", uid)
    assert refused(kube.read)["reason"] == "NotFound"
    assert refused(kube.delete)["code"] == 404


@pytest.mark.parametrize("wanted", [{"uid": "another"}, {"resource_version": "1"}], ids=["uid", "version"])
def test_a_deletion_of_another_object_than_was_meant_is_refused(
    kube: Clients, refused: Refusal, wanted: dict[str, str]
) -> None:
    kube.create(inference_service())
    options = V1DeleteOptions(preconditions=V1Preconditions(**wanted))
    assert refused(lambda: kube.delete(body=options))["reason"] == "Conflict"
    assert kube.read()


def test_a_dry_run_deletes_nothing(kube: Clients) -> None:
    created = kube.create(inference_service())
    kube.services.delete(name="iris", namespace=kube.namespace, dry_run="All")
    assert kube.read() == created


def finalized() -> dict[str, Any]:
    body = inference_service()
    body["metadata"]["finalizers"] = ["inferenceservice.finalizers"]
    return body


def test_a_finalizer_holds_an_object_until_it_is_removed(kube: Clients, refused: Refusal) -> None:
    kube.create(finalized())
    marked = kube.delete()
    assert marked["metadata"]["deletionTimestamp"]
    assert kube.read()["metadata"]["generation"] == 2
    assert kube.delete() == marked
    kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"metadata": {"finalizers": None}})
    assert refused(kube.read)["reason"] == "NotFound"


def test_an_object_that_is_going_gets_no_new_finalizer(kube: Clients, refused: Refusal) -> None:
    kube.create(finalized())
    kube.delete()
    more = {"metadata": {"finalizers": ["inferenceservice.finalizers", "x/more"]}}
    status = refused(lambda: kube.custom.patch_namespaced_custom_object(*kube.where, "iris", more))
    assert "no new finalizers" in status["message"]


def owned(name: str, *owners: dict[str, Any]) -> V1ConfigMap:
    references = [
        V1OwnerReference(
            api_version=o["apiVersion"], kind=o["kind"], name=o["metadata"]["name"], uid=o["metadata"]["uid"]
        )
        for o in owners
    ]
    return V1ConfigMap(metadata=V1ObjectMeta(name=name, owner_references=references))


@pytest.fixture
def collected(kube: Clients, real_cluster: Path | None, controllers: bool) -> Clients:
    """Return a server on which somebody deletes what nothing holds any more."""
    if real_cluster and not controllers:
        pytest.skip("needs a controller manager")
    return kube


def test_what_an_object_owned_alone_goes_with_it(collected: Clients) -> None:
    kube = collected
    iris, wine = kube.create(inference_service()), kube.create(inference_service("wine"))
    kube.core.create_namespaced_config_map(kube.namespace, owned("alone", iris))
    kube.core.create_namespaced_config_map(kube.namespace, owned("shared", iris, wine))

    def left() -> set[str]:
        found = {c.metadata.name for c in kube.core.list_namespaced_config_map(kube.namespace).items}
        return found & {"alone", "shared"}

    kube.delete()
    eventually(lambda: left() == {"shared"})


def test_a_namespace_takes_its_content_with_it_and_waits_for_finalizers(collected: Clients, refused: Refusal) -> None:
    kube = collected
    kube.custom.create_namespaced_custom_object(*kube.where, finalized())
    kube.core.create_namespaced_config_map(kube.namespace, owned("m"))
    kube.core.delete_namespace(kube.namespace)
    assert kube.core.read_namespace(kube.namespace).status.phase == "Terminating"
    eventually(lambda: kube.core.list_namespaced_config_map(kube.namespace).items == [])
    status = refused(lambda: kube.core.create_namespaced_config_map(kube.namespace, owned("n")))
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    unheld = {"metadata": {"finalizers": None}}
    kube.custom.patch_namespaced_custom_object(*kube.where, "iris", unheld)
    eventually(lambda: kube.namespace not in {n.metadata.name for n in kube.core.list_namespace().items})
    assert refused(lambda: kube.core.read_namespace(kube.namespace))["code"] == 404


def test_a_collection_is_deleted_by_selector(kube: Clients) -> None:
    for name in ("iris", "wine"):
        body = inference_service(name)
        body["metadata"]["labels"] = {"model": name}
        kube.create(body)
    kube.custom.delete_collection_namespaced_custom_object(*kube.where, label_selector="model=iris")
    left = kube.custom.list_namespaced_custom_object(*kube.where)["items"]
    assert [item["metadata"]["name"] for item in left] == ["wine"]
