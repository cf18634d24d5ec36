"""Create, read, replace, patch: what the server stamps, counts and refuses."""

from datetime import UTC, datetime
from typing import Any

import kubernetes
import pytest
from kubernetes.client import V1ConfigMap, V1ObjectMeta, V1Secret

from reconciler.demo.kubeapi import KubeApi
from tests.demo.kubeapi.conftest import GROUP, PLURAL, VERSION, Clients, Refusal, inference_service


def test_a_new_object_gets_uid_time_generation_and_version(kube: Clients) -> None:
    meta = kube.create(inference_service())["metadata"]
    assert meta["generation"] == 1
    assert len(meta["uid"]) == 36
    assert datetime.fromisoformat(meta["creationTimestamp"]).tzinfo == UTC
    assert int(meta["resourceVersion"]) > 0


def test_a_name_is_made_from_generate_name(kube: Clients) -> None:
    event = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "map-"}}
    names = {kube.core.create_namespaced_config_map(kube.namespace, event).metadata.name for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("map-") and len(name) > 4 for name in names)


def test_a_name_can_be_taken_only_once(kube: Clients, refused: Refusal) -> None:
    kube.create(inference_service())
    status = refused(lambda: kube.create(inference_service()))
    assert (status["code"], status["reason"]) == (409, "AlreadyExists")
    assert status["message"] == 'inferenceservices.serving.kserve.io "iris" already exists'


def test_a_namespace_must_exist(kube: Clients, refused: Refusal) -> None:
    status = refused(
        lambda: kube.custom.create_namespaced_custom_object(GROUP, VERSION, "nowhere", PLURAL, inference_service())
    )
    assert (status["code"], status["message"]) == (404, 'namespaces "nowhere" not found')


BROKEN: dict[str, tuple[dict[str, Any], int, str]] = {
    "an InferenceService needs a predictor": (
        {**inference_service(), "spec": {}},
        422,
        "spec.predictor: Required value",
    ),
    "a name has no capitals": (inference_service("Iris"), 422, "lower case"),
    "an object needs a name": ({**inference_service(), "metadata": {}}, 422, "metadata.name: Required value"),
    "a label value has no spaces": (
        {**inference_service(), "metadata": {"name": "iris", "labels": {"a": "b c"}}},
        422,
        "metadata.labels",
    ),
    "an annotation is text": (
        {**inference_service(), "metadata": {"name": "iris", "annotations": {"a": 1}}},
        400,
        "ObjectMeta.annotations of type string",
    ),
    "the kind is the one of the URL": ({**inference_service(), "kind": "Pod"}, 422, "must be InferenceService"),
    "the namespace is the one of the URL": (
        {**inference_service(), "metadata": {"name": "iris", "namespace": "other"}},
        400,
        "does not match the namespace",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_object_is_refused(kube: Clients, refused: Refusal, case: str) -> None:
    body, code, said = BROKEN[case]
    status = refused(lambda: kube.create(body))
    assert status["code"] == code
    assert said in status["message"]


@pytest.mark.usefixtures("api")
def test_a_service_whose_name_begins_with_a_digit_is_denied_as_by_kserves_webhook(
    kube: Clients, refused: Refusal
) -> None:
    status = refused(lambda: kube.create(inference_service("1iris")))
    assert (status["code"], "begins with a letter" in status["message"]) == (403, True)


def test_a_write_meant_for_another_object_is_refused(kube: Clients, refused: Refusal) -> None:
    other = "2b1d0000-0000-0000-0000-000000000000"
    created = kube.create(inference_service())
    meant = {**inference_service(), "metadata": {"name": "iris", "uid": other}}
    for write in (
        lambda: kube.apply(meant, "m"),
        lambda: kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"metadata": {"uid": other}}),
    ):
        status = refused(write)
        assert (status["code"], status["details"]["causes"][0]["field"]) == (422, "metadata.uid")
    replaced = {**created, "metadata": {**created["metadata"], "uid": other}}
    status = refused(lambda: kube.custom.replace_namespaced_custom_object(*kube.where, "iris", replaced))
    assert (status["code"], status["reason"]) == (409, "Conflict")
    gone = {**inference_service("wine"), "metadata": {"name": "wine", "uid": other}}
    assert refused(lambda: kube.apply(gone, "m"))["code"] == 409


def test_a_replace_against_an_older_version_is_refused(kube: Clients, refused: Refusal) -> None:
    first = kube.create(inference_service(minReplicas=1))
    second = {**first, "spec": {"predictor": {"minReplicas": 2}}}
    kube.custom.replace_namespaced_custom_object(*kube.where, "iris", second)
    status = refused(lambda: kube.custom.replace_namespaced_custom_object(*kube.where, "iris", first))
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert "the object has been modified" in status["message"]


def test_a_replace_of_a_custom_resource_says_which_version_it_replaces(kube: Clients, refused: Refusal) -> None:
    kube.create(inference_service())
    status = refused(lambda: kube.custom.replace_namespaced_custom_object(*kube.where, "iris", inference_service()))
    assert status["details"]["causes"][0]["field"] == "metadata.resourceVersion"


def test_generation_counts_changes_of_the_spec_only(kube: Clients) -> None:
    kube.create(inference_service(minReplicas=1))
    labelled = kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    grown = kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"spec": {"predictor": {"minReplicas": 2}}})
    assert grown["metadata"]["generation"] == 2
    assert grown["metadata"]["uid"] == labelled["metadata"]["uid"]


def test_a_write_that_changes_nothing_keeps_the_version(kube: Clients) -> None:
    created = kube.create(inference_service())
    assert kube.custom.replace_namespaced_custom_object(*kube.where, "iris", created) == created
    same = {"spec": created["spec"]}
    assert kube.custom.patch_namespaced_custom_object(*kube.where, "iris", same) == created


def test_a_merge_patch_removes_fields_given_as_null(kube: Clients) -> None:
    kube.create(inference_service(minReplicas=1, maxReplicas=2))
    patched = kube.services.patch(
        {"metadata": {"name": "iris"}, "spec": {"predictor": {"maxReplicas": None}}},
        namespace=kube.namespace,
        content_type="application/merge-patch+json",
    ).to_dict()
    assert patched["spec"]["predictor"] == {"minReplicas": 1}


def test_a_json_patch_runs_its_operations_or_none(kube: Clients, refused: Refusal) -> None:
    kube.create(inference_service(minReplicas=1))
    path = "/spec/predictor/minReplicas"

    def patch(*operations: dict[str, Any]) -> Any:
        return kube.services.patch(
            list(operations), name="iris", namespace=kube.namespace, content_type="application/json-patch+json"
        )

    good = {"op": "test", "path": path, "value": 1}, {"op": "replace", "path": path, "value": 2}
    assert patch(*good).to_dict()["spec"]["predictor"]["minReplicas"] == 2
    assert refused(lambda: patch({"op": "remove", "path": path}, *good))["code"] == 422
    assert kube.read()["spec"]["predictor"]["minReplicas"] == 2


def test_a_strategic_patch_is_for_built_in_resources_only(kube: Clients, refused: Refusal) -> None:
    kube.create(inference_service())
    status = refused(lambda: kube.services.patch({"metadata": {"name": "iris"}}, namespace=kube.namespace))
    assert (status["code"], status["reason"]) == (415, "UnsupportedMediaType")
    kube.core.create_namespaced_config_map(
        kube.namespace, V1ConfigMap(metadata=V1ObjectMeta(name="m"), data={"a": "1", "b": "2"})
    )
    maps = kube.dynamic.resources.get(api_version="v1", kind="ConfigMap")
    patched = maps.patch({"metadata": {"name": "m"}, "data": {"a": None, "c": "3"}}, namespace=kube.namespace)
    assert patched.data.to_dict() == {"b": "2", "c": "3"}


def test_status_is_written_through_its_own_endpoint_only(kube: Clients) -> None:
    created = kube.create({**inference_service(minReplicas=1), "status": {"url": "http://early"}})
    assert "status" not in created
    changed = {**created, "spec": {"predictor": {"minReplicas": 9}}, "status": {"url": "http://iris"}}
    after = kube.custom.replace_namespaced_custom_object_status(*kube.where, "iris", changed)
    assert after["status"] == {"url": "http://iris"}
    assert after["spec"]["predictor"]["minReplicas"] == 1
    assert after["metadata"]["generation"] == 1
    ignored = kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"status": {"url": "no"}})
    assert ignored == after
    patched = kube.custom.patch_namespaced_custom_object_status(*kube.where, "iris", {"status": {"url": "http://new"}})
    assert patched["status"] == {"url": "http://new"}


def test_a_secret_keeps_plain_text_as_base64(kube: Clients) -> None:
    secret = V1Secret(metadata=V1ObjectMeta(name="s"), string_data={"key": "value"})
    created = kube.core.create_namespaced_secret(kube.namespace, secret)
    assert (created.type, created.data) == ("Opaque", {"key": "dmFsdWU="})


def test_a_lease_is_taken_renewed_and_never_renewed_twice_from_one_reading(kube: Clients, refused: Refusal) -> None:
    client = kubernetes.client
    body = client.V1Lease(
        metadata=V1ObjectMeta(name="leader"),
        spec=client.V1LeaseSpec(holder_identity="a", lease_duration_seconds=15, renew_time=datetime.now(UTC)),
    )
    lease = kube.leases.create_namespaced_lease(kube.namespace, body)
    assert refused(lambda: kube.leases.create_namespaced_lease(kube.namespace, body))["reason"] == "AlreadyExists"
    stale = kube.leases.read_namespaced_lease("leader", kube.namespace)
    lease.spec.renew_time = datetime.now(UTC)
    renewed = kube.leases.replace_namespaced_lease("leader", kube.namespace, lease)
    assert renewed.spec.renew_time == lease.spec.renew_time
    stale.spec.holder_identity = "b"
    status = refused(lambda: kube.leases.replace_namespaced_lease("leader", kube.namespace, stale))
    assert status["reason"] == "Conflict"
    assert kube.leases.read_namespaced_lease("leader", kube.namespace).spec.holder_identity == "a"


def test_events_are_found_by_what_they_are_about(kube: Clients) -> None:
    for name in ("iris", "wine"):
        about = kubernetes.client.V1ObjectReference(kind="InferenceService", name=name, namespace=kube.namespace)
        event = kubernetes.client.CoreV1Event(
            metadata=V1ObjectMeta(generate_name=f"{name}."), involved_object=about, reason="Promoted"
        )
        kube.core.create_namespaced_event(kube.namespace, event)
    found = kube.core.list_namespaced_event(kube.namespace, field_selector="involvedObject.name=wine")
    assert [e.involved_object.name for e in found.items] == ["wine"]


def test_a_token_is_asked_for_when_the_server_has_one(refused: Refusal) -> None:
    from reconciler.demo.kubeapi import Options  # noqa: PLC0415  beside its only use

    with KubeApi.serve(None, options=Options(token="secret")) as server:
        configuration = kubernetes.client.Configuration(host=server.url)
        with kubernetes.client.ApiClient(configuration) as client:
            core = kubernetes.client.CoreV1Api(client)
            assert refused(core.list_namespace)["reason"] == "Unauthorized"
            configuration.api_key = {"authorization": "Bearer secret"}
            assert [n.metadata.name for n in core.list_namespace().items] == ["default"]
            client.rest_client.pool_manager.clear()
