"""From a candidate's readiness to its first traffic, both as the API sees them, while everything is watched.

It leaves rollouts under way, so it comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import median

import httpx

from reconciler.demo.kserve import knative, revisions, status
from reconciler.demo.kserve.knative import Service
from reconciler.demo.kserve.names import Json, predictor_service
from reconciler.demo.kserve.pods import Fetching, PodState, Running
from reconciler.demo.kserve.status import YES, Seen, component_of
from reconciler.demo.kserve.template import build
from tests.bench.fleet import NAMESPACE, name_of
from tests.bench.live import SERVICES, Eye, live, watching
from tests.bench.registry_rows import VERSIONS
from tests.bench.report import Row
from tests.bench.world import World

NAME = "reaction"
SAMPLES = 20
LIMIT_SECONDS = 1.0
PATIENCE = 120.0
REPLICAS = 9
FIRST_SHARE = 10
RAW = "raw"
_IN_NAMESPACE = SERVICES.replace("inferenceservices", f"namespaces/{NAMESPACE}/inferenceservices")
_REVISIONS = f"/apis/serving.knative.dev/v1/namespaces/{NAMESPACE}/revisions"
_NOW = "2026-01-02T00:00:00Z"
_MERGE = {"content-type": "application/merge-patch+json"}


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure one candidate after the other, then a plain client that does nothing but react."""
    del rounds
    world.remember_releases(NAME)
    models = range(min(SAMPLES, world.size // 2))
    with httpx.Client(base_url=world.kubernetes_url, timeout=60, trust_env=False) as api:
        with live(world.settings(NAME)) as running, watching(api) as eye:
            started = [eye.expect(name_of(n), _share_is(0)) for n in models]
            world.repository.resize(models, REPLICAS)
            running.service.poll()
            candidates = [Candidate.make(api, applied) for applied in map(_object, started)]
            reactions = [_first_traffic(eye, candidate) for candidate in candidates]
        with watching(api) as eye:
            raw = list(_raw_round_trips(api, eye, candidates[0].service))
    what = f"readiness written to traffic moved, median of {len(reactions)}"
    yield Row(NAME, world.size, what, median(reactions), "s", limit=LIMIT_SECONDS)
    base = "plain client: watch event, patch, seen"
    yield Row(NAME, world.size, "the same", median(reactions), "s", median(raw), base)
    yield Row(NAME, world.size, "the slowest", max(reactions), "s")


def _share_is(percent: int) -> Callable[[Json], bool]:
    return lambda obj: obj["spec"]["predictor"].get("canaryTrafficPercent") == percent


def _url_is(url: str) -> Callable[[Json], bool]:
    return lambda obj: obj.get("status", {}).get("url") == url


def _object(seen: Future[tuple[float, Json]]) -> Json:
    return seen.result(PATIENCE)[1]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A new revision of a model, for which KServe's part is played here."""

    api: httpx.Client
    service: Json
    revision: Json

    @classmethod
    def make(cls, api: httpx.Client, applied: Json) -> Candidate:
        """Create the revision of what was just applied; its pod is on its way."""
        service = predictor_service(applied["metadata"]["name"])
        revision = revisions.new(applied, service, VERSIONS + 1, build(applied))
        made = cls(api, applied, api.post(_REVISIONS, json=revision).raise_for_status().json())
        return made.seen(Fetching()).write_revision().write_service()

    def seen(self, pod: PodState) -> Candidate:
        """Return both objects with the statuses that Knative and KServe write for this pod."""
        revision = {**self.revision, "status": revisions.status(self.revision, pod, _NOW)}
        before, name = self.service["status"], revision["metadata"]["name"]
        component, readiness = component_of(before), revisions.readiness(revision)
        percent = self.service["spec"]["predictor"].get("canaryTrafficPercent")
        targets = knative.traffic_targets(percent, knative.LATEST_TAG, component)
        up = [component.ready, *([name] if readiness.status == "True" else [])]
        ready = knative.latest_ready(component.ready, up)
        shares = knative.route(targets, ready, up, component.shares)
        component = knative.propagate(component, Service(name, ready, shares))
        configuration = status.configuration(name, readiness)
        generation = int(self.service["metadata"]["generation"])
        look = Seen(component, configuration, YES, pod, generation, "kserve-mlserver", before["url"])
        after = status.serving(status.serving(before, look, _NOW), look, _NOW)
        return Candidate(self.api, {**self.service, "status": after}, revision)

    def write_revision(self) -> Candidate:
        """Write the revision's status."""
        path = f"{_REVISIONS}/{self.revision['metadata']['name']}/status"
        return Candidate(self.api, self.service, _put(self.api, path, self.revision))

    def write_service(self) -> Candidate:
        """Write the InferenceService's status."""
        path = f"{_IN_NAMESPACE}/{self.service['metadata']['name']}/status"
        return Candidate(self.api, _put(self.api, path, self.service), self.revision)


def _put(api: httpx.Client, path: str, obj: Json) -> Json:
    written: Json = api.put(path, json=obj).raise_for_status().json()
    return written


def _first_traffic(eye: Eye, candidate: Candidate) -> float:
    shifted = eye.expect(candidate.service["metadata"]["name"], _share_is(FIRST_SHARE))
    ready = candidate.seen(Running(1, 1)).write_revision()
    began = time.perf_counter()
    ready.write_service()
    return shifted.result(PATIENCE)[0] - began


def _raw_round_trips(api: httpx.Client, eye: Eye, like: Json) -> Iterator[float]:
    """React to statuses of an object that is no model's."""
    body = {"apiVersion": like["apiVersion"], "kind": like["kind"], "metadata": {"name": RAW}, "spec": like["spec"]}
    live = api.post(_IN_NAMESPACE, json=body).raise_for_status().json()
    for percent in range(1, SAMPLES + 1):
        told = eye.expect(RAW, _url_is(str(percent)))
        patched = eye.expect(RAW, _share_is(percent))
        began = time.perf_counter()
        _put(api, f"{_IN_NAMESPACE}/{RAW}/status", {**live, "status": {**like["status"], "url": str(percent)}})
        told.result(PATIENCE)
        patch = {"spec": {"predictor": {"canaryTrafficPercent": percent}}}
        live = api.patch(f"{_IN_NAMESPACE}/{RAW}", json=patch, headers=_MERGE).raise_for_status().json()
        yield patched.result(PATIENCE)[0] - began
