"""Standard mode: KServe's predictor and ingress reconcilers over Deployments and HTTPRoutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from reconciler.demo.kserve import deployments, routes, standard, standard_status
from reconciler.demo.kserve.names import Json, predictor_service
from reconciler.demo.kserve.parts import Parts
from reconciler.demo.kserve.pods import RevisionId
from reconciler.demo.kserve.router import Entry, Split
from reconciler.demo.kserve.standard import Backend, Canary, CanaryStatus, Predictor
from reconciler.demo.kserve.standard_status import Seen
from reconciler.demo.kserve.status import YES, Condition, condition
from reconciler.demo.kserve.workloads import Workload, Workloads


@dataclass(frozen=True, slots=True)
class StandardOptions:
    """How Standard mode behaves: whether HTTPRoutes get canaries' weights, and after how long a rollout is stuck.

    Without `gateway_api` it makes an Ingress, as KServe's `ingress.enableGatewayApi` has it by default.
    """

    routes_canaries: bool
    progress_deadline: float
    gateway_api: bool = True


class StandardMode:
    """KServe's Standard mode; a Deployment and its Service are one here."""

    def __init__(self, parts: Parts, options: StandardOptions) -> None:
        self._parts = parts
        self._options = options
        self._workloads = Workloads(parts)

    def reconcile(self, key: Entry, isvc: Json, before: Json) -> Json:
        """Bring Deployments and routes to what the spec says, canaries first as KServe does; return the status."""
        stable = standard.stable(isvc)
        canaries = standard.canaries(isvc)
        standing = self._workloads.standing(isvc)
        rolled = {}
        for canary in canaries:
            rolled[canary.predictor.deployment] = self._roll(key, isvc, canary.predictor, standing)
        ready = tuple(_status(canary, rolled[canary.predictor.deployment]) for canary in canaries)
        for name in standing.keys() - rolled.keys() - {stable.deployment}:
            self._workloads.delete(standing[name])
        stable = standard.beside(stable, isvc, canaries, ready)
        served = rolled[stable.deployment] = self._roll(key, isvc, stable, standing)
        ingress = self._ingress(isvc, served, ready)
        self._serve(key, isvc, rolled)
        seen = Seen(
            deployment=served.status,
            pod=served.pod,
            canaries=ready,
            ingress=ingress,
            runtime=stable.template.runtime,
            url=f"{self._parts.ingress_url}/serving/{key}",
            stable_url=f"{self._parts.ingress_url}/serving/{key.namespace}/{stable.deployment}",
        )
        return standard_status.serving(before, seen, self._parts.timestamp())

    def keep(self, key: Entry, isvc: Json, before: Json) -> None:
        """Go on rolling and serving the Deployments that are there."""
        del before
        standing = self._workloads.standing(isvc)
        self._serve(key, isvc, {name: self._workloads.roll(key, found) for name, found in standing.items()})

    def remove(self, isvc: Json) -> None:
        """Delete the Deployments and routes."""
        for deployment in self._workloads.standing(isvc).values():
            self._workloads.delete(deployment)
        for name in routes.names(isvc) if self._has_routes else ():
            self._parts.cluster.routes.delete(isvc["metadata"]["namespace"], name)

    def forget(self, key: Entry) -> None:
        """Drop nothing: all state is in the API."""

    @cached_property
    def _has_routes(self) -> bool:
        """Whether KServe uses the Gateway API and the cluster has it; KServe looks once too."""
        return self._options.gateway_api and self._parts.cluster.routes.served()

    def _roll(self, key: Entry, isvc: Json, predictor: Predictor, standing: Mapping[str, Json]) -> Workload:
        wanted = deployments.new(isvc, predictor, self._options.progress_deadline)
        return self._workloads.roll(key, self._workloads.ensure(wanted, standing.get(predictor.deployment)))

    def _ingress(self, isvc: Json, stable: Workload, canaries: tuple[CanaryStatus, ...]) -> Condition:
        """Write the routes while the predictor is ready, and tell whether there is a way in."""
        name = stable.deployment["metadata"]["name"]
        ready = deployments.predictor_ready(stable.status).status == "True"
        if not self._has_routes:
            entered = ready or condition(isvc.get("status", {}), "IngressReady").status == "True"
            return YES if entered else Condition("False", "Predictor ingress not created")
        if ready:
            routed = canaries if self._options.routes_canaries else ()
            self._write_routes(isvc, standard.backends(name, isvc["metadata"]["name"], routed))
        elif self._route(isvc) is None:
            return Condition("False", "Predictor Deployment NotReady", "Predictor HTTPRoute not created")
        return YES

    def _write_routes(self, isvc: Json, backends: Iterable[Backend]) -> None:
        shares = tuple(backends)
        for name in routes.names(isvc):
            self._write_route(routes.new(isvc, name, shares))

    def _write_route(self, wanted: Json) -> None:
        """Create the route or change its spec, then take it as the Gateway does."""
        objects = self._parts.cluster.routes
        route = objects.get(wanted["metadata"]["namespace"], wanted["metadata"]["name"])
        if route is None:
            route = objects.create(wanted)
        elif route["spec"] != wanted["spec"]:
            route = objects.replace({**route, "spec": wanted["spec"]})
        status = routes.status(route, self._parts.timestamp())
        if status != route.get("status"):
            objects.write_status(route, status)

    def _route(self, isvc: Json) -> Json | None:
        return self._parts.cluster.routes.get(isvc["metadata"]["namespace"], isvc["metadata"]["name"])

    def _serve(self, key: Entry, isvc: Json, rolled: Mapping[str, Workload]) -> None:
        """Send requests as the route in the API says, and to each Deployment under its own name."""
        endpoints = {name: workload.endpoint for name, workload in rolled.items()}
        ways = {Entry(key.namespace, name): _only(endpoint) for name, endpoint in endpoints.items()}
        backends = self._backends(isvc)
        if backends:
            weights = tuple((_endpoint(key, endpoints, b.deployment), b.weight) for b in backends)
            ways[key] = Split(weights, waits=False)
        demands = [demand for workload in rolled.values() for demand in workload.demands]
        wanted = {demand.order.revision for demand in demands}
        pods = [pod for workload in rolled.values() for pod in workload.pods]
        self._parts.serve(isvc, ways, [*demands, *self._workloads.leftovers(key, wanted)], pods)

    def _backends(self, isvc: Json) -> tuple[Backend, ...]:
        if not self._has_routes:
            predictor = isvc["spec"]["predictor"].get("name", "")
            return standard.alone(predictor_service(isvc["metadata"]["name"], predictor))
        route = self._route(isvc)
        return routes.backends_of(route) if route else ()


def _status(canary: Canary, workload: Workload) -> CanaryStatus:
    return CanaryStatus(canary.name, canary.percent, ready=workload.status.get("availableReplicas", 0) > 0)


def _only(endpoint: RevisionId) -> Split:
    return Split(((endpoint, 1),), waits=False)


def _endpoint(key: Entry, endpoints: Mapping[str, RevisionId], deployment: str) -> RevisionId:
    """Return who answers for a Deployment; nobody does for one that is gone."""
    return endpoints.get(deployment, RevisionId(key.namespace, deployment))
