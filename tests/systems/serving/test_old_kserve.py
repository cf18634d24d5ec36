"""KServe before v0.20.0, which has no spec.canary: by its definition, or by its webhook where that takes everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kubernetes import client

from reconciler.demo.kubeapi import AdmissionRequest, KubeApi
from reconciler.demo.kubeapi import Options as ApiOptions
from reconciler.manifest import inference_service as rendered
from reconciler.observed import InferenceService, Known
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from reconciler.systems.serving.writing import NoCanaries
from tests.clusters import api_client
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.test_standard_objects import recorded
from tests.systems.serving.world import eventually

Json = dict[str, Any]
SERVICES = "inferenceservices.serving.kserve.io"
KEEPS: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": SERVICES},
    "spec": {
        "group": "serving.kserve.io",
        "scope": "Namespaced",
        "names": {"kind": "InferenceService", "listKind": "InferenceServiceList", "plural": "inferenceservices"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"predictor": KEEPS, "transformer": KEEPS}},
                            "status": KEEPS,
                        },
                    }
                },
            }
        ],
    },
}


def forget_the_canary(request: AdmissionRequest) -> Json:
    """Write back what an older KServe read of the object, as its webhook does."""
    spec = {name: value for name, value in request.obj["spec"].items() if name != "canary"}
    return {**request.obj, "spec": spec}


@contextmanager
def by_its_definition() -> Iterator[KubeApi]:
    with KubeApi.serve(None, options=ApiOptions(left_out=frozenset({SERVICES}))) as api:
        yield api


@contextmanager
def by_its_webhook() -> Iterator[KubeApi]:
    with KubeApi.serve(None) as api:
        api.admission.mutating(SERVICES, forget_the_canary)
        yield api


@pytest.mark.parametrize("older", [by_its_definition, by_its_webhook])
def test_a_canary_that_is_not_kept_is_told_until_all_is_listed_again(older: Any, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with older() as api:
        api.write_kubeconfig(path)
        admin = api_client(path)
        if older is by_its_definition:
            client.ApiextensionsV1Api(admin).create_custom_resource_definition(DEFINITION)
        client.CoreV1Api(admin).create_namespace({"metadata": {"name": "models"}})
        connection = Connection(KubernetesSettings(kubeconfig=path))
        pace = Pace(resync=2.0)
        with KServe(connection, Options(pace=pace), utc_now, Random(1)) as kserve:
            assert kserve.wait_synced(Options().write_timeout)
            one, two = recorded(1), recorded(2)
            kserve.apply(rendered("iris", one, None))
            before = shown(kserve)
            assert before.canaries
            told: list[str] = []
            kserve.on_change(lambda _, name: told.append(name))
            for write in (kserve.apply, kserve.take_over):
                with pytest.raises(NoCanaries, match=r"has no spec\.canary") as refused:
                    write(rendered("iris", two, 0, one))
                assert "v0.20.0" in refused.value.help
            found = shown(kserve)
            assert (found.canaries, found.release, found.beside) == (False, one.release, None)
            assert told, "whoever waits looks again"
            assert replace(found, canaries=True, resource_version="", applied_at=None) == replace(
                before, resource_version="", applied_at=None
            )
            eventually(lambda: shown(kserve).canaries)
        connection.close()
        admin.rest_client.pool_manager.clear()


def shown(kserve: KServe) -> InferenceService:
    answer = kserve.read_all()
    assert isinstance(answer, Known), answer
    return answer.value["models", "iris"]
