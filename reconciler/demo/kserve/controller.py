"""KServe's controller: from InferenceServices to model servers, routes and status, in either mode."""

from __future__ import annotations

import threading

import structlog

from reconciler.demo.kserve import status as statuses
from reconciler.demo.kserve.cluster import has_finalizer
from reconciler.demo.kserve.knative_mode import KnativeMode
from reconciler.demo.kserve.names import DEPLOYMENT_MODE, FINALIZER, LEGACY_MODES, STOP, Json
from reconciler.demo.kserve.objects import Changed, Unavailable
from reconciler.demo.kserve.parts import Mode, Parts
from reconciler.demo.kserve.router import Entry
from reconciler.demo.kserve.runtimes import InvalidSpec
from reconciler.demo.kserve.standard import BadCanary
from reconciler.demo.kserve.standard_mode import StandardMode, StandardOptions
from reconciler.demo.kserve.status import condition
from reconciler.demo.kserve.template import UnsupportedUri

_log = structlog.get_logger(__name__)

_SOON = 0.05
_RETRY_SECONDS = 1.0


class Controller:
    """One pass at a time over whichever InferenceService is due."""

    def __init__(self, parts: Parts, standard: StandardOptions) -> None:
        self._parts = parts
        self._modes: dict[str, Mode] = {"Knative": KnativeMode(parts), "Standard": StandardMode(parts, standard)}
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
        isvc = self._parts.cluster.services.get(key.namespace, key.name)
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
            self._parts.cluster.services.write_status(isvc, after)
            self._tell_readiness(isvc, before, after)
            self._parts.queue.add(key)

    def _status(self, key: Entry, isvc: Json, before: Json) -> Json:
        now, name = self._parts.timestamp(), _mode(isvc)
        mode = self._modes.get(name)
        if mode is None:
            self._report(key, isvc, f"the embedded KServe has no {name} mode; use Knative or Standard")
            return before
        if isvc["metadata"].get("annotations", {}).get(STOP, "").lower() == "true":
            self._take_down(key)
            mode.remove(isvc)
            self._parts.show(isvc, ())
            return statuses.stopped(before, name, now)
        try:
            return mode.reconcile(key, isvc, before)
        except (UnsupportedUri, BadCanary) as error:
            self._report(key, isvc, str(error))
            status = statuses.initialised(before, name, now)
        except InvalidSpec as error:
            self._report(key, isvc, str(error))
            status = statuses.invalid(before, name, error, now)
        mode.keep(key, isvc, before)
        return status

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
        mine = [revision for revision, owner in self._parts.owners.items() if owner == key]
        for revision in mine:
            self._parts.router.backend(revision, None)
            self._parts.pods.stop(revision)
        if not all(self._parts.pods.ended(revision) for revision in mine):
            return False
        for revision in mine:
            del self._parts.owners[revision]
        for mode in self._modes.values():
            mode.forget(key)
        self._reported.pop(key, None)
        return True

    def _report(self, key: Entry, isvc: Json, message: str) -> None:
        """Write an InternalError event, once for each generation and message."""
        report = f"{isvc['metadata'].get('generation')} {message}"
        if self._reported.get(key) != report:
            self._parts.cluster.record_event(isvc, "Warning", "InternalError", message, self._parts.timestamp())
            self._reported[key] = report

    def _tell_readiness(self, isvc: Json, before: Json, after: Json) -> None:
        name = isvc["metadata"]["name"]
        was, is_now = condition(before, "Ready").status, condition(after, "Ready")
        if was != "True" and is_now.status == "True":
            text = f"InferenceService [{name}] is Ready"
            self._parts.cluster.record_event(isvc, "Normal", "InferenceServiceReady", text, self._parts.timestamp())
        elif was == "True" and is_now.status == "False":
            failed = [c["type"] for c in after["conditions"] if c["status"] == "False" and c["type"] != "Stopped"]
            text = f"InferenceService [{name}] is no longer Ready because of: {', '.join(failed)}"
            self._parts.cluster.record_event(isvc, "Warning", "InferenceServiceNotReady", text, self._parts.timestamp())


def _key(isvc: Json) -> Entry:
    return Entry(isvc["metadata"]["namespace"], isvc["metadata"]["name"])


def _mode(isvc: Json) -> str:
    """Return the mode: the one that stands in the status cannot change any more."""
    annotated = isvc["metadata"].get("annotations", {}).get(DEPLOYMENT_MODE, "Knative")
    mode: str = isvc.get("status", {}).get("deploymentMode", annotated)
    return LEGACY_MODES.get(mode, mode)
