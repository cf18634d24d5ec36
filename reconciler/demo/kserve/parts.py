"""What the controller and its two modes work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.demo.kserve.cluster import Cluster
from reconciler.demo.kserve.kubelet import Kubelet
from reconciler.demo.kserve.names import Json
from reconciler.demo.kserve.podobjects import PodTemplate
from reconciler.demo.kserve.pods import Pods, RevisionId
from reconciler.demo.kserve.router import Entry, Router, Split
from reconciler.demo.kserve.scaling import Demand, Scaler
from reconciler.demo.kserve.workqueue import WorkQueue

_ENDING_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Parts:
    """The stand-in's parts; `owners` tells whose each server is that there is or was."""

    cluster: Cluster
    pods: Pods
    router: Router
    scaler: Scaler
    queue: WorkQueue[Entry]
    now: Callable[[], datetime]
    ingress_url: str
    owners: dict[RevisionId, Entry]
    kubelet: Kubelet

    def timestamp(self) -> str:
        """Return the time as Kubernetes writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def serve(
        self, isvc: Json, routes: Mapping[Entry, Split], demands: Iterable[Demand], pods: Iterable[PodTemplate]
    ) -> None:
        """Send requests where the routes say, then start and stop servers accordingly, and show their Pods."""
        key = Entry(isvc["metadata"]["namespace"], isvc["metadata"]["name"])
        self.router.publish(key, routes)
        wait = self.scaler.apply(demands)
        if wait is not None:
            self.queue.add(key, wait)
        self.show(isvc, pods)

    def show(self, isvc: Json, pods: Iterable[PodTemplate]) -> None:
        """Bring a service's Pods up to date, and look again while one still ends."""
        if not self.kubelet.sync(isvc, pods, self.timestamp()):
            self.queue.add(Entry(isvc["metadata"]["namespace"], isvc["metadata"]["name"]), _ENDING_SECONDS)


class Mode(Protocol):
    """A deployment mode: what KServe makes of an InferenceService, and what it does with requests."""

    def reconcile(self, key: Entry, isvc: Json, before: Json) -> Json:
        """Bring everything to what the spec says and return the new status.

        Raises InvalidSpec, UnsupportedUri or BadCanary before anything is changed.
        """

    def keep(self, key: Entry, isvc: Json, before: Json) -> None:
        """Go on serving what is there, whatever the spec says."""

    def remove(self, isvc: Json) -> None:
        """Delete the objects that serve."""

    def forget(self, key: Entry) -> None:
        """Drop what is remembered of a service that is gone."""
