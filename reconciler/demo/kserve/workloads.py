"""Kubernetes' part in Standard mode: Deployments roll their ReplicaSets over, and each of those has a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.demo.kserve import deployments
from reconciler.demo.kserve.deployments import HASH_LABEL, Progress
from reconciler.demo.kserve.names import SOURCE_URI, Json, predictor_labels
from reconciler.demo.kserve.parts import Parts
from reconciler.demo.kserve.podobjects import PodTemplate
from reconciler.demo.kserve.pods import Absent, Order, PodState, RevisionId, Running
from reconciler.demo.kserve.router import Entry
from reconciler.demo.kserve.scaling import Demand


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment with its status up to date, the pod of its newest template, and who answers for it now."""

    deployment: Json
    pod: PodState
    endpoint: RevisionId
    demands: tuple[Demand, ...]
    pods: tuple[PodTemplate, ...]

    @property
    def status(self) -> Json:
        """Return the Deployment's status."""
        status: Json = self.deployment["status"]
        return status


class Workloads:
    """All Deployments of a service; their state is in the API, so a later start rolls on from there."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def standing(self, isvc: Json) -> dict[str, Json]:
        """Read a service's Deployments, by label as KServe finds them."""
        meta = isvc["metadata"]
        found = self._parts.cluster.deployments.labelled(meta["namespace"], predictor_labels(meta["name"]))
        return {deployment["metadata"]["name"]: deployment for deployment in found}

    def ensure(self, wanted: Json, standing: Json | None) -> Json:
        """Create the Deployment, or bring its spec to what is wanted."""
        if standing is None:
            return self._parts.cluster.deployments.create(wanted)
        changed = deployments.changed(standing, wanted)
        return standing if changed is None else self._parts.cluster.deployments.replace(changed)

    def delete(self, deployment: Json) -> None:
        """Delete a Deployment; its servers end once they have answered what they have."""
        meta = deployment["metadata"]
        self._parts.cluster.deployments.delete(meta["namespace"], meta["name"])

    def roll(self, key: Entry, deployment: Json) -> Workload:
        """Let a Deployment take its next step: the old template answers until the new one is ready."""
        newest, older = self._sets(deployment)
        pod = self._state(newest)
        if isinstance(pod, Running) or not deployment["spec"]["replicas"]:
            self._delete_sets(older)
            older = []
        kept = [newest, *older]
        for replica_set in kept:
            self._mark(key, replica_set)
        answering = [found for found in kept if isinstance(self._state(found), Running)]
        progress = Progress(newest, pod, older_answers=bool(answering) and newest not in answering)
        return Workload(
            deployment=self._marked(key, deployment, progress),
            pod=pod,
            endpoint=_id(answering[0] if answering else newest),
            demands=tuple(_demand(key, replica_set) for replica_set in kept if deployment["spec"]["replicas"]),
            pods=tuple(map(_pod, kept)),
        )

    def leftovers(self, key: Entry, wanted: set[RevisionId]) -> Iterator[Demand]:
        """Ask for an end of the servers that no ReplicaSet asks for any more."""
        for revision, owner in list(self._parts.owners.items()):
            if owner == key and revision not in wanted:
                yield Demand(Order(revision, "", key.name), routed=False, pending=False, min_scale=0)

    def _sets(self, deployment: Json) -> tuple[Json, list[Json]]:
        """Return the ReplicaSet of the template as it is, made if need be, and the older ones."""
        meta = deployment["metadata"]
        selector = ",".join(f"{k}={v}" for k, v in deployment["spec"]["selector"]["matchLabels"].items())
        found = self._parts.cluster.replica_sets.labelled(meta["namespace"], selector)
        digest = deployments.template_hash(deployment)
        newest = next((s for s in found if s["metadata"]["labels"][HASH_LABEL] == digest), None)
        older = [s for s in found if s is not newest]
        if newest is None:
            # One that never became available is of no use beside its successor.
            self._delete_sets([s for s in older if not self._was_available(s)])
            older = [s for s in older if self._was_available(s)]
            newest = self._parts.cluster.replica_sets.create(deployments.replica_set(deployment))
        return self._sized(newest, deployment["spec"]["replicas"]), older

    def _sized(self, replica_set: Json, replicas: int) -> Json:
        if replica_set["spec"]["replicas"] == replicas:
            return replica_set
        spec = {**replica_set["spec"], "replicas": replicas}
        return self._parts.cluster.replica_sets.replace({**replica_set, "spec": spec})

    def _was_available(self, replica_set: Json) -> bool:
        return bool(replica_set.get("status", {}).get("availableReplicas"))

    def _delete_sets(self, sets: list[Json]) -> None:
        for replica_set in sets:
            meta = replica_set["metadata"]
            self._parts.cluster.replica_sets.delete(meta["namespace"], meta["name"])

    def _mark(self, key: Entry, replica_set: Json) -> None:
        self._parts.owners[_id(replica_set)] = key
        status = deployments.set_status(replica_set, self._state(replica_set))
        if status != replica_set.get("status"):
            self._parts.cluster.replica_sets.write_status(replica_set, status)

    def _marked(self, key: Entry, deployment: Json, progress: Progress) -> Json:
        status = deployments.status(deployment, progress, self._parts.timestamp())
        if not progress.complete:
            left = (deployments.deadline(deployment, progress) - self._parts.now()).total_seconds()
            if left > 0:
                self._parts.queue.add(key, left)
        if status == deployment.get("status"):
            return deployment
        return self._parts.cluster.deployments.write_status(deployment, status)

    def _state(self, replica_set: Json) -> PodState:
        return self._parts.pods.state(_id(replica_set)) if replica_set["spec"]["replicas"] else Absent()


def _id(replica_set: Json) -> RevisionId:
    meta = replica_set["metadata"]
    digest = meta["labels"][HASH_LABEL]
    return RevisionId(meta["namespace"], meta["name"].removesuffix(f"-{digest}"), digest)


def _demand(key: Entry, replica_set: Json) -> Demand:
    uri = replica_set["metadata"]["annotations"].get(SOURCE_URI, "")
    return Demand(Order(_id(replica_set), uri, key.name), routed=True, pending=True, min_scale=1)


def _pod(replica_set: Json) -> PodTemplate:
    template = replica_set["spec"]["template"]
    meta = template["metadata"]
    return PodTemplate(_id(replica_set), meta["labels"], meta["annotations"], template["spec"])
