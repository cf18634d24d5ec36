"""Where everything is as it was applied, comparing costs no call; where anything else is so, the API is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.api import Call
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.holding import asked, held
from reconciler.systems.serving.kserve import KServe, Options
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.world import World, manifest

Json = dict[str, Any]
NAMED = {"name": "iris", "namespace": "models"}
LABELS = {"team": "flowers"}
LABELLED: Json = {"f:metadata": {"f:labels": {"f:team": {}}}}
ENV = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
BY_NAME: Json = {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}


def live(spec: Json, fields: Json, manager: str = "model-reconciler", operation: str = "Apply", **entry: Any) -> Json:
    """Return an object of which this manager holds these fields of the spec."""
    written = {"manager": manager, "operation": operation, "fieldsV1": {**LABELLED, "f:spec": fields}, **entry}
    meta = {**NAMED, "uid": "1", "labels": LABELS, "managedFields": [written]}
    return {"apiVersion": "v1", "kind": "InferenceService", "metadata": meta, "spec": spec, "status": {"url": "x"}}


def wanted(spec: Json) -> str:
    return asked({"apiVersion": "v1", "kind": "Any", "metadata": {**NAMED, "labels": LABELS}, "spec": spec})


SAME: dict[str, tuple[Json, Json, Json]] = {
    "fields of ours beside fields of others": ({"a": 1, "b": 2}, {"f:a": {}}, {"a": 1}),
    "a nested field": ({"a": {"b": {"c": 1, "d": 2}}}, {"f:a": {"f:b": {"f:c": {}}}}, {"a": {"b": {"c": 1}}}),
    "an empty map that we applied": ({"a": {}}, {"f:a": {}}, {"a": {}}),
    "a map in which others added": ({"a": {"x": 1, "y": 2}}, {"f:a": {".": {}, "f:x": {}}}, {"a": {"x": 1}}),
    "an atomic list": ({"a": [1, {"b": 2}]}, {"f:a": {}}, {"a": [1, {"b": 2}]}),
    "an item of a list, named by its key": ({"env": ENV}, {"f:env": BY_NAME}, {"env": ENV[:1]}),
    "an item of a set": ({"a": ["x", "y"]}, {"f:a": {'v:"y"': {}}}, {"a": ["y"]}),
    "an item by its index": ({"a": ["x", "y"]}, {"f:a": {"i:0": {}}}, {"a": ["x"]}),
}
OTHER: dict[str, tuple[Json, Json, Json]] = {
    "a changed value": ({"a": 2}, {"f:a": {}}, {"a": 1}),
    "a field that somebody took": ({"a": 1, "b": 2}, {"f:a": {}}, {"a": 1, "b": 2}),
    "a field that we no longer ask for": ({"a": 1, "b": 2}, {"f:a": {}, "f:b": {}}, {"a": 1}),
    "a field that is gone": ({}, {"f:a": {}}, {"a": 1}),
    "a list in another order": ({"a": [2, 1]}, {"f:a": {}}, {"a": [1, 2]}),
    "a key that is no JSON": ({"env": ENV}, {"f:env": {"k:{": {}}}, {"env": ENV[:1]}),
    "a key that names nothing": ({"env": ENV}, {"f:env": {"x": {}, "k:1": {}, "v:": {}}}, {"env": ENV[:1]}),
    "fields that are no object": ({"a": {"b": 1, "c": 2}}, {"f:a": "f:b"}, {"a": {"b": 1}}),
}


@pytest.mark.parametrize(("spec", "fields", "applied"), SAME.values(), ids=SAME.keys())
def test_what_we_hold_is_what_we_ask_for(spec: Json, fields: Json, applied: Json) -> None:
    assert held(live(spec, fields)) == wanted(applied)


@pytest.mark.parametrize(("spec", "fields", "applied"), OTHER.values(), ids=OTHER.keys())
def test_what_we_hold_is_something_else(spec: Json, fields: Json, applied: Json) -> None:
    assert held(live(spec, fields)) != wanted(applied)


def test_what_our_create_wrote_is_held_too() -> None:
    assert held(live({"a": 1}, {"f:a": {}}, operation="Update")) == wanted({"a": 1})


def test_what_others_or_a_status_hold_is_not_ours() -> None:
    assert held(live({"a": 1}, {"f:a": {}}, manager="kubectl")) != wanted({"a": 1})
    assert held(live({"a": 1}, {"f:a": {}}, subresource="status")) != wanted({"a": 1})


class Counting(Connection):
    """Remembers the verbs of its calls, lists and discovery left out."""

    def __init__(self, settings: KubernetesSettings) -> None:
        super().__init__(settings)
        self.verbs: list[str] = []

    def call(self, call: Call) -> Any:
        if call.name:
            self.verbs.append(call.verb)
        return super().call(call)


@pytest.fixture
def counting(kubeconfig: Path) -> Iterator[Counting]:
    connection = Counting(KubernetesSettings(kubeconfig=kubeconfig))
    yield connection
    connection.close()


def test_a_restart_finds_undrifted_services_without_a_call(world: World, kserve: KServe, counting: Counting) -> None:
    created, applied = manifest(world.namespace, "created"), manifest(world.namespace, "applied", canary=10)
    kserve.apply(created)
    kserve.apply(manifest(world.namespace, "applied"))
    kserve.apply(applied)

    with KServe(counting, Options(namespaces=(world.namespace,)), utc_now, Random(1)) as restarted:
        assert restarted.wait_synced(timedelta(seconds=20))
        found = [restarted.drift(created), restarted.drift(applied)]

    assert found == [(), ()]
    assert counting.verbs == []


def test_a_drifted_service_is_compared_by_the_api_once(world: World, kserve: KServe, counting: Counting) -> None:
    wanted = manifest(world.namespace, "iris")
    kserve.apply(wanted)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 3}}}, "kubectl-edit")

    with KServe(counting, Options(namespaces=(world.namespace,)), utc_now, Random(1)) as restarted:
        assert restarted.wait_synced(timedelta(seconds=20))
        found = [restarted.drift(wanted), restarted.drift(wanted)]

    assert found == [("spec.predictor.minReplicas",)] * 2
    assert counting.verbs == ["get", "patch"]


def test_a_field_that_is_no_longer_asked_for_is_compared_by_the_api(
    world: World, kserve: KServe, counting: Counting
) -> None:
    kserve.apply(manifest(world.namespace, "iris"))
    kserve.apply(manifest(world.namespace, "iris", canary=10))

    with KServe(counting, Options(namespaces=(world.namespace,)), utc_now, Random(1)) as restarted:
        assert restarted.wait_synced(timedelta(seconds=20))
        found = restarted.drift(manifest(world.namespace, "iris"))

    assert found == ("spec.predictor.canaryTrafficPercent",)
    assert counting.verbs == ["get", "patch"]
