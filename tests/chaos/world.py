"""Everything around one reconciler: Git, MLflow, Kubernetes with KServe and KFP, each behind a proxy."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from kubernetes.client import ApiClient, Configuration, CoreV1Api, CustomObjectsApi

from reconciler.demo.kserve.webhook import register
from reconciler.demo.kubeapi import KubeApi
from tests.chaos.light import light_kserve
from tests.chaos.proxy import Proxy, proxied
from tests.chaos.training import PACKAGE, Trainer
from tests.conftest import MlflowServer
from tests.source.repositories import Origin
from tests.source.test_https import TOKEN, served
from tests.systems.training.kfp_server import serve

NAMESPACE = "models"
ISVC = ("serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices")
REVISION = ("serving.knative.dev", "v1", NAMESPACE, "revisions")
PROBE = json.dumps({"inputs": [[1.0], [2.0]]})
Json = dict[str, Any]

SPEC = """\
apiVersion: reconciler.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec:
  training:
    kubeflowPipeline: {{package: pipelines/tiny.yaml}}
    parameters: {{level: {level}, wrong: {wrong}}}
    timeout: 10m
  promotion:
    gates:
      - {{metric: accuracy, min: 0.9}}
  serving:
    namespace: models
    predictor:
      model:
        modelFormat: {{name: mlflow}}
        protocolVersion: v2
      minReplicas: 1
  rollout:
    steps:
      - {{traffic: 10, hold: 200ms}}
      - {{traffic: 50, hold: 200ms}}
    analysis:
      - name: answers
        interval: 1s
        minSamples: 4
        probe: {{inputs: {{file: probes/rows.json}}, requests: 4}}
"""
# A folder without any document is never taken for a wish to remove everything.
POLICY = "apiVersion: reconciler.dev/v1alpha1\nkind: RepositoryPolicy\nmetadata: {name: policy}\nspec: {}\n"


@dataclass(frozen=True, slots=True)
class World:
    """One model's world. `proxies` are by the system's name: mlflow, kubernetes, kfp, git."""

    name: str
    folder: Path
    origin: Origin
    mlflow: MlflowServer
    trainer: Trainer
    cluster: ApiClient
    ingress: str
    proxies: dict[str, Proxy]
    callers: Callers
    # One for all questions: each new one would read the machine's certificates first.
    http: httpx.Client

    @property
    def state(self) -> Path:
        """Return the reconciler's folder."""
        return self.folder / "state"

    @property
    def settings(self) -> Path:
        """Return the reconciler's settings."""
        return self.folder / "reconciler.yaml"

    def want(self, level: int | None, *, wrong: bool) -> None:
        """Commit a spec that trains this; without a level the spec leaves Git, and who called the model has left."""
        if level is None:
            self.callers.leave()
            self.origin.commit({f"models/{self.name}.yaml": None}, "No model")
            return
        spec = SPEC.format(name=self.name, level=level, wrong=str(wrong).lower())
        fixed = {"policy.yaml": POLICY, "pipelines/tiny.yaml": PACKAGE, "probes/rows.json": PROBE}
        self.origin.commit({f"models/{self.name}.yaml": spec, **fixed}, f"Level {level}")

    def registered(self) -> Json:
        """Read the model and its versions from MLflow itself."""
        api = f"{self.mlflow.url}/api/2.0/mlflow"
        got = self.http.get(f"{api}/registered-models/get", params={"name": self.name})
        if got.status_code == 404:
            return {"model": {}, "versions": []}
        model = got.raise_for_status().json()["registered_model"]
        query: dict[str, str | int] = {"filter": f"name='{self.name}'", "max_results": 1000}
        found = self.http.get(f"{api}/model-versions/search", params=query).raise_for_status().json()
        return {"model": model, "versions": found.get("model_versions", [])}

    def service(self) -> Json | None:
        """Read the InferenceService from Kubernetes itself."""
        found = CustomObjectsApi(self.cluster).list_namespaced_custom_object(*ISVC)["items"]
        return next((item for item in found if item["metadata"]["name"] == self.name), None)

    def revisions(self) -> int:
        """Count the revisions."""
        return len(CustomObjectsApi(self.cluster).list_namespaced_custom_object(*REVISION)["items"])


@dataclass
class Callers:
    """Somebody who calls the model all the time, from its first good answer on."""

    lost: list[str] = field(default_factory=list)
    answered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _gone: threading.Event = field(default_factory=threading.Event)

    def call(self, url: str) -> None:
        """Call until told to stop; what counts as lost is no answer of any model at all."""
        try:
            with httpx.Client(timeout=60, trust_env=False) as client:
                while not self._stop.wait(0.1):
                    self._call(client, url)
        finally:
            self._gone.set()

    def _call(self, client: httpx.Client, url: str) -> None:
        tensor = {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}
        try:
            answer = client.post(url, json={"inputs": [tensor]})
        except httpx.HTTPError as error:
            self.lost.append(repr(error))
            return
        if answer.status_code in (200, 500):
            self.answered += 1
        elif self.answered:
            self.lost.append(f"{answer.status_code} {answer.text[:200]}")

    def leave(self) -> None:
        """Call no more; returns when the last call is over."""
        self._stop.set()
        self._gone.wait()

    @contextmanager
    def calling(self, url: str) -> Iterator[None]:
        """Call in a thread until the block ends."""
        thread = threading.Thread(target=self.call, args=(url,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


@contextmanager
def world(folder: Path, mlflow: MlflowServer) -> Iterator[World]:
    """Set up a world of its own, around an MLflow server that several share."""
    name = f"chaos-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        origin = Origin(folder / "origin")
        api = stack.enter_context(KubeApi.serve(None))
        register(api.admission)
        configuration = Configuration()
        configuration.host = api.url
        cluster = stack.enter_context(ApiClient(configuration))
        CoreV1Api(cluster).create_namespace({"metadata": {"name": NAMESPACE}})
        ingress = stack.enter_context(light_kserve(cluster, folder / "kserve"))
        trainer = Trainer(mlflow=mlflow)
        stack.callback(_wait_for, trainer)
        targets = {
            "mlflow": mlflow.url,
            "kubernetes": api.url,
            "kfp": stack.enter_context(serve(trainer)),
            "git": stack.enter_context(served(folder)),
        }
        proxies = {system: stack.enter_context(proxied(url)) for system, url in targets.items()}
        callers = Callers()
        http = stack.enter_context(httpx.Client(timeout=60, trust_env=False))
        made = World(name, folder, origin, mlflow, trainer, cluster, ingress, proxies, callers, http)
        _write_kubeconfig(folder / "kubeconfig", proxies["kubernetes"].url)
        made.settings.write_text(json.dumps(_settings(made)), encoding="utf-8")
        (folder / "token").write_text(TOKEN, encoding="utf-8")
        stack.enter_context(callers.calling(f"{ingress}/serving/{NAMESPACE}/{name}/v2/models/{name}/infer"))
        yield made


def _wait_for(trainer: Trainer) -> None:
    for thread in trainer.working:
        thread.join()


def _write_kubeconfig(path: Path, url: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "w",
        "clusters": [{"name": "w", "cluster": {"server": url}}],
        "users": [{"name": "w", "user": {}}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
    }
    path.write_text(json.dumps(config), encoding="utf-8")


def _settings(world: World) -> Json:
    return {
        "stateDir": str(world.state),
        "git": {
            "url": str(world.folder / "origin"),
            "token": {"file": str(world.folder / "token")},
            "pollInterval": "1s",
            "timeout": "1500ms",
        },
        "mlflow": {
            "trackingUri": world.proxies["mlflow"].url,
            "readInterval": "1s",
            "timeout": "1500ms",
            "artifactDestinations": {"mlflow-artifacts:/": f"file://{world.mlflow.artifacts}/"},
        },
        "kubernetes": {"kubeconfig": str(world.folder / "kubeconfig"), "timeout": "1500ms"},
        "training": {
            "backend": "kfp",
            "host": world.proxies["kfp"].url,
            "pollInterval": "200ms",
            "timeout": "500ms",
        },
        "http": {"port": 0},
        "loop": {"interval": "5s", "backoffMin": "100ms", "backoffMax": "1s", "shutdownTimeout": "10s"},
        "log": {"format": "json"},
    }


def git_by_http(world: World) -> None:
    """Have the reconciler fetch over HTTP through the proxy instead of from the folder."""
    settings = json.loads(world.settings.read_text(encoding="utf-8"))
    settings["git"]["url"] = f"{world.proxies['git'].url}/origin/.git"
    world.settings.write_text(json.dumps(settings), encoding="utf-8")


def environment() -> dict[str, str]:
    """Return the environment of a reconciler: ours, without what would reach around the proxies."""
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
