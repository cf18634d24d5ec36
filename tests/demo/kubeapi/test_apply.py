"""Server-side apply: who owns which field, who may change it, and what goes when nobody wants it."""

from typing import Any

import pytest

from tests.clusters import with_account
from tests.demo.kubeapi.conftest import Clients, Refusal, inference_service, model


def fields_of(obj: dict[str, Any], manager: str) -> Any:
    return next(e["fieldsV1"] for e in obj["metadata"]["managedFields"] if e["manager"] == manager)


def test_the_first_apply_creates_and_owns_each_leaf_it_names(kube: Clients) -> None:
    applied = kube.apply(inference_service(minReplicas=0, model=model(env=[{"name": "A", "value": "1"}])), "m")
    assert fields_of(applied, "m") == {
        "f:spec": {
            "f:predictor": {
                "f:minReplicas": {},
                "f:model": {
                    "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                    "f:modelFormat": {"f:name": {}},
                },
            }
        }
    }


def test_an_apply_that_says_the_same_again_changes_nothing_at_all(kube: Clients) -> None:
    first = kube.apply(inference_service(), "m")
    assert kube.apply(inference_service(), "m") == first


def test_two_managers_own_a_field_together_while_they_agree_on_it(kube: Clients) -> None:
    kube.apply(inference_service(minReplicas=1), "a")
    shared = kube.apply(inference_service(minReplicas=1), "b")
    assert fields_of(shared, "a") == fields_of(shared, "b")


def test_changing_another_managers_field_is_refused_and_names_manager_and_field(
    kube: Clients, refused: Refusal
) -> None:
    kube.apply(inference_service(minReplicas=1, maxReplicas=3), "a")
    status = refused(lambda: kube.apply(inference_service(minReplicas=2, maxReplicas=3), "b"))
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "a"',
            "field": ".spec.predictor.minReplicas",
        }
    ]
    assert status["message"] == ('Apply failed with 1 conflict: conflict with "a": .spec.predictor.minReplicas')
    assert kube.read()["spec"]["predictor"]["minReplicas"] == 1


def test_several_conflicts_are_listed_by_manager(kube: Clients, refused: Refusal) -> None:
    kube.apply(inference_service(minReplicas=1, maxReplicas=3), "a")
    status = refused(lambda: kube.apply(inference_service(minReplicas=2, maxReplicas=4), "b"))
    assert status["message"] == (
        'Apply failed with 2 conflicts: conflicts with "a":\n'
        "- .spec.predictor.maxReplicas\n- .spec.predictor.minReplicas"
    )


def test_a_conflict_with_an_update_says_by_which_version_it_was_written(kube: Clients, refused: Refusal) -> None:
    created = kube.create(inference_service(minReplicas=1))
    entry = created["metadata"]["managedFields"][0]
    assert entry["operation"] == "Update"
    status = refused(lambda: kube.apply(inference_service(minReplicas=2), "m"))
    assert status["details"]["causes"][0]["message"] == (
        f'conflict with "{entry["manager"]}" using serving.kserve.io/v1beta1'
    )


def test_force_takes_the_field_and_the_other_manager_loses_it(kube: Clients) -> None:
    kube.apply(inference_service(minReplicas=1, maxReplicas=3), "a")
    taken = kube.apply(inference_service(minReplicas=2), "b", force_conflicts=True)
    assert taken["spec"]["predictor"] == {"minReplicas": 2, "maxReplicas": 3}
    assert fields_of(taken, "a") == {"f:spec": {"f:predictor": {"f:maxReplicas": {}}}}
    assert fields_of(taken, "b") == {"f:spec": {"f:predictor": {"f:minReplicas": {}}}}


def test_a_field_dropped_from_the_configuration_is_removed_when_nobody_else_owns_it(kube: Clients) -> None:
    kube.apply(inference_service(minReplicas=1, canaryTrafficPercent=10), "m")
    assert kube.apply(inference_service(minReplicas=1), "m")["spec"]["predictor"] == {"minReplicas": 1}


def test_a_dropped_field_stays_while_another_manager_owns_it_too(kube: Clients) -> None:
    kube.apply(inference_service(minReplicas=1, maxReplicas=3), "a")
    kube.apply(inference_service(minReplicas=1, maxReplicas=3), "b")
    after = kube.apply(inference_service(minReplicas=1), "b")
    assert after["spec"]["predictor"] == {"minReplicas": 1, "maxReplicas": 3}
    assert fields_of(after, "b") == {"f:spec": {"f:predictor": {"f:minReplicas": {}}}}


def test_the_parents_of_dropped_fields_go_with_them(kube: Clients) -> None:
    kube.apply(inference_service(minReplicas=1, model={"modelFormat": {"name": "mlflow"}}), "m")
    assert kube.apply(inference_service(minReplicas=1), "m")["spec"] == {"predictor": {"minReplicas": 1}}


def test_a_dry_run_answers_with_the_result_and_stores_nothing(kube: Clients) -> None:
    before = kube.apply(inference_service(minReplicas=1), "m")
    tried = kube.apply(inference_service(minReplicas=2), "m", dry_run="All")
    assert tried["spec"]["predictor"] == {"minReplicas": 2}
    assert tried["metadata"]["generation"] == 2
    assert kube.read() == before


def test_a_dry_run_of_a_new_object_leaves_none_behind(kube: Clients, refused: Refusal) -> None:
    kube.apply(inference_service(), "m", dry_run="All")
    assert refused(kube.read)["reason"] == "NotFound"


def env(**values: str) -> dict[str, Any]:
    return model(env=[{"name": name, "value": value} for name, value in values.items()])


def test_keyed_lists_merge_item_by_item(kube: Clients) -> None:
    kube.apply(inference_service(model=env(A="1", B="2")), "a")
    both = kube.apply(inference_service(model=env(C="3")), "b")
    assert [e["name"] for e in both["spec"]["predictor"]["model"]["env"]] == ["A", "B", "C"]
    fewer = kube.apply(inference_service(model=env(B="2")), "a")
    assert [e["name"] for e in fewer["spec"]["predictor"]["model"]["env"]] == ["B", "C"]


def test_a_conflict_inside_a_keyed_list_names_the_item(kube: Clients, refused: Refusal) -> None:
    kube.apply(inference_service(model=env(A="1")), "a")
    status = refused(lambda: kube.apply(inference_service(model=env(A="2")), "b"))
    assert status["details"]["causes"][0]["field"] == '.spec.predictor.model.env[name="A"].value'


def test_ports_are_told_apart_by_number_and_protocol_which_is_tcp_unless_said(kube: Clients) -> None:
    kube.apply(inference_service(model=model(ports=[{"containerPort": 80}])), "a")
    udp = model(ports=[{"containerPort": 80, "protocol": "UDP"}])
    both = kube.apply(inference_service(model=udp), "b")
    assert fields_of(both, "a")["f:spec"]["f:predictor"]["f:model"]["f:ports"].keys() == {
        'k:{"containerPort":80,"protocol":"TCP"}'
    }
    assert len(both["spec"]["predictor"]["model"]["ports"]) == 2


@pytest.mark.parametrize("field", ["args", "command"])
def test_other_lists_are_owned_and_replaced_as_a_whole(kube: Clients, refused: Refusal, field: str) -> None:
    kube.apply(inference_service(model=model(**{field: ["--a", "--b"]})), "a")
    status = refused(lambda: kube.apply(inference_service(model=model(**{field: ["--c"]})), "b"))
    assert status["details"]["causes"][0]["field"] == f".spec.predictor.model.{field}"
    replaced = kube.apply(inference_service(model=model(**{field: ["--c"]})), "b", force_conflicts=True)
    assert replaced["spec"]["predictor"]["model"][field] == ["--c"]


def test_containers_of_a_pod_are_keyed_by_name(kube: Clients, refused: Refusal) -> None:
    pods = kube.dynamic.resources.get(api_version="v1", kind="Pod")

    def pod(image: str) -> dict[str, Any]:
        spec = {"containers": [{"name": "x", "image": image}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}

    with_account(kube.raw, kube.namespace)
    pods.server_side_apply(pod("a"), namespace=kube.namespace, field_manager="a")
    status = refused(lambda: pods.server_side_apply(pod("b"), namespace=kube.namespace, field_manager="b"))
    assert status["details"]["causes"][0]["field"] == '.spec.containers[name="x"].image'


def test_an_update_takes_ownership_of_what_it_changes_from_an_applier(kube: Clients) -> None:
    applied = kube.apply(inference_service(minReplicas=1, maxReplicas=3), "m")
    applied["spec"]["predictor"]["maxReplicas"] = 5
    kube.services.replace(applied, namespace=kube.namespace, field_manager="hand")
    after = kube.read()
    assert fields_of(after, "m") == {"f:spec": {"f:predictor": {"f:minReplicas": {}}}}
    assert fields_of(after, "hand") == {"f:spec": {"f:predictor": {"f:maxReplicas": {}}}}


def test_an_update_owns_the_maps_and_lists_that_it_makes_and_an_apply_does_not(kube: Clients) -> None:
    created = kube.create(inference_service(model=env(A="1")))
    item: dict[str, Any] = {".": {}, "f:name": {}, "f:value": {}}
    assert fields_of(created, created["metadata"]["managedFields"][0]["manager"]) == {
        "f:spec": {
            ".": {},
            "f:predictor": {
                ".": {},
                "f:model": {
                    ".": {},
                    "f:env": {".": {}, 'k:{"name":"A"}': item},
                    "f:modelFormat": {".": {}, "f:name": {}},
                },
            },
        }
    }
    labelled = kube.custom.patch_namespaced_custom_object(
        *kube.where, "iris", {"metadata": {"labels": {"a": "b"}}}, field_manager="hand"
    )
    assert fields_of(labelled, "hand") == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}
    more = kube.custom.patch_namespaced_custom_object(
        *kube.where, "iris", {"metadata": {"labels": {"c": "d"}}}, field_manager="other"
    )
    assert fields_of(more, "other") == {"f:metadata": {"f:labels": {"f:c": {}}}}


def test_a_map_that_an_update_made_stays_when_what_was_applied_into_it_goes(kube: Clients) -> None:
    created = inference_service(minReplicas=1)
    created["metadata"]["annotations"] = {"a": "1"}
    kube.create(created)
    kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"metadata": {"annotations": {"a": None}}})
    applied = inference_service(minReplicas=1, model=env(A="1"))
    kube.apply(applied, "m", force_conflicts=True)
    after = kube.apply(inference_service(minReplicas=1), "m")
    assert after["spec"]["predictor"] == {"minReplicas": 1}


def test_finalizers_are_a_set_shared_by_managers(kube: Clients) -> None:
    def with_finalizer(name: str) -> dict[str, Any]:
        body = inference_service()
        body["metadata"]["finalizers"] = [name]
        return body

    kube.apply(with_finalizer("x/a"), "a")
    both = kube.apply(with_finalizer("x/b"), "b")
    assert both["metadata"]["finalizers"] == ["x/a", "x/b"]
    assert kube.apply(inference_service(), "a")["metadata"]["finalizers"] == ["x/b"]


def test_an_apply_without_a_field_manager_is_refused(kube: Clients, refused: Refusal) -> None:
    status = refused(lambda: kube.services.server_side_apply(inference_service(), namespace=kube.namespace))
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert "fieldManager" in status["message"]


def test_managed_fields_must_not_be_sent_with_an_apply(kube: Clients, refused: Refusal) -> None:
    applied = kube.apply(inference_service(), "m")
    status = refused(lambda: kube.apply(applied, "m"))
    assert (status["code"], status["message"]) == (400, "metadata.managedFields must be nil")


def test_duplicate_keys_in_a_keyed_list_are_refused(kube: Clients, refused: Refusal) -> None:
    twice = model(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])
    assert "duplicate entries" in refused(lambda: kube.apply(inference_service(model=twice), "m"))["message"]


def test_an_apply_to_status_owns_only_status(kube: Clients) -> None:
    kube.apply(inference_service(minReplicas=1), "m")
    body = {**inference_service(minReplicas=9), "status": {"url": "http://iris"}}
    after = kube.services.status.server_side_apply(
        body, namespace=kube.namespace, name="iris", field_manager="kserve"
    ).to_dict()
    assert after["spec"]["predictor"]["minReplicas"] == 1
    assert fields_of(after, "kserve") == {"f:status": {"f:url": {}}}
    entry = next(e for e in after["metadata"]["managedFields"] if e["manager"] == "kserve")
    assert entry["subresource"] == "status"
