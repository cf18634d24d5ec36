"""KServe's controller: from InferenceServices to revisions, routes, model servers and status."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from reconciler.demo.kserve import knative, revisions
from reconciler.demo.kserve import status as statuses
from reconciler.demo.kserve.cluster import Changed, Cluster, Unavailable, has_finalizer
from reconciler.demo.kserve.knative import Component, Target, revision_number
from reconciler.demo.kserve.names import (
    DEPLOYMENT_MODE,
    FINALIZER,
    LEGACY_MODES,
    MIN_SCALE,
    SOURCE_URI,
    STOP,
    TAG_ROUTING,
    Json,
    predictor_service,
)
from reconciler.demo.kserve.pods import Order, Pods, RevisionId
from reconciler.demo.kserve.router import Entry, Router, Weights
from reconciler.demo.kserve.runtimes import InvalidSpec
from reconciler.demo.kserve.scaling import Demand, Scaler
from reconciler.demo.kserve.status import Seen, condition
from reconciler.demo.kserve.template import Template, UnsupportedUri, build
from reconciler.demo.kserve.workqueue import WorkQueue

_log = structlog.get_logger(__name__)

_SOON = 0.05
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the controller works with."""

    cluster: Cluster
    pods: Pods
    router: Router
    scaler: Scaler
    queue: WorkQueue[Entry]
    now: Callable[[], datetime]
    ingress_url: str


class Controller:
    """One pass at a time over whichever InferenceService is due."""

    def __init__(self, parts: Parts, owners: dict[RevisionId, Entry]) -> None:
        self._parts = parts
        self._owners = owners
        self._generations: dict[Entry, tuple[tuple[Template, tuple[Target, ...]], int]] = {}
        self._reported: dict[Entry, str] = {}

    def run(self) -> None:
        """Work until the queue is closed; the model servers live no longer than this thread."""
        self._parts.pods.warm_up()
        while (key := self._parts.queue.take()) is not None:
            try:
                self._reconcile(key)
            except Changed:
                self._parts.queue.add(key, _SOON)
            except Unavailable as error:
                _log.warning("the Kubernetes API did not answer", service=str(key), error=str(error))
                self._parts.queue.add(key, _RETRY_SECONDS)
            except Exception:  # noqa: BLE001  one malformed InferenceService must not stop the others
                _log.exception("reconciling failed", service=str(key))
                self._parts.queue.add(key, _RETRY_SECONDS * 10)
        self._parts.pods.close()

    def follow(self, closed: threading.Event) -> None:
        """Queue every InferenceService that is there or changes, until `closed`."""
        while not closed.is_set():
            try:
                listing = self._parts.cluster.list_services()
                for isvc in listing.items:
                    self._parts.queue.add(_key(isvc))
                for event in self._parts.cluster.watch_services(listing.resource_version):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] != "BOOKMARK":
                        self._parts.queue.add(_key(event["object"]))
            except (Changed, Unavailable) as error:
                if not closed.wait(_RETRY_SECONDS):
                    _log.info("watching InferenceServices again", error=str(error))

    def _reconcile(self, key: Entry) -> None:
        isvc = self._parts.cluster.get_service(key.namespace, key.name)
        if isvc is None:
            self._take_down(key)
            return
        if "deletionTimestamp" in isvc["metadata"]:
            self._finalize(key, isvc)
            return
        if not has_finalizer(isvc):
            self._parts.cluster.set_finalizers(isvc, [*isvc["metadata"].get("finalizers", []), FINALIZER])
            self._parts.queue.add(key)
            return
        before = isvc.get("status", {})
        after = self._status(key, isvc, before)
        if after != before:
            self._parts.cluster.write_status(isvc, after)
            self._tell_readiness(isvc, before, after)
            self._parts.queue.add(key)

    def _status(self, key: Entry, isvc: Json, before: Json) -> Json:
        now = self._now()
        annotations = isvc["metadata"].get("annotations", {})
        mode = annotations.get(DEPLOYMENT_MODE, "Knative")
        if LEGACY_MODES.get(mode, mode) != "Knative":
            self._report(key, isvc, f"the embedded KServe has no {mode} mode; use Knative")
            return before
        if annotations.get(STOP, "").lower() == "true":
            self._stop(key, isvc)
            return statuses.stopped(before, now)
        try:
            template = build(isvc)
        except UnsupportedUri as error:
            self._report(key, isvc, str(error))
            status = statuses.initialised(before, now)
        except InvalidSpec as error:
            self._report(key, isvc, str(error))
            status = statuses.invalid(before, error.reason, error.status_message, now)
        else:
            return self._serve(key, isvc, template, before)
        self._route(key, isvc, statuses.component_of(before), self._revisions(isvc))
        return status

    def _serve(self, key: Entry, isvc: Json, template: Template, before: Json) -> Json:
        found = self._with_current(isvc, template, self._revisions(isvc))
        created = max(found, key=revision_number)
        component = statuses.component_of(before)
        ready = knative.latest_ready(component.ready, _ready_ones(found))
        percent = isvc["spec"]["predictor"].get("canaryTrafficPercent")
        targets = knative.traffic_targets(percent, _latest_tag(isvc), component)
        shares = knative.route(targets, ready, component.shares)
        component = knative.propagate(component, knative.Service(created, ready, shares))
        self._route(key, isvc, component, found)
        configuration = statuses.configuration(created, revisions.readiness(found[created]))
        seen = Seen(
            component=component,
            configuration=configuration,
            route=statuses.route(ready, configuration, _service(isvc)),
            pod=self._parts.pods.state(RevisionId(key.namespace, created)),
            generation=self._generation(key, before, (template, targets)),
            runtime=template.runtime,
            url=f"{self._parts.ingress_url}/serving/{key}",
        )
        return statuses.serving(before, seen, self._now())

    def _revisions(self, isvc: Json) -> dict[str, Json]:
        """Read the revisions, and bring what each says of itself up to date."""
        namespace = isvc["metadata"]["namespace"]
        found = {}
        for revision in self._parts.cluster.list_revisions(namespace, _service(isvc)):
            name = revision["metadata"]["name"]
            self._owners[RevisionId(namespace, name)] = _key(isvc)
            found[name] = self._with_status(revision)
        return found

    def _with_status(self, revision: Json) -> Json:
        metadata = revision["metadata"]
        pod = self._parts.pods.state(RevisionId(metadata["namespace"], metadata["name"]))
        status = revisions.status(revision, pod, self._now())
        if status != revision.get("status"):
            self._parts.cluster.write_revision_status(revision, status)
        return {**revision, "status": status}

    def _with_current(self, isvc: Json, template: Template, found: dict[str, Json]) -> dict[str, Json]:
        """Add a revision when the template is not what the latest one was made of."""
        latest = max(found, key=revision_number, default="")
        if latest and revisions.is_made_of(found[latest], template):
            return found
        revision = revisions.new(isvc, _service(isvc), revision_number(latest) + 1, template)
        created = self._parts.cluster.create_revision(revision)
        name = created["metadata"]["name"]
        self._owners[RevisionId(isvc["metadata"]["namespace"], name)] = _key(isvc)
        return {**found, name: self._with_status(created)}

    def _route(self, key: Entry, isvc: Json, component: Component, found: dict[str, Json]) -> None:
        """Send requests where the route says, then start and stop servers accordingly."""
        self._parts.router.publish(key, _routes(key, component))
        routed = {share.revision for share in component.shares}
        newest = max(found, key=revision_number, default="")
        wait = self._parts.scaler.apply(
            Demand(
                order=Order(
                    revision=RevisionId(key.namespace, name),
                    storage_uri=revision["metadata"]["annotations"].get(SOURCE_URI, ""),
                    model_name=isvc["metadata"]["name"],
                ),
                routed=name in routed,
                pending=name == newest and revisions.readiness(revision).status != "True",
                min_scale=int(revision["metadata"]["annotations"].get(MIN_SCALE, "1")),
            )
            for name, revision in found.items()
        )
        if wait is not None:
            self._parts.queue.add(key, wait)

    def _stop(self, key: Entry, isvc: Json) -> None:
        self._take_down(key)
        namespace = isvc["metadata"]["namespace"]
        for revision in self._parts.cluster.list_revisions(namespace, _service(isvc)):
            self._parts.cluster.delete_revision(namespace, revision["metadata"]["name"])

    def _finalize(self, key: Entry, isvc: Json) -> None:
        if not has_finalizer(isvc):
            return
        if not self._take_down(key):
            self._parts.queue.add(key, _SOON)
            return
        others = [name for name in isvc["metadata"]["finalizers"] if name != FINALIZER]
        self._parts.cluster.set_finalizers(isvc, others)

    def _take_down(self, key: Entry) -> bool:
        """Stop all servers of a service; False while one still ends."""
        self._parts.router.publish(key, {})
        mine = [revision for revision, owner in self._owners.items() if owner == key]
        for revision in mine:
            self._parts.router.backend(revision, None)
            self._parts.pods.stop(revision)
        if not all(self._parts.pods.ended(revision) for revision in mine):
            return False
        for revision in mine:
            del self._owners[revision]
        self._generations.pop(key, None)
        self._reported.pop(key, None)
        return True

    def _generation(self, key: Entry, before: Json, wanted: tuple[Template, tuple[Target, ...]]) -> int:
        """Count the changes of the Knative Service; the InferenceService's own are not what is observed."""
        standing = self._generations.get(key)
        number = standing[1] if standing else before.get("observedGeneration", 1)
        if standing and standing[0] != wanted:
            number += 1
        self._generations[key] = (wanted, number)
        return number

    def _report(self, key: Entry, isvc: Json, message: str) -> None:
        """Write an InternalError event, once for each generation and message."""
        report = f"{isvc['metadata'].get('generation')} {message}"
        if self._reported.get(key) != report:
            self._parts.cluster.record_event(isvc, "Warning", "InternalError", message, self._now())
            self._reported[key] = report

    def _tell_readiness(self, isvc: Json, before: Json, after: Json) -> None:
        name = isvc["metadata"]["name"]
        was, is_now = condition(before, "Ready").status, condition(after, "Ready")
        if was != "True" and is_now.status == "True":
            text = f"InferenceService [{name}] is Ready"
            self._parts.cluster.record_event(isvc, "Normal", "InferenceServiceReady", text, self._now())
        elif was == "True" and is_now.status == "False":
            failed = [c["type"] for c in after["conditions"] if c["status"] == "False" and c["type"] != "Stopped"]
            text = f"InferenceService [{name}] is no longer Ready because of: {', '.join(failed)}"
            self._parts.cluster.record_event(isvc, "Warning", "InferenceServiceNotReady", text, self._now())

    def _now(self) -> str:
        return self._parts.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(isvc: Json) -> Entry:
    return Entry(isvc["metadata"]["namespace"], isvc["metadata"]["name"])


def _service(isvc: Json) -> str:
    return predictor_service(isvc["metadata"]["name"], isvc["spec"]["predictor"].get("name", ""))


def _latest_tag(isvc: Json) -> str:
    enabled = isvc["metadata"].get("annotations", {}).get(TAG_ROUTING) == "true"
    return knative.LATEST_TAG if enabled else ""


def _ready_ones(found: dict[str, Json]) -> list[str]:
    return [name for name, revision in found.items() if revisions.readiness(revision).status == "True"]


def _routes(key: Entry, component: Component) -> dict[Entry, Weights]:
    weights = tuple((RevisionId(key.namespace, s.revision), s.percent) for s in component.shares)
    routes = {key: weights} if weights else {}
    for share in component.shares:
        if share.tag:
            tagged = Entry(key.namespace, f"{key.name}--{share.tag}")
            routes[tagged] = ((RevisionId(key.namespace, share.revision), 100),)
    return routes
