"""Field paths and FieldsV1: one says what the other said."""

import pytest

from reconciler.demo.kubeapi.fieldsets import dotted, flatten, from_fields_v1, to_fields_v1
from reconciler.demo.kubeapi.fieldtypes import CORE, from_schema
from reconciler.demo.kubeapi.objects import JsonObject

TREES: dict[str, JsonObject] = {
    "a leaf": {"f:spec": {"f:replicas": {}}},
    "an item with its fields": {"f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}}}},
    "a member of a set": {"f:metadata": {"f:finalizers": {'v:"x/y"': {}}}},
    "a map that is owned itself": {"f:spec": {".": {}, "f:a": {"f:b": {}}}},
}


@pytest.mark.parametrize("case", TREES)
def test_fields_v1_survives_reading_and_writing(case: str) -> None:
    assert to_fields_v1(from_fields_v1(TREES[case])) == TREES[case]


PATHS = {
    ".spec.replicas": ("f:spec", "f:replicas"),
    '.env[name="A"].value': ("f:env", 'k:{"name":"A"}', "f:value"),
    '.ports[containerPort=80,protocol="TCP"]': ("f:ports", 'k:{"containerPort":80,"protocol":"TCP"}'),
    '.metadata.finalizers[="x/y"]': ("f:metadata", "f:finalizers", 'v:"x/y"'),
}


@pytest.mark.parametrize("text", PATHS)
def test_paths_are_written_as_conflicts_name_them(text: str) -> None:
    assert dotted(PATHS[text]) == text


def test_what_only_the_server_writes_is_owned_by_nobody() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "resourceVersion": "1", "labels": {"a": "b"}},
    }
    assert flatten(obj, CORE) == {("f:metadata", "f:labels", "f:a"): "b"}


def test_empty_maps_and_lists_are_leaves() -> None:
    assert flatten({"spec": {"a": {}, "b": []}}, CORE) == {("f:spec", "f:a"): {}, ("f:spec", "f:b"): []}


def test_a_schema_says_which_lists_are_sets_and_which_maps_are_whole() -> None:
    types = from_schema(
        {
            "properties": {
                "names": {"x-kubernetes-list-type": "set"},
                "selector": {"x-kubernetes-map-type": "atomic"},
            }
        }
    )
    obj = {"names": ["x"], "selector": {"a": 1}}
    assert flatten(obj, types) == {("f:names", 'v:"x"'): "x", ("f:selector",): {"a": 1}}
