"""KServe behind the real adapter: its cache, watches and writes over an in-process Kubernetes API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from reconciler.demo.kserve import revisions
from reconciler.demo.kserve import status as statuses
from reconciler.demo.kserve.cluster import has_finalizer
from reconciler.demo.kserve.knative import missing, traffic_targets
from reconciler.demo.kserve.names import FINALIZER, predictor_service
from reconciler.demo.kserve.pods import Broken, Loading, PodState, Running
from reconciler.demo.kserve.status import NO, UNKNOWN, YES, Condition, Seen
from reconciler.demo.kserve.template import build
from reconciler.observed import Failure, InferenceService, Known, Unknown
from reconciler.ports import Clock
from reconciler.systems.serving.api import DEPLOYMENTS, HTTP_ROUTES, INFERENCE_SERVICES, REVISIONS, Call, Resource
from tests.simulation.faults import Faults
from tests.simulation.serving import Key, Live, SimServing
from tests.simulation.standard import Routing
from tests.simulation.wire import standard
from tests.simulation.wire.driven import Driven
from tests.simulation.wire.kube_api import WireApi
from tests.simulation.wire.kubernetes import MERGE, Json, Kubernetes, RefusalError

_CONTROLLER = (("fieldManager", "manager"),)
_PERSON = (("fieldManager", "kubectl-edit"),)
_POD_BROKEN = Broken("the model does not load", 1, 0.0)
_POD_CRASHED = Broken("it was killed", 137, 0.0)

Pick = Callable[[Sequence[Any]], Any]


def calmest(options: Sequence[Any]) -> Any:
    """Choose what is calm."""
    return options[0]


class WireServing(SimServing):
    """SimServing's Knative and its truth; between it and the reconciler stand Kubernetes and the real adapter.

    `sleep` lets time pass, in seconds: a call that waits for its watch does. HTTPRoutes are always served here, be they
    used or not.
    """

    routings: ClassVar[tuple[Routing, ...]] = (*6 * ("weights",), "ignored", "unused")

    def __init__(self, faults: Faults, clock: Clock, sleep: Callable[[float], None], pick: Pick = calmest) -> None:
        super().__init__(faults, clock)
        self.kubernetes = Kubernetes(clock)
        self._sleep = sleep
        self._elapsed, self._looked_at = 0.0, clock()
        self._shown = self.kubernetes.store.revision
        self.api = WireApi(self.kubernetes, faults, self.monotonic, pick, self._before, lambda: self.blind)
        self.kubernetes.store.subscribe(self._follow)
        self.adapter = Driven(self.api, clock, sleep)
        self._written: dict[str, dict[str, Json]] = {}

    def restart(self) -> None:
        """Begin a new process: nothing that was seen is known any more; what was sent is still on its way."""
        self.api.streams.clear()
        self.adapter = Driven(self.api, self.clock, self._sleep, self.namespaces)

    def monotonic(self) -> float:
        """Return seconds that never go back, whatever the clock on the wall does."""
        now: datetime = self.clock()
        self._elapsed += max(0.0, (now - self._looked_at).total_seconds())
        self._looked_at = now
        return self._elapsed

    def read_all(self) -> Known[Mapping[Key, InferenceService]] | Unknown:
        if not self.lagging:
            self.adapter.show()
        return self.adapter.read_all()

    def shown(self, name: str) -> list[InferenceService]:
        reading = self.adapter.read_all()
        found = reading.value.items() if isinstance(reading, Known) else ()
        return [live for (_, named), live in found if named == name]

    def drift(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        return self.adapter.drift(manifest)

    def apply(self, manifest: Mapping[str, Any]) -> None:
        try:
            self.adapter.apply(manifest)
        finally:
            self.writes = self.api.writes

    def trouble(self, live: InferenceService) -> Failure | None:
        return self.adapter.trouble(live)

    def take_over(self, manifest: Mapping[str, Any]) -> None:
        try:
            self.adapter.take_over(manifest)
        finally:
            self.writes = self.api.writes

    def adopt(self, manifest: Mapping[str, Any]) -> None:
        try:
            self.adapter.adopt(manifest)
        finally:
            self.writes = self.api.writes

    def delete(self, namespace: str, name: str, uid: str) -> None:
        try:
            self.adapter.delete(namespace, name, uid)
        finally:
            self.writes = self.api.writes

    def _before(self, call: Call) -> None:
        live = self.live.get((call.namespace, call.name))
        if call.verb == "delete" and live is not None and live.uid == call.body["preconditions"]["uid"]:
            self.before_delete((call.namespace, call.name))

    def _follow(self) -> None:
        """Keep the truth as Kubernetes has it."""
        changes = self.kubernetes.store.changes_since(INFERENCE_SERVICES.qualified, self._shown)
        self._shown = self.kubernetes.store.revision
        for change in changes:
            if change.kind == "DELETED":
                self._collect(str(change.record.value["metadata"]["uid"]))
            key = (change.record.key.namespace, change.record.key.name)
            if change.kind == "DELETED":
                self.live.pop(key, None)
                continue
            value = change.record.value
            live = self.live.setdefault(key, Live(value, value["metadata"]["uid"]))
            live.manifest, live.generation = value, value["metadata"]["generation"]
            live.resource_version = change.revision

    def _collect(self, uid: str) -> None:
        """Remove what belonged to an object that is gone, as the garbage collector does."""
        for path in self._written.pop(uid, {}):
            self.kubernetes.ask("DELETE", path)

    def edit_by_hand(self, key: Key, field_name: str, value: object) -> None:
        try:
            self._ask("PATCH", key, {"spec": {"predictor": {field_name: value}}}, _PERSON)
        except RefusalError as refused:
            # KServe's webhook refuses some numbers of replicas; the person gives up.
            self.faults.log.append(f"-- an edit by hand was refused: {refused.code}")

    def label_by_hand(self, key: Key, labels: Mapping[str, str | None]) -> None:
        self._ask("PATCH", key, {"metadata": {"labels": dict(labels)}}, _PERSON)

    def delete_by_hand(self, key: Key) -> None:
        self.kubernetes.ask("DELETE", INFERENCE_SERVICES.path(*key))

    def create_by_hand(self, body: Mapping[str, Any]) -> None:
        self.kubernetes.ask("POST", INFERENCE_SERVICES.path(body["metadata"]["namespace"]), _PERSON, dict(body))

    def _ask(self, method: str, key: Key, body: Json, query: Sequence[tuple[str, str]] = _CONTROLLER) -> None:
        self.kubernetes.ask(method, INFERENCE_SERVICES.path(*key), query, body, MERGE)

    def tick(self, key: Key, turn: int = 0) -> bool:
        """Let one controller take one step; KServe's finalizer comes first and goes last."""
        self.api.land()
        live = self.live.get(key)
        if live is None:
            return False
        if "deletionTimestamp" in live.manifest["metadata"]:
            self._finalize(key, live, [])
            return True
        if not has_finalizer(live.manifest):
            self._finalize(key, live, [FINALIZER])
            return True
        moved = super().tick(key, turn)
        if key in self.live and self.live[key].standard:
            self._publish(self.live[key])
        return moved

    def _publish(self, live: Live) -> None:
        """Write what KServe and Kubernetes' own controllers write in Standard mode."""
        stuck = {name for name in live.templates if self._stuck(live.releases[name]) and name not in live.ready}
        wanted = [(DEPLOYMENTS, obj) for obj in standard.deployments(live, stuck).values()]
        route = standard.http_route(live) if self.routing in ("weights", "ignored") else None
        wanted += [(HTTP_ROUTES, route)] if route else []
        written = self._written.setdefault(live.uid, {})
        for path in [path for path in written if path not in {r.path(*_key(o)) for r, o in wanted}]:
            self.kubernetes.ask("DELETE", path)
            del written[path]
        for resource, obj in wanted:
            path = resource.path(*_key(obj))
            if written.get(path) != obj:
                self._write(resource, path, obj, new=path not in written)
                written[path] = obj
        after = standard.status(live)
        if after != live.manifest.get("status"):
            self._write_status(INFERENCE_SERVICES, {**live.manifest, "status": after})

    def _write(self, resource: Resource, path: str, obj: Json, *, new: bool) -> None:
        if new:
            self.kubernetes.ask("POST", resource.path(obj["metadata"]["namespace"]), _CONTROLLER, obj)
        else:
            spec = {"metadata": {"labels": obj["metadata"].get("labels", {})}, "spec": obj["spec"]}
            self.kubernetes.ask("PATCH", path, _CONTROLLER, spec, MERGE)
        if "status" in obj:
            there = self.kubernetes.ask("GET", path)
            seen = {**obj["status"], "observedGeneration": there["metadata"]["generation"]}
            self._write_status(resource, {**there, "status": seen})

    def _finalize(self, key: Key, live: Live, finalizers: list[str]) -> None:
        self._ask("PATCH", key, {"metadata": {"finalizers": finalizers, "resourceVersion": str(live.resource_version)}})

    def _revise(self, live: Live) -> bool:
        if not super()._revise(live):
            return False
        isvc = live.manifest
        made = revisions.new(isvc, predictor_service(isvc["metadata"]["name"]), live.created, build(isvc))
        self.kubernetes.ask("POST", REVISIONS.path(isvc["metadata"]["namespace"]), _CONTROLLER, made)
        return True

    def _become_ready(self, live: Live) -> bool:
        before = set(live.ready)
        if not super()._become_ready(live):
            return False
        for name in live.ready - before:
            self._tell_of(live, name)
        return True

    def _tell_of(self, live: Live, name: str) -> None:
        """Write what a revision that was ready says of itself."""
        revision = self.kubernetes.ask("GET", REVISIONS.path(live.manifest["metadata"]["namespace"], name))
        pod = _POD_CRASHED if name in live.down else Running(1, 1)
        self._write_status(REVISIONS, {**revision, "status": revisions.status(revision, pod, self._now())})

    def _noticed(self, live: Live) -> None:
        if live.standard:
            self._publish(live)
            return
        for name in live.ready:
            self._tell_of(live, name)

    def _report(self, live: Live) -> bool:
        changed = super()._report(live)
        if not live.created:
            return changed
        before = live.manifest.get("status", {})
        after = statuses.serving(before, self._seen_by_kserve(live), self._now())
        _name_revisions(after, live.manifest)
        if after == before:
            return changed
        self._write_status(INFERENCE_SERVICES, {**live.manifest, "status": after})
        return True

    def _seen_by_kserve(self, live: Live) -> Seen:
        configuration = statuses.configuration(live.newest, self._readiness(live))
        targets = traffic_targets(live.percent, "latest", live.component)
        service = predictor_service(live.manifest["metadata"]["name"])
        return Seen(
            component=live.component,
            configuration=configuration,
            route=statuses.route(missing(targets, live.latest_ready, live.up), configuration, service),
            pod=self._pod(live),
            generation=live.generation,
            runtime="kserve-mlserver",
            url="http://" + "/".join(_key(live.manifest)),
        )

    def _readiness(self, live: Live) -> Condition:
        if live.newest in live.up:
            return YES
        if live.newest in live.down:
            return Condition("False", "ExitCode137", "Container failed with: it was killed")
        return NO if self._stuck(live.releases[live.newest]) else UNKNOWN

    def _pod(self, live: Live) -> PodState:
        if live.newest in live.up:
            return Running(1, 1)
        if live.newest in live.down:
            return _POD_CRASHED
        return _POD_BROKEN if self._stuck(live.releases[live.newest]) else Loading()

    def _write_status(self, resource: Resource, obj: Json) -> None:
        path = f"{resource.path(*_key(obj))}/status"
        self.kubernetes.ask("PUT", path, _CONTROLLER, obj)

    def _now(self) -> str:
        return self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(obj: Mapping[str, Any]) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _name_revisions(status: Json, isvc: Json) -> None:
    """Let the address of a tag name the revision behind it, which is where the prober asks."""
    for target in status["components"]["predictor"].get("traffic", []):
        if "url" in target:
            target["url"] = "/".join(("http:/", *_key(isvc), target["revisionName"]))
