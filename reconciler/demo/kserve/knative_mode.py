"""Knative mode: KServe's predictor reconciler over Knative's revisions and route."""

from __future__ import annotations

from reconciler.demo.kserve import knative, revisions
from reconciler.demo.kserve import status as statuses
from reconciler.demo.kserve.knative import Component, Target, revision_number
from reconciler.demo.kserve.names import (
    MIN_SCALE,
    REVISION_LABEL,
    SERVICE_LABEL,
    SOURCE_URI,
    TAG_ROUTING,
    Json,
    predictor_service,
)
from reconciler.demo.kserve.parts import Parts
from reconciler.demo.kserve.podobjects import PodTemplate
from reconciler.demo.kserve.pods import Order, RevisionId
from reconciler.demo.kserve.router import Entry, Split
from reconciler.demo.kserve.scaling import Demand
from reconciler.demo.kserve.status import Seen
from reconciler.demo.kserve.template import Template, build


class KnativeMode:
    """KServe's Knative mode, with Knative's configuration, route and autoscaler."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._generations: dict[Entry, tuple[tuple[Template, tuple[Target, ...]], int]] = {}

    def reconcile(self, key: Entry, isvc: Json, before: Json) -> Json:
        """Make a revision of a changed template, resolve the traffic and return the status."""
        template = build(isvc)
        found = self._with_current(isvc, template, self._revisions(isvc))
        created = max(found, key=revision_number)
        component = statuses.component_of(before)
        up = _ready_ones(found)
        ready = knative.latest_ready(component.ready, up)
        percent = isvc["spec"]["predictor"].get("canaryTrafficPercent")
        targets = knative.traffic_targets(percent, _latest_tag(isvc), component)
        shares = knative.route(targets, ready, up, component.shares)
        component = knative.propagate(component, knative.Service(created, ready, shares))
        self._route(key, isvc, component, found)
        configuration = statuses.configuration(created, revisions.readiness(found[created]))
        seen = Seen(
            component=component,
            configuration=configuration,
            route=statuses.route(knative.missing(targets, ready, up), configuration, _service(isvc)),
            pod=self._parts.pods.state(RevisionId(key.namespace, created)),
            generation=self._generation(key, before, (template, targets)),
            runtime=template.runtime,
            url=f"{self._parts.ingress_url}/serving/{key}",
        )
        return statuses.serving(before, seen, self._parts.timestamp())

    def keep(self, key: Entry, isvc: Json, before: Json) -> None:
        """Go on serving by the route that stands in the status."""
        self._route(key, isvc, statuses.component_of(before), self._revisions(isvc))

    def remove(self, isvc: Json) -> None:
        """Delete the revisions."""
        namespace = isvc["metadata"]["namespace"]
        for revision in self._parts.cluster.revisions.labelled(namespace, _selector(isvc)):
            self._parts.cluster.revisions.delete(namespace, revision["metadata"]["name"])

    def forget(self, key: Entry) -> None:
        """Drop the generation that was counted."""
        self._generations.pop(key, None)

    def _revisions(self, isvc: Json) -> dict[str, Json]:
        """Read the revisions, and bring what each says of itself up to date."""
        namespace = isvc["metadata"]["namespace"]
        found = {}
        for revision in self._parts.cluster.revisions.labelled(namespace, _selector(isvc)):
            name = revision["metadata"]["name"]
            self._parts.owners[RevisionId(namespace, name)] = Entry(namespace, isvc["metadata"]["name"])
            found[name] = self._with_status(revision)
        return found

    def _with_status(self, revision: Json) -> Json:
        metadata = revision["metadata"]
        pod = self._parts.pods.state(RevisionId(metadata["namespace"], metadata["name"]))
        status = revisions.status(revision, pod, self._parts.timestamp())
        if status != revision.get("status"):
            self._parts.cluster.revisions.write_status(revision, status)
        return {**revision, "status": status}

    def _with_current(self, isvc: Json, template: Template, found: dict[str, Json]) -> dict[str, Json]:
        """Add a revision when the template is not what the latest one was made of."""
        latest = max(found, key=revision_number, default="")
        if latest and revisions.is_made_of(found[latest], template):
            return found
        revision = revisions.new(isvc, _service(isvc), revision_number(latest) + 1, template)
        created = self._parts.cluster.revisions.create(revision)
        namespace, name = isvc["metadata"]["namespace"], created["metadata"]["name"]
        self._parts.owners[RevisionId(namespace, name)] = Entry(namespace, isvc["metadata"]["name"])
        return {**found, name: self._with_status(created)}

    def _route(self, key: Entry, isvc: Json, component: Component, found: dict[str, Json]) -> None:
        routed = {share.revision for share in component.shares}
        newest = max(found, key=revision_number, default="")
        demands = [
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
        ]
        pods = [_pod(revision) for revision in found.values()]
        self._parts.serve(isvc, _routes(key, component), demands, pods)

    def _generation(self, key: Entry, before: Json, wanted: tuple[Template, tuple[Target, ...]]) -> int:
        """Count the changes of the Knative Service; the InferenceService's own are not what is observed."""
        standing = self._generations.get(key)
        number = standing[1] if standing else before.get("observedGeneration", 1)
        if standing and standing[0] != wanted:
            number += 1
        self._generations[key] = (wanted, number)
        return number


def _service(isvc: Json) -> str:
    return predictor_service(isvc["metadata"]["name"], isvc["spec"]["predictor"].get("name", ""))


def _selector(isvc: Json) -> str:
    return f"{SERVICE_LABEL}={_service(isvc)}"


def _latest_tag(isvc: Json) -> str:
    enabled = isvc["metadata"].get("annotations", {}).get(TAG_ROUTING) == "true"
    return knative.LATEST_TAG if enabled else ""


def _ready_ones(found: dict[str, Json]) -> list[str]:
    return [name for name, revision in found.items() if revisions.readiness(revision).status == "True"]


def _pod(revision: Json) -> PodTemplate:
    meta = revision["metadata"]
    labels = {**meta["labels"], REVISION_LABEL: meta["name"], "app": meta["name"]}
    return PodTemplate(RevisionId(meta["namespace"], meta["name"]), labels, meta["annotations"], revision["spec"])


def _routes(key: Entry, component: Component) -> dict[Entry, Split]:
    weights = tuple((RevisionId(key.namespace, s.revision), s.percent) for s in component.shares)
    routes = {key: Split(weights, waits=True)} if weights else {}
    for share in component.shares:
        if share.tag:
            tagged = Entry(key.namespace, f"{key.name}--{share.tag}")
            routes[tagged] = Split(((RevisionId(key.namespace, share.revision), 100),), waits=True)
    return routes
