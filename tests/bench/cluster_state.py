"""The fleet in Kubernetes: one object a template, made over the API as in real life, then copied under other names."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from kubernetes import client, config

from reconciler.demo.kserve import revisions
from reconciler.demo.kserve.knative import Component, Share, revision_name
from reconciler.demo.kserve.names import predictor_service
from reconciler.demo.kserve.pods import Absent, Running
from reconciler.demo.kserve.status import YES, Seen, serving
from reconciler.demo.kserve.template import build
from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi
from reconciler.demo.kubeapi.server import STATE_FILE
from reconciler.desired.state import DesiredModel
from reconciler.manifest import inference_service, release_of, serving_fields
from reconciler.observed import ReleaseRecord
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from tests.bench.fleet import NAMESPACE
from tests.bench.registry_rows import VERSIONS

Json = dict[str, Any]
_KSERVE = ("serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices")
_KNATIVE = ("serving.knative.dev", "v1", NAMESPACE, "revisions")
_NOW = "2026-01-01T00:00:00Z"


def record_of(model: DesiredModel, version: int) -> ReleaseRecord:
    """Return what was applied for a version."""
    wanted = model.spec.serving
    assert wanted is not None
    uri = f"s3://models/1/models/m-{model.name}-{version}/artifacts"
    return ReleaseRecord(release_of(version, wanted), uri, serving_fields(wanted))


def make(folder: Path, models: Iterable[DesiredModel]) -> None:
    """Fill a state folder of the embedded Kubernetes API."""
    by_template: dict[str, list[DesiredModel]] = {}
    for model in models:
        assert model.spec.serving is not None
        by_template.setdefault(model.spec.serving.digest, []).append(model)
    first = [group[0] for group in by_template.values()]
    _deploy(folder, first)
    with closing(sqlite3.connect(folder / STATE_FILE)) as database, database:
        for one, group in zip(first, by_template.values(), strict=True):
            _copy(database, one.name, [model.name for model in group[1:]])


def _deploy(folder: Path, models: list[DesiredModel]) -> None:
    """Roll out two versions of each model with the real adapter, and report as KServe does."""
    with KubeApi.serve(folder) as api:
        register(api.admission)
        kubeconfig = folder / "kubeconfig"
        api.write_kubeconfig(kubeconfig)
        with client.ApiClient(configuration(kubeconfig)) as connected:
            core, objects = client.CoreV1Api(connected), client.CustomObjectsApi(connected)
            core.create_namespace({"metadata": {"name": NAMESPACE}})
            connection = Connection(KubernetesSettings(kubeconfig=kubeconfig))
            with KServe(connection, Options(), lambda: datetime.now(UTC), Random(1)) as kserve:
                assert kserve.wait_synced(timedelta(seconds=30)), kserve.read_all()
                for model in models:
                    for version in (VERSIONS - 1, VERSIONS):
                        kserve.apply(inference_service(model.name, record_of(model, version), None))
                        _revise(objects, model.name, version)
                    _report(objects, model.name)
            connection.close()


def configuration(kubeconfig: Path) -> client.Configuration:
    """Return how the Kubernetes client reaches the fleet's API."""
    found = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=found, persist_config=False)
    return found


def _revise(objects: client.CustomObjectsApi, name: str, version: int) -> None:
    live = objects.get_namespaced_custom_object(*_KSERVE, name)
    revision = revisions.new(live, predictor_service(name), version, build(live))
    made = objects.create_namespaced_custom_object(*_KNATIVE, revision, field_manager="controller")
    pod = Running(1, 1) if version == VERSIONS else Absent()
    body = {**made, "status": revisions.status(made, pod, _NOW)}
    objects.replace_namespaced_custom_object_status(
        *_KNATIVE, made["metadata"]["name"], body, field_manager="controller"
    )


def _report(objects: client.CustomObjectsApi, name: str) -> None:
    live = objects.get_namespaced_custom_object(*_KSERVE, name)
    before, newest = (revision_name(predictor_service(name), n) for n in (VERSIONS - 1, VERSIONS))
    component = Component(newest, newest, newest, before, (Share(newest, 100, latest=True),))
    generation = int(live["metadata"]["generation"])
    seen = Seen(component, YES, YES, Running(1, 1), generation, "kserve-mlserver", f"http://{name}.models.example.com")
    # KServe settles in two looks: the model's state follows the conditions of the look before.
    status = serving(serving({}, seen, _NOW), seen, _NOW)
    objects.replace_namespaced_custom_object_status(*_KSERVE, name, {**live, "status": status}, field_manager="manager")


def _copy(database: sqlite3.Connection, original: str, names: list[str]) -> None:
    """Store the objects of one model again under each of the names, with uids and revisions of their own."""
    query = "SELECT resource, namespace, name, body FROM object WHERE namespace = ? ORDER BY revision"
    found = [row for row in database.execute(query, (NAMESPACE,)).fetchall() if original in row[2]]
    (latest,) = database.execute("SELECT revision FROM latest").fetchone()
    rows = list(_copies(found, original, names, latest))
    database.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?)", rows)
    database.execute("UPDATE latest SET revision = ?", (latest + len(rows),))


def _copies(
    found: list[tuple[str, str, str, bytes]], original: str, names: list[str], latest: int
) -> Iterator[tuple[str, str, str, int, bytes]]:
    uids = [json.loads(body)["metadata"]["uid"] for *_, body in found]
    for name in names:
        fresh = {uid: str(uuid.uuid4()) for uid in uids}
        for resource, namespace, object_name, body in found:
            latest += 1
            text = body.decode().replace(original, name)
            for old, new in fresh.items():
                text = text.replace(old, new)
            obj = json.loads(text)
            obj["metadata"]["resourceVersion"] = str(latest)
            encoded = json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
            yield resource, namespace, object_name.replace(original, name), latest, encoded
