"""KServe as the reconciler sees it: read from watches, written by server-side apply. Implements `ports.Serving`."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Self

from reconciler.errors import Refused, Transient, UnknownOutcome
from reconciler.observed import Failure, InferenceService, Known, Unknown
from reconciler.ports import Clock
from reconciler.systems.serving import writing
from reconciler.systems.serving.api import (
    DEPLOYMENTS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    REVISIONS,
    Api,
    Json,
    Key,
    Resource,
)
from reconciler.systems.serving.cache import Cache, Entry, OnChange, Services
from reconciler.systems.serving.difference import changed_fields
from reconciler.systems.serving.feed import PartSink, ServiceSink, Sink
from reconciler.systems.serving.health import Feeds, Patience
from reconciler.systems.serving.holding import asked
from reconciler.systems.serving.pods import cause_of, events_call, list_call, refusal_of
from reconciler.systems.serving.reading import items, mapping, text
from reconciler.systems.serving.reflector import Pace, Reflector
from reconciler.systems.serving.standard import deployments_of, route, workload
from reconciler.systems.serving.translate import key_of, revision
from reconciler.systems.serving.writing import NoCanaries

_COMPARISONS = 3
_TROUBLE_SECONDS = 5.0
_VERSION = re.compile(r"[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class Options:
    """What to watch, and how long things may take.

    No `namespaces` means all of them. What was seen is trusted for `stale_after` once a watch is broken. A call takes
    `timeout` at most; a write waits for the watch to show it for `write_timeout`. `monotonic` is the clock of the
    watches, in seconds. `service_url` is the address of a Service by its {service} and {namespace}: in Standard mode
    KServe names none of a single predictor.
    """

    namespaces: Sequence[str] = ()
    stale_after: timedelta = timedelta(seconds=15)
    timeout: timedelta = timedelta(seconds=15)
    write_timeout: timedelta = timedelta(seconds=15)
    pace: Pace = field(default_factory=Pace)
    monotonic: Callable[[], float] = time.monotonic
    service_url: str = "http://{service}.{namespace}.svc.cluster.local"

    @property
    def patience(self) -> Patience:
        """Return how long a watch's last word is trusted."""
        broken = self.stale_after.total_seconds()
        return Patience(broken, broken + self.pace.idle_seconds + self.timeout.total_seconds())

    def link(self, namespace: str, service: str) -> str:
        """Return the address of a Service."""
        return self.service_url.format(namespace=namespace, service=service)


class KServe:
    """InferenceServices of one cluster. Use as a context manager: it starts the watches and ends them."""

    def __init__(self, api: Api, options: Options, now: Clock, random: Random) -> None:
        self._api = api
        self._options = options
        self._changed = threading.Condition()
        self._cache = Cache(self._changed, options.link)
        self._feeds = Feeds(now, options.monotonic, options.patience, self._changed)
        self._troubles: dict[Key, tuple[float, Failure | None]] = {}
        self._compared: dict[Key, tuple[str, tuple[str, ...]]] = {}
        self._reflectors = [
            reflector for namespace in options.namespaces or ("",) for reflector in self._watches(namespace, random)
        ]

    def _watches(self, namespace: str, random: Random) -> tuple[Reflector, ...]:
        def reflector(resource: Resource, sink: Sink[Any]) -> Reflector:
            options, feeds = self._options, self._feeds
            pace, monotonic = options.pace, options.monotonic
            return Reflector(
                self._api, resource, namespace, sink=sink, feeds=feeds, pace=pace, monotonic=monotonic, random=random
            )

        return (
            reflector(INFERENCE_SERVICES, ServiceSink(self._cache, namespace)),
            reflector(REVISIONS, PartSink(self._cache, self._cache.revisions, revision, namespace)),
            reflector(DEPLOYMENTS, PartSink(self._cache, self._cache.workloads, workload, namespace)),
            reflector(HTTP_ROUTES, PartSink(self._cache, self._cache.routes, route, namespace)),
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to list and watch; returns at once."""
        for reflector in self._reflectors:
            reflector.start()

    def close(self) -> None:
        """End the watches."""
        for reflector in self._reflectors:
            reflector.stop()
        for reflector in self._reflectors:
            reflector.join()

    @property
    def namespaces(self) -> Sequence[str]:
        """Return the namespaces that are watched; none for all of them."""
        return self._options.namespaces

    def sick(self) -> tuple[str, ...]:
        """Return which watches will not go on by themselves, one sentence each."""
        return tuple(why for reflector in self._reflectors if (why := reflector.sick()))

    def on_change(self, listener: OnChange) -> None:
        """Call `listener(namespace, name)` after each change that may matter; it must return quickly."""
        self._cache.listen(listener)

    def wait_synced(self, timeout: timedelta) -> bool:
        """Wait until everything has been listed once; False when the time is up."""
        return self._wait(lambda: not isinstance(self._feeds.verdict(), Unknown), timeout)

    def _wait(self, holds: Callable[[], bool], timeout: timedelta) -> bool:
        with self._changed:
            return self._changed.wait_for(holds, timeout.total_seconds())

    def read_all(self) -> Known[Mapping[Key, InferenceService]] | Unknown:
        """Return all InferenceServices that are watched, or why they are not known. Makes no call."""
        with self._changed:
            at = self._feeds.verdict()
            if isinstance(at, Unknown):
                return at
            services: Services = self._cache.services()
            return Known(services, at)

    def drift(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the fields of `manifest` whose live value differs.

        Makes calls only where what we hold is not what the manifest asks for, and then only when a side changed.
        """
        key = key_of(dict(manifest))
        entry = self._entry(key)
        if entry is None:
            raise Transient(f"InferenceService {key[0]}/{key[1]} is not there, so there is nothing to compare")
        wanted = asked(manifest)
        if entry.held == wanted:
            return ()
        sides = f"{wanted} {entry.service.uid} {entry.fingerprint}"
        known = self._compared.get(key)
        if known is None or known[0] != sides:
            known = self._compared[key] = (sides, self._compare(key, manifest, entry.service.uid))
        return known[1]

    def _compare(self, key: Key, manifest: Mapping[str, Any], uid: str) -> tuple[str, ...]:
        for _ in range(_COMPARISONS):
            live = writing.read(self._api, key)
            tried = writing.dry_run(self._api, key, manifest, uid)
            if _version(live) == _version(tried):
                return changed_fields(dict(manifest), live, tried)
        raise Transient(f"InferenceService {key[0]}/{key[1]} changes faster than it can be compared")

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Create or apply without force, and wait until the watch has shown the result."""
        self._write(manifest, writing.write)

    def trouble(self, live: InferenceService) -> Failure | None:
        """Return why the pods of the revision that has to come up are not ready; an answer is kept for seconds."""
        revision, now = (live.namespace, live.awaited or ""), self._options.monotonic()
        known = self._troubles.get(revision)
        if known is not None and now - known[0] < _TROUBLE_SECONDS:
            return known[1]
        cause = self._look(live)
        self._troubles = {key: kept for key, kept in self._troubles.items() if now - kept[0] < _TROUBLE_SECONDS}
        self._troubles[revision] = (now, cause)
        return cause

    def _look(self, live: InferenceService) -> Failure | None:
        cause = cause_of(items(self._api.call(list_call(live)), "items"))
        if cause is None and live.standard and live.awaited not in (live.revisions or {}):
            return refusal_of(items(self._api.call(events_call(live)), "items"), live.applied_at)
        return cause

    def take_over(self, manifest: Mapping[str, Any]) -> None:
        """Apply by force onto an object of ours, and wait until the watch has shown the result."""
        self._write(manifest, writing.take_over)

    def adopt(self, manifest: Mapping[str, Any]) -> None:
        """Make an object ours that nobody tracks, and wait until the watch has shown the result."""
        self._write(manifest, writing.adopt)

    def _write(
        self, manifest: Mapping[str, Any], write: Callable[[Api, Key, Mapping[str, Any], Entry | None], Json]
    ) -> None:
        key = key_of(dict(manifest))
        entry = self._entry(key)
        if self._cache.misses_route(key):
            writing.confirm_unrouted(self._api, key)
        elif (canary := self._cache.canary(key)) and canary not in deployments_of(dict(manifest)):
            writing.confirm_left(self._api, key, canary)
        try:
            meta = mapping(write(self._api, key, manifest, entry), "metadata")
        except NoCanaries:
            self._cache.knows_no_canaries()
            raise
        uid, version = text(meta, "uid"), text(meta, "resourceVersion")
        if not self._wait(lambda: _shows(self._cache.entry(key), uid, version), self._options.write_timeout):
            raise UnknownOutcome(
                f"InferenceService {key[0]}/{key[1]} was applied, but the watch did not show it within "
                f"{self._options.write_timeout.total_seconds():g} s"
            )

    def delete(self, namespace: str, name: str, uid: str) -> None:
        """Delete the object with this uid, and wait until the watch has shown it going or gone."""
        key = (namespace, name)
        self._entry(key)
        writing.delete(self._api, key, uid)
        if not self._wait(lambda: _is_gone(self._cache.entry(key), uid), self._options.write_timeout):
            raise UnknownOutcome(
                f"InferenceService {namespace}/{name} was deleted, but the watch did not show it within "
                f"{self._options.write_timeout.total_seconds():g} s"
            )

    def _entry(self, key: Key) -> Entry | None:
        """Return what the watch shows now; raises when that cannot be trusted, or is not looked at."""
        if self._options.namespaces and key[0] not in self._options.namespaces:
            watched = ", ".join(self._options.namespaces)
            raise Refused(f"namespace {key[0]} is not watched, only {watched}", help="add it to kubernetes.namespaces")
        doubt = self._feeds.verdict()
        if isinstance(doubt, Unknown):
            raise Transient(f"InferenceService {key[0]}/{key[1]} cannot be written unseen: {doubt.why}")
        return self._cache.entry(key)


def _version(obj: Json) -> str:
    return text(mapping(obj, "metadata"), "resourceVersion")


def _shows(entry: Entry | None, uid: str, version: str) -> bool:
    """Tell whether the watch has come to this version, or past it."""
    if entry is None:
        return False
    seen = entry.service.resource_version
    reached = int(seen) >= int(version) if _VERSION.fullmatch(seen) and _VERSION.fullmatch(version) else seen == version
    return entry.service.uid != uid or reached


def _is_gone(entry: Entry | None, uid: str) -> bool:
    return entry is None or entry.service.uid != uid or entry.service.deleting
