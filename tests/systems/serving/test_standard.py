"""Standard mode: what Deployments and the HTTPRoute say of a release, and what it comes to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.observed import LABEL_RELEASE, Failure, InferenceService, Release, TrafficTarget
from reconciler.systems.serving.standard import (
    COMPONENT_LABEL,
    SERVICE_LABEL,
    Route,
    Workload,
    deployment_name,
    joined,
    route,
    workload,
)
from reconciler.systems.serving.translate import inference_service

Json = dict[str, Any]
KEY = ("models", "iris")
OLD, NEW = Release(1, "aaaaaaaaaa"), Release(2, "bbbbbbbbbb")
STABLE, CANARY = "iris-v1-aaaaa-predictor", "iris-v2-bbbbb-predictor"


# One Deployment.


def deployment(labels: Json | None = None, template: Json | None = None, **parts: Any) -> Json:
    """Return the Deployment of a predictor with two replicas, all of them up."""
    counts = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 4}
    own = {SERVICE_LABEL: "iris", COMPONENT_LABEL: "predictor"} if labels is None else labels
    said = {LABEL_RELEASE: str(OLD)} if template is None else template
    return {
        "metadata": {"namespace": "models", "name": STABLE, "generation": 4, "labels": own},
        "spec": {"replicas": parts.pop("asked", 2), "template": {"metadata": {"labels": said}}},
        "status": {**counts, **parts},
    }


def stuck(kind: str, status: str) -> list[Json]:
    return [
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "no"},
        {"type": kind, "status": status, "reason": "Why", "message": "said"},
    ]


def unavailable(since: str) -> Json:
    return {"type": "Available", "status": "False", "lastTransitionTime": since}


COMPLETE = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
WHY = Failure("Why", "said", terminal=False)
UP = Workload(KEY, STABLE, OLD, ready=True, available=2, asked=2)
UPDATING = replace(UP, ready=False, updating=True)
WORKLOADS: dict[str, tuple[Json, Workload | None]] = {
    "all of its replicas are of the newest template and available": (deployment(), UP),
    "no replicas are asked for in words: one is": (
        deployment(asked=None, replicas=1, updatedReplicas=1, availableReplicas=1),
        replace(UP, available=1, asked=1),
    ),
    "its controller has not looked at the newest template yet": (
        deployment(observedGeneration=3),
        UPDATING,
    ),
    "its controller has not looked at all": (deployment(observedGeneration=None), UPDATING),
    "old pods are still there beside the new ones": (deployment(replicas=3), UPDATING),
    "only old pods answer": (deployment(updatedReplicas=0), UPDATING),
    "one is not available": (deployment(availableReplicas=1), replace(UP, ready=False, available=1)),
    "one more than asked for is there": (
        deployment(replicas=3, updatedReplicas=3, availableReplicas=3),
        replace(UP, ready=False, available=3),
    ),
    "all of its pods are gone": (
        deployment(availableReplicas=0, conditions=[unavailable("2026-08-20T09:00:00Z")]),
        replace(UP, ready=False, available=0, steady=False, unavailable_since=datetime(2026, 8, 20, 9, tzinfo=UTC)),
    ),
    "some of its pods are gone": (
        deployment(availableReplicas=1, conditions=[unavailable("2026-08-20T09:00:00Z")]),
        replace(UP, ready=False, available=1, steady=False, unavailable_since=datetime(2026, 8, 20, 9, tzinfo=UTC)),
    ),
    "it has had enough pods since a while": (
        deployment(conditions=[{**unavailable("2026-08-20T09:00:00Z"), "status": "True"}]),
        replace(UP, available_since=datetime(2026, 8, 20, 9, tzinfo=UTC)),
    ),
    "since when it has none is no time": (
        deployment(availableReplicas=0, conditions=[unavailable("yesterday")]),
        replace(UP, ready=False, available=0, steady=False),
    ),
    "its status is empty": ({**deployment(), "status": {}}, replace(UPDATING, available=0)),
    "its pods name no release": (deployment(template={}), replace(UP, release=None)),
    "its pods name something that is no release": (
        deployment(template={LABEL_RELEASE: "newest"}),
        replace(UP, release=None),
    ),
    "it is stuck": (deployment(conditions=stuck("Progressing", "False")), replace(UP, failure=WHY, steady=False)),
    "it may make no pods": (
        deployment(conditions=stuck("ReplicaFailure", "True")),
        replace(UP, failure=WHY, steady=False),
    ),
    "it goes on": (deployment(conditions=stuck("Progressing", "True")), replace(UP, steady=False)),
    "it is stuck and old pods are enough": (
        deployment(conditions=[{"type": "Progressing", "status": "False", "reason": "Why", "message": "said"}]),
        replace(UP, failure=WHY, steady=False),
    ),
    "all of its pods were up once, and are not any more": (
        deployment(availableReplicas=0, conditions=COMPLETE),
        replace(UP, ready=False, available=0, came_up=True),
    ),
    "all pods of the template before were up": (
        deployment(observedGeneration=3, conditions=COMPLETE),
        UPDATING,
    ),
    "it belongs to no InferenceService": (deployment(labels={COMPONENT_LABEL: "predictor"}), None),
    "it is a transformer's": (deployment(labels={SERVICE_LABEL: "iris", COMPONENT_LABEL: "transformer"}), None),
    "it does not say of which component it is": (deployment(labels={SERVICE_LABEL: "iris"}), None),
}


@pytest.mark.parametrize("what", WORKLOADS)
def test_a_deployment(what: str) -> None:
    given, found = WORKLOADS[what]
    assert workload(given) == found


@pytest.mark.parametrize(("predictor", "name"), [("v1-aaaaa", STABLE), ("", "iris-predictor")])
def test_a_predictor_without_a_name_has_the_name_of_its_service(predictor: str, name: str) -> None:
    assert deployment_name("iris", predictor) == name


# The route.


def backends(**weights: int | None) -> Json:
    named = {name.replace("_", "-"): weight for name, weight in weights.items()}
    refs = [{"kind": "Service", "name": n, **({} if w is None else {"weight": w})} for n, w in named.items()]
    return {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": refs}


def http_route(*rules: Json, owner: Json | None = None, **parts: Any) -> Json:
    owned = owner or {"kind": "InferenceService", "name": "iris"}
    meta = {"namespace": "models", "name": "iris", "generation": 2, "ownerReferences": [owned]}
    return {"metadata": {**meta, **parts.pop("metadata", {})}, "spec": {"rules": list(rules)}, **parts}


def parents(*generations: int | None) -> Json:
    said = [{"type": "Accepted", **({} if g is None else {"observedGeneration": g})} for g in generations]
    return {"parents": [{"conditions": [one]} for one in said]}


def gateway(**conditions: str) -> Json:
    """Return what one gateway says of the newest rules."""
    return {"conditions": [{"type": k, "status": s, "observedGeneration": 2} for k, s in conditions.items()]}


SHARES: dict[str, tuple[tuple[Json, ...], tuple[tuple[str, int], ...] | None]] = {
    "two weights": ((backends(new=10, old=90),), (("new", 10), ("old", 90))),
    "a candidate at nothing": ((backends(new=0, old=100),), (("new", 0), ("old", 100))),
    "one backend without a weight, as up to v0.20.0": ((backends(old=None),), (("old", 100),)),
    "weights that are no percents": ((backends(new=1, old=3),), (("new", 25), ("old", 75))),
    "weights without a whole percent": ((backends(new=1, old=2),), None),
    "a weight below zero": ((backends(new=-10, old=110),), None),
    "no weight at all": ((backends(old=0),), None),
    "no backend": (({},), None),
    "no rule": ((), None),
    "several rules that agree": ((backends(new=10, old=90), backends(old=90, new=10)), (("new", 10), ("old", 90))),
    "several rules that differ": ((backends(new=10, old=90), backends(old=100)), None),
}


@pytest.mark.parametrize("what", SHARES)
def test_a_route_with(what: str) -> None:
    rules, shares = SHARES[what]
    assert route(http_route(*rules, status=parents(2))) == Route(KEY, "iris", shares, followed=True)


def test_a_backend_that_is_named_twice_gets_both_weights() -> None:
    rule = {
        "backendRefs": [{"name": "old", "weight": 40}, {"name": "new", "weight": 20}, {"name": "old", "weight": 40}]
    }
    found = route(http_route(rule))
    assert found is not None
    assert found.shares == (("new", 20), ("old", 80))


@pytest.mark.parametrize(
    "other",
    [
        {"owner": {"kind": "Gateway", "name": "iris"}},
        {"owner": {"kind": "InferenceService", "name": "other"}},
        {"metadata": {"name": "iris-predictor"}},
        {"metadata": {"ownerReferences": []}},
    ],
    ids=["of somebody else", "of another service", "of the predictor alone", "of nobody"],
)
def test_a_route_by_which_no_caller_of_the_service_comes(other: Json) -> None:
    assert route(http_route(backends(old=100), **other)) is None


FOLLOWED: dict[str, tuple[Json, bool]] = {
    "every gateway follows": (parents(2, 2), True),
    "a gateway follows the rules of before": (parents(2, 1), False),
    "a gateway does not say what it follows": (parents(None), True),
    "no gateway says anything": ({}, False),
    "a gateway has taken it up": ({"parents": [gateway(Accepted="True", ResolvedRefs="True")]}, True),
    "a gateway does not accept it": ({"parents": [gateway(Accepted="False", ResolvedRefs="True")]}, False),
    "a gateway does not find who is to get the share": (
        {"parents": [gateway(Accepted="True", ResolvedRefs="False")]}, False,
    ),
    "one of two gateways does not accept it": (
        {"parents": [gateway(Accepted="True"), gateway(Accepted="False")]}, False,
    ),
    "something else is false": ({"parents": [gateway(Accepted="True", PartiallyInvalid="False")]}, True),
}  # fmt: skip


@pytest.mark.parametrize("what", FOLLOWED)
def test_rules_are_in_force_when(what: str) -> None:
    status, followed = FOLLOWED[what]
    found = route(http_route(backends(old=100), status=status))
    assert found is not None
    assert found.followed is followed


# All of it together.

SERVICE = inference_service(
    {
        "metadata": {
            "namespace": "models",
            "name": "iris",
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
        }
    }
)
SERVING = replace(
    SERVICE,
    release=OLD,
    ready=True,
    message="said by KServe",
    latest_created=STABLE,
    latest_rolledout=STABLE,
    url="http://iris",
)
IN_CANARY = replace(SERVING, release=NEW, beside=OLD, canary_percent=10, latest_created=CANARY)
NEWER = replace(UP, name=CANARY, release=NEW)
BOTH = {STABLE: UP, CANARY: NEWER}
LOST = replace(NEWER, ready=False, available=0)
FEW = replace(UP, ready=False, available=1)
GONE = replace(FEW, available=0)


def told(
    service: InferenceService, workloads: dict[str, Workload], shares: Json | None = None, *, followed: bool = True
) -> InferenceService:
    """Join with a route of these shares."""
    routes = {"iris": Route(KEY, "iris", tuple(sorted(shares.items())), followed=followed)} if shares else {}
    return joined(service, workloads, routes, lambda namespace, name: f"http://{namespace}/{name}")


def without_routes(service: InferenceService, workloads: dict[str, Workload]) -> InferenceService:
    return joined(service, workloads, None, lambda namespace, name: f"http://{namespace}/{name}")


SPLIT = {STABLE: 90, CANARY: 10}
# How the service is, whether it is ready, and the newest of its Deployments that is.
READY: dict[str, tuple[InferenceService, bool, str | None]] = {
    "the only one is up, and has the callers": (told(SERVING, {STABLE: UP}, {STABLE: 100}), True, STABLE),
    "candidate and stable are up": (told(IN_CANARY, BOTH, SPLIT), True, CANARY),
    "the candidate is not there yet": (told(IN_CANARY, {STABLE: UP}, {STABLE: 100}), False, STABLE),
    "the candidate is not up": (told(IN_CANARY, {STABLE: UP, CANARY: LOST}, {STABLE: 100}), False, STABLE),
    "the candidate's pods are of an older release": (
        told(IN_CANARY, {STABLE: UP, CANARY: replace(NEWER, release=Release(2, "cccccccccc"))}, SPLIT), False, STABLE,
    ),
    "old pods answer for what was changed in place, though KServe says Ready": (
        told(replace(SERVING, release=NEW), {STABLE: UP}, {STABLE: 100}), False, STABLE,
    ),
    "an update in place is under way": (
        told(replace(SERVING, release=NEW), {STABLE: replace(UPDATING, release=NEW)}, {STABLE: 100}),
        False,
        None,
    ),
    "an update in place left no old pods and its own are not there yet": (
        told(replace(SERVING, release=NEW, ready=False), {STABLE: replace(GONE, release=NEW)}, {STABLE: 100}),
        False,
        STABLE,
    ),
    "it lacks one of its pods, and KServe says that it is": (
        told(SERVING, {STABLE: FEW}, {STABLE: 100}), True, STABLE,
    ),
    "it has one pod too many, as it is scaled in": (
        told(SERVING, {STABLE: replace(FEW, available=3)}, {STABLE: 100}), True, STABLE,
    ),
    "it lost all its pods": (told(replace(SERVING, ready=False), {STABLE: GONE}, {STABLE: 100}), False, STABLE),
    "it lost all its pods, and KServe has not noticed": (told(SERVING, {STABLE: GONE}, {STABLE: 100}), False, STABLE),
    "stable lost all its pods beside a candidate that is up": (
        told(IN_CANARY, {STABLE: GONE, CANARY: NEWER}, SPLIT), False, CANARY,
    ),
    "stable lost all its pods beside one that is not": (
        told(IN_CANARY, {STABLE: GONE, CANARY: LOST}, {STABLE: 100}), False, STABLE,
    ),
    "a first one is coming up: nobody is sent to it": (told(SERVING, {STABLE: GONE}), False, None),
    "an update in place is over": (
        told(replace(SERVING, release=NEW), {STABLE: replace(UP, release=NEW)}, {STABLE: 100}), True, STABLE,
    ),
    "its gateway has not followed": (told(IN_CANARY, BOTH, SPLIT, followed=False), False, STABLE),
    "stable was promoted in place and is not there yet": (
        told(replace(IN_CANARY, beside=NEW), BOTH, {STABLE: 0, CANARY: 100}), False, CANARY,
    ),
    "stable was promoted in place and is up": (
        told(replace(IN_CANARY, beside=NEW), {**BOTH, STABLE: replace(UP, release=NEW)}, {STABLE: 0, CANARY: 100}),
        True,
        CANARY,
    ),
    "KServe says that it is not": (told(replace(SERVING, ready=False), {STABLE: UP}, {STABLE: 100}), False, STABLE),
    "no route is seen yet, though KServe says that it is": (told(SERVING, {STABLE: UP}), True, STABLE),
    "no HTTPRoutes are served, and it is up": (without_routes(SERVING, {STABLE: UP}), True, STABLE),
    "nothing is up": (told(SERVING, {}), False, None),
}  # fmt: skip


@pytest.mark.parametrize("what", READY)
def test_whether_it_is_ready_when(what: str) -> None:
    found, ready, newest = READY[what]
    assert (found.ready, found.latest_ready) == (ready, newest)


def target(name: str, percent: int, tag: str | None) -> TrafficTarget:
    return TrafficTarget(name, percent, tag, latest=tag == "latest", url=f"http://models/{name}")


TRAFFIC: dict[str, tuple[InferenceService, tuple[TrafficTarget, ...]]] = {
    "the route splits": (
        told(IN_CANARY, BOTH, SPLIT), (target(CANARY, 10, "latest"), target(STABLE, 90, "prev")),
    ),
    "the route has a weight for stable alone, as the canary is not ready or the release is v0.20.0": (
        told(replace(IN_CANARY, canary_percent=50), BOTH, {STABLE: 100}),
        (target(CANARY, 0, "latest"), target(STABLE, 100, "prev")),
    ),
    "no HTTPRoutes are served": (
        without_routes(replace(IN_CANARY, canary_percent=50), BOTH),
        (target(CANARY, 0, "latest"), target(STABLE, 100, "prev")),
    ),
    "no HTTPRoutes are served and KServe has not cleared away what was before": (
        without_routes(SERVING, {STABLE: UP, "iris-before-predictor": replace(UP, name="iris-before-predictor")}), (),
    ),
    "no HTTPRoutes are served and something stands there that was never ours": (
        without_routes(SERVING, {STABLE: UP, "other": replace(UP, name="other", release=None)}),
        (target(STABLE, 100, "latest"),),
    ),
    "there is one predictor": (told(SERVING, {STABLE: UP}, {STABLE: 100}), (target(STABLE, 100, "latest"),)),
    "the route still goes to one that is not in the spec any more": (
        told(replace(SERVING, latest_created=CANARY, latest_rolledout=CANARY), BOTH, SPLIT),
        (target(CANARY, 10, "latest"), target(STABLE, 90, None)),
    ),
    "there is no route yet": (told(IN_CANARY, BOTH), ()),
    "HTTPRoutes are served and KServe uses none": (
        told(replace(SERVING, routed=True), {STABLE: UP}), (target(STABLE, 100, "latest"),),
    ),
    "HTTPRoutes are served, KServe uses none, and a canary stands there": (
        told(replace(IN_CANARY, routed=True), BOTH), (target(CANARY, 0, "latest"), target(STABLE, 100, "prev")),
    ),
    "KServe says that there is a way in, and the route splits": (
        told(replace(IN_CANARY, routed=True), BOTH, SPLIT),
        (target(CANARY, 10, "latest"), target(STABLE, 90, "prev")),
    ),
    "the rules of the route do not tell": (
        joined(IN_CANARY, BOTH, {"iris": Route(KEY, "iris", None, followed=True)}, lambda *_: ""), (),
    ),
    "no HTTPRoutes are served and stable has no pod": (
        without_routes(SERVING, {STABLE: replace(UP, ready=False, available=0)}), (),
    ),
    "no HTTPRoutes are served and stable lost its pods": (
        without_routes(SERVING, {STABLE: replace(UP, ready=False, available=0, came_up=True)}),
        (target(STABLE, 100, "latest"),),
    ),
    "no HTTPRoutes are served and one that is not in the spec any more is still there": (
        without_routes(replace(SERVING, latest_created=CANARY, latest_rolledout=CANARY), BOTH), (),
    ),
    "no HTTPRoutes are served and somebody else's Deployment has the labels of KServe": (
        without_routes(SERVING, {STABLE: UP, "other": replace(UP, name="other", release=None)}),
        (target(STABLE, 100, "latest"),),
    ),
    "no HTTPRoutes are served and there is no address": (without_routes(replace(SERVING, url=None), {STABLE: UP}), ()),
}  # fmt: skip


@pytest.mark.parametrize("what", TRAFFIC)
def test_who_gets_how_much_when(what: str) -> None:
    found, traffic = TRAFFIC[what]
    assert found.traffic == traffic


def test_shares_can_be_split_only_where_http_routes_are_served_and_used() -> None:
    assert told(SERVING, {}).splits, "KServe has yet to say what it uses"
    assert not without_routes(SERVING, {}).splits
    entered = replace(SERVING, routed=True)
    assert not told(entered, {STABLE: UP}).splits
    assert told(entered, {STABLE: UP}).routed
    assert told(entered, {STABLE: UP}, {STABLE: 100}).splits


def test_shares_that_a_gateway_does_not_follow_are_told_and_not_routed() -> None:
    refused = told(IN_CANARY, BOTH, SPLIT, followed=False)
    assert (refused.routed, refused.traffic) == (False, told(IN_CANARY, BOTH, SPLIT).traffic)
    assert told(IN_CANARY, BOTH, SPLIT).routed
    assert not told(SERVING, {STABLE: UP}).routed, "there is no route yet"
    assert without_routes(SERVING, {STABLE: UP}).routed


def test_nothing_was_rolled_out_where_nothing_is_up_and_nobody_sent_anywhere() -> None:
    assert told(SERVING, {STABLE: replace(UP, ready=False)}).latest_rolledout is None
    assert told(SERVING, {STABLE: UP}).latest_rolledout == STABLE
    assert told(SERVING, {STABLE: replace(UP, ready=False)}, {STABLE: 100}).latest_rolledout == STABLE


def test_deployments_stand_for_revisions_and_one_without_any_pod_is_unready() -> None:
    found = told(IN_CANARY, {STABLE: replace(UP, ready=False, available=1), CANARY: LOST}, SPLIT)
    assert found.revisions == {STABLE: OLD, CANARY: NEW}
    assert found.unready == {CANARY}
    assert found.available == {STABLE: 1, CANARY: 0}
    assert told(SERVING, {STABLE: replace(UP, asked=0, available=0)}).unready == frozenset()


def test_a_deployment_with_too_few_pods_is_told_with_their_number_and_others_with_since_when_they_are_not() -> None:
    since = datetime(2026, 8, 20, 9, tzinfo=UTC)
    some = replace(UP, ready=False, available=1, steady=False, unavailable_since=since)
    found = told(IN_CANARY, {STABLE: some, CANARY: replace(UP, name=CANARY, release=NEW, available_since=since)}, SPLIT)
    assert (found.short, found.steady_since) == ({STABLE: "1 of 2 pods"}, {CANARY: since})


def test_whether_the_route_names_the_canary() -> None:
    assert told(IN_CANARY, BOTH, SPLIT).listed
    assert told(IN_CANARY, BOTH, {STABLE: 100, CANARY: 0}).listed
    assert not told(IN_CANARY, BOTH, {STABLE: 100}).listed
    assert not told(SERVING, {STABLE: UP}, {STABLE: 100}).listed
    assert not without_routes(IN_CANARY, BOTH).listed


PLAIN = replace(UP, name="iris-predictor")


def test_a_kserve_that_names_no_deployment_after_its_predictor_keeps_no_canaries_either() -> None:
    old = told(SERVING, {PLAIN.name: PLAIN}, {PLAIN.name: 100})
    assert not old.canaries
    assert old.message == (
        f"KServe made Deployment iris-predictor, not {STABLE}, as before v0.20.0; Standard mode needs a newer one"
    )
    nameless = replace(SERVING, latest_created=PLAIN.name, latest_rolledout=PLAIN.name)
    beside = replace(IN_CANARY, latest_rolledout=PLAIN.name)
    for new in (
        told(SERVING, {}),
        told(SERVING, {STABLE: UP}),
        told(nameless, {PLAIN.name: PLAIN}),
        told(beside, {PLAIN.name: PLAIN}),
        told(SERVING, {STABLE: UP, PLAIN.name: PLAIN}),
    ):
        assert new.canaries


BROKEN = Failure("BlockedByFailedLoad", "of KServe", terminal=False)
SAID: dict[str, tuple[InferenceService, str, Failure | None]] = {
    "the Deployment is not made yet": (
        told(IN_CANARY, {STABLE: UP}, SPLIT), f"KServe has not made Deployment {CANARY} yet", None,
    ),
    "the Deployment is not ready": (
        told(IN_CANARY, {STABLE: UP, CANARY: replace(LOST, available=1)}, SPLIT),
        f"Deployment {CANARY} has 1 of 2 replicas available, or older pods",
        None,
    ),
    "the Deployment is ready": (told(IN_CANARY, BOTH, SPLIT), "said by KServe", None),
    "the Deployment is stuck": (
        told(IN_CANARY, {STABLE: UP, CANARY: replace(LOST, failure=WHY)}, SPLIT),
        f"Deployment {CANARY} has 0 of 2 replicas available, or older pods",
        WHY,
    ),
    "the stable predictor is stuck, which says nothing of the canary": (
        told(replace(IN_CANARY, failure=BROKEN), {STABLE: replace(UP, failure=WHY), CANARY: NEWER}, SPLIT),
        "said by KServe",
        None,
    ),
    "the stable predictor was promoted in place and is stuck": (
        told(
            replace(IN_CANARY, beside=NEW),
            {STABLE: replace(UP, release=NEW, ready=False, available=1, failure=WHY), CANARY: NEWER},
            {STABLE: 0, CANARY: 100},
        ),
        f"Deployment {STABLE} has 1 of 2 replicas available, or older pods",
        WHY,
    ),
    "KServe alone says why what was promoted in place is stuck": (
        told(replace(IN_CANARY, beside=NEW, failure=BROKEN), BOTH, {STABLE: 0, CANARY: 100}), "said by KServe", BROKEN,
    ),
    "KServe and the only Deployment say why: KServe knows more": (
        told(replace(SERVING, failure=BROKEN), {STABLE: replace(UP, failure=WHY)}, {STABLE: 100}),
        "said by KServe",
        BROKEN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SAID)
def test_what_people_are_told_when(what: str) -> None:
    found, message, failure = SAID[what]
    assert (found.message, found.failure) == (message, failure)
