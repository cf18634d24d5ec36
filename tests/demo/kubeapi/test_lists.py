"""Lists: selectors, pages that show one moment, versions."""

from typing import Any

import pytest

from tests.demo.kubeapi.conftest import GROUP, PLURAL, VERSION, Clients, Refusal, inference_service


def names(listed: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


SELECTORS = {
    "tier=gold": ["a"],
    "tier==gold": ["a"],
    "tier!=gold": ["b", "c", "d"],
    "tier in (gold, silver)": ["a", "b"],
    "tier notin (gold)": ["b", "c", "d"],
    "tier": ["a", "b"],
    "!tier": ["c", "d"],
    "example.com/team=x": ["c"],
    "tier,tier!=gold": ["b"],
    "tier in (gold,silver),example.com/team": [],
}


@pytest.mark.parametrize("selector", SELECTORS)
def test_objects_are_found_by_label(kube: Clients, selector: str) -> None:
    labels: dict[str, dict[str, str]] = {
        "a": {"tier": "gold"},
        "b": {"tier": "silver"},
        "c": {"example.com/team": "x"},
        "d": {},
    }
    for name, found in labels.items():
        body = inference_service(name)
        body["metadata"]["labels"] = found
        kube.create(body)
    listed = kube.custom.list_namespaced_custom_object(*kube.where, label_selector=selector)
    assert names(listed) == SELECTORS[selector]


@pytest.mark.parametrize("selector", ["a in", "=", "a=b c", "a in (b"])
def test_a_label_selector_that_cannot_be_read_is_refused(kube: Clients, refused: Refusal, selector: str) -> None:
    status = refused(lambda: kube.custom.list_namespaced_custom_object(*kube.where, label_selector=selector))
    assert (status["code"], status["reason"]) == (400, "BadRequest")


def test_objects_are_found_by_name_and_namespace(kube: Clients, refused: Refusal) -> None:
    for name in ("a", "b"):
        kube.create(inference_service(name))

    def listed(selector: str) -> dict[str, Any]:
        found = kube.custom.list_cluster_custom_object(GROUP, VERSION, PLURAL, field_selector=selector)
        return dict(found)

    here = f"metadata.namespace={kube.namespace}"
    assert names(listed(f"metadata.name=b,{here}")) == ["b"]
    assert names(listed(f"metadata.name!=b,{here}")) == ["a"]
    assert "spec.x" in refused(lambda: listed("spec.x=1"))["message"]


def test_pages_show_the_moment_of_the_first_one(kube: Clients) -> None:
    for number in range(5):
        kube.create(inference_service(f"m{number}"))
    first = kube.custom.list_namespaced_custom_object(*kube.where, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    kube.delete("m3")
    kube.create(inference_service("m2a"))
    second = kube.custom.list_namespaced_custom_object(*kube.where, limit=2, _continue=first["metadata"]["continue"])
    third = kube.custom.list_namespaced_custom_object(*kube.where, limit=2, _continue=second["metadata"]["continue"])
    assert names(first) + names(second) + names(third) == ["m0", "m1", "m2", "m3", "m4"]
    assert not third["metadata"]["continue"]
    assert first["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]


@pytest.mark.usefixtures("api")
def test_a_continue_token_that_is_no_longer_known_is_gone(kube: Clients, refused: Refusal) -> None:
    for number in range(2):
        kube.create(inference_service(f"m{number}"))
    old = kube.custom.list_namespaced_custom_object(*kube.where, limit=1)["metadata"]["continue"]
    for _ in range(40):
        kube.custom.list_namespaced_custom_object(*kube.where, limit=1)
    status = refused(lambda: kube.custom.list_namespaced_custom_object(*kube.where, limit=1, _continue=old))
    assert (status["code"], status["reason"]) == (410, "Expired")


def test_a_version_from_the_future_is_refused(kube: Clients, refused: Refusal) -> None:
    status = refused(lambda: kube.custom.list_namespaced_custom_object(*kube.where, resource_version="999999"))
    assert (status["code"], status["reason"]) == (504, "Timeout")


def test_the_version_of_a_list_rises_with_every_write(kube: Clients) -> None:
    before = kube.custom.list_namespaced_custom_object(*kube.where)["metadata"]["resourceVersion"]
    created = kube.create(inference_service())
    after = kube.custom.list_namespaced_custom_object(*kube.where)["metadata"]["resourceVersion"]
    assert int(before) < int(created["metadata"]["resourceVersion"]) == int(after)
