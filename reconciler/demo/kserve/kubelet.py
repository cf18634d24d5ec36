"""Writes a Pod for each server process that there is, and takes it away once the process has ended."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.demo.kserve import podobjects
from reconciler.demo.kserve.cluster import Cluster
from reconciler.demo.kserve.names import Json, predictor_labels
from reconciler.demo.kserve.podobjects import PodTemplate
from reconciler.demo.kserve.pods import Absent, Pods, RevisionId


class Kubelet:
    """Keeps the Pods of a service; a later start finds them by their labels."""

    def __init__(self, cluster: Cluster, pods: Pods) -> None:
        self._cluster = cluster
        self._pods = pods

    def sync(self, isvc: Json, templates: Iterable[PodTemplate], now: str) -> bool:
        """Bring the Pods up to date; False while a process still ends whose Pod has to go."""
        standing = self._standing(isvc)
        for template in templates:
            state = self._pods.state(template.revision)
            if isinstance(state, Absent):
                continue
            pod = standing.pop(template.revision, None) or self._cluster.pods.create(podobjects.new(isvc, template))
            status = podobjects.status(pod, state, now)
            if status != pod.get("status"):
                self._cluster.pods.write_status(pod, status)
        ended = {revision for revision in standing if self._has_ended(revision)}
        for revision in ended:
            meta = standing[revision]["metadata"]
            self._cluster.pods.delete(meta["namespace"], meta["name"])
        return len(ended) == len(standing)

    def _standing(self, isvc: Json) -> dict[RevisionId, Json]:
        meta = isvc["metadata"]
        found = self._cluster.pods.labelled(meta["namespace"], predictor_labels(meta["name"]))
        return {podobjects.revision_of(pod): pod for pod in found}

    def _has_ended(self, revision: RevisionId) -> bool:
        return isinstance(self._pods.state(revision), Absent) and self._pods.ended(revision)
