"""Standard mode: the InferenceService, its parts, pods and events, and the cut of a canary's share on an API server."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from reconciler.desired.serving import Serving
from reconciler.errors import Conflict, Refused
from reconciler.manifest import inference_service as rendered
from reconciler.manifest import release_of, serving_fields
from reconciler.observed import MANAGER, Failure, InferenceService, ReleaseRecord
from reconciler.systems.serving.cache import Cache
from reconciler.systems.serving.feed import PartSink
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.parts import Parts
from reconciler.systems.serving.pods import events_call, list_call, refusal_of
from reconciler.systems.serving.standard import Workload
from reconciler.systems.serving.translate import inference_service, mode_of
from tests.systems.serving.test_kserve import shown
from tests.systems.serving.test_standard import CANARY, IN_CANARY, KEY, NEW, OLD, STABLE, UP
from tests.systems.serving.world import World, eventually, ready_status

Json = dict[str, Any]


# The InferenceService itself.


def recorded(version: int, **predictor: Any) -> ReleaseRecord:
    model = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
    fields = {"namespace": "models", "mode": "Standard", "predictor": {"model": model, "minReplicas": 1, **predictor}}
    serving = Serving.model_validate(fields)
    return ReleaseRecord(release_of(version, serving), f"s3://models/iris/{version}", serving_fields(serving))


def seen(body: Json, **parts: Any) -> InferenceService:
    entry = {"manager": MANAGER, "operation": "Apply", "time": "2026-01-05T09:00:00Z", "fieldsV1": {"f:spec": {}}}
    meta = {**body["metadata"], "uid": "u", "resourceVersion": "7", "managedFields": [entry]}
    return inference_service({**body, "metadata": meta, **parts})


def test_one_predictor_is_newest_and_stable() -> None:
    one = recorded(1)
    found = seen(rendered("iris", one, None))
    name = f"iris-v1-{one.release.template[:5]}-predictor"
    assert (found.release, found.beside, found.canary_percent) == (one.release, None, None)
    assert (found.latest_created, found.latest_rolledout, found.latest_ready) == (name, name, None)
    assert found.standard


def test_a_canary_is_the_newest_and_its_share_is_in_its_entry() -> None:
    one, two = recorded(1), recorded(2)
    found = seen(rendered("iris", two, 10, one))
    assert (found.release, found.beside, found.canary_percent) == (two.release, one.release, 10)
    assert found.canary_pods == 1
    assert seen(rendered("iris", two, 10, one, 3)).canary_pods == 3
    assert found.latest_created == f"iris-v2-{two.release.template[:5]}-predictor"
    assert found.latest_rolledout == f"iris-v1-{one.release.template[:5]}-predictor"
    assert found.applied_at is not None


def test_the_status_s_shares_are_not_believed_as_they_repeat_the_spec() -> None:
    status = {
        **ready_status("iris-predictor-00001"),
        "deploymentMode": "Standard",
        "canaryStatuses": [{"name": "v2-bbbbb", "ready": True, "trafficPercent": 50}],
    }
    found = seen(rendered("iris", recorded(2), 50, recorded(1)), status=status)
    assert (found.traffic, found.latest_ready) == ((), None)


@pytest.mark.parametrize(("said", "entered"), [("True", True), ("False", False), ("Unknown", False), (None, False)])
def test_whether_there_is_a_way_in_is_what_kserve_says_of_its_ingress(said: str | None, *, entered: bool) -> None:
    told = [] if said is None else [{"type": "IngressReady", "status": said}]
    others = [{"type": kind, "status": "True"} for kind in ("Ready", "PredictorRouteReady")]
    status = {"deploymentMode": "Standard", "conditions": [*told, *others]}
    assert seen(rendered("iris", recorded(1), None), status=status).routed is entered


def test_an_entry_without_a_share_has_none_of_the_traffic() -> None:
    body = rendered("iris", recorded(2), 10, recorded(1))
    del body["spec"]["canary"][0]["trafficPercent"]
    assert seen(body).canary_percent == 0


def said(annotation: str = "", status: str = "") -> Json:
    annotations = {"serving.kserve.io/deploymentMode": annotation} if annotation else {}
    return {"metadata": {"annotations": annotations}, "status": {"deploymentMode": status} if status else {}}


MODES: dict[str, tuple[Json, str]] = {
    "nothing is said": (said(), "Knative"),
    "the annotation says so": (said("Standard"), "Standard"),
    "the annotation says so by its old name": (said("RawDeployment"), "Standard"),
    "the status says so, which cannot change any more": (said("Standard", "Serverless"), "Knative"),
    "the status says so by its old name": (said("", "RawDeployment"), "Standard"),
    "it is one that we do not know": (said("", "ModelMesh"), "ModelMesh"),
}


@pytest.mark.parametrize("what", MODES)
def test_the_mode_when(what: str) -> None:
    obj, mode = MODES[what]
    assert mode_of(obj) == mode


# Parts.


def part(name: str, service: str = "iris", namespace: str = "models") -> Workload:
    return replace(UP, service=(namespace, service), name=name)


def test_parts_are_found_by_their_service_and_by_namespace() -> None:
    parts: Parts[Workload] = Parts()
    parts.replace("", [part("a"), part("b"), part("c", "other"), part("d", namespace="elsewhere")])
    assert set(parts.of(KEY)) == {"a", "b"}
    assert parts.keys("models") == {("models", "a"), ("models", "b"), ("models", "c")}
    assert parts.keys("") == {*parts.keys("models"), ("elsewhere", "d")}
    assert parts.of(("models", "nobody")) == {}


def test_only_services_whose_parts_changed_are_named() -> None:
    parts: Parts[Workload] = Parts()
    assert parts.put(part("a")) == {KEY}
    assert parts.put(part("a")) == frozenset()
    assert parts.put(replace(part("a"), ready=False)) == {KEY}
    assert parts.replace("models", [replace(part("a"), ready=False), part("c", "other")]) == {("models", "other")}
    assert parts.replace("elsewhere", []) == frozenset()
    assert parts.drop((part("b").service[0], "b")) == frozenset()
    assert parts.drop((part("a").service[0], "a")) == {KEY}
    assert parts.of(KEY) == {}
    assert parts.replace("models", []) == {("models", "other")}


def test_a_part_that_changes_hands_is_held_once() -> None:
    parts: Parts[Workload] = Parts()
    parts.put(part("a"))
    assert parts.put(part("a", "other")) == {KEY, ("models", "other")}
    assert parts.of(KEY) == {}
    assert set(parts.of(("models", "other"))) == {"a"}
    assert parts.replace("", [part("a")]) == {KEY, ("models", "other")}
    assert set(parts.of(KEY)) == {"a"}
    assert parts.keys("") == {("models", "a")}
    parts.clear()
    assert (parts.held, parts.keys(""), parts.drop(("models", "a"))) == (None, frozenset(), frozenset())


def test_an_object_that_belongs_to_nobody_any_more_is_forgotten() -> None:
    cache = Cache(threading.Condition(), lambda namespace, name: f"http://{name}.{namespace}")
    sink = PartSink(cache, cache.workloads, lambda obj: part(obj["metadata"]["name"]) if obj["labels"] else None, "")
    meta = {"namespace": "models", "name": "a"}
    sink.put({"metadata": meta, "labels": {"serving.kserve.io/inferenceservice": "iris"}})
    assert sink.keys() == {("models", "a")}
    sink.put({"metadata": meta, "labels": {}})
    assert sink.keys() == frozenset()


def test_an_empty_list_is_not_the_same_as_none() -> None:
    parts: Parts[Workload] = Parts()
    assert parts.held is None
    parts.replace("", [])
    assert parts.held == {}


# Pods and events.


def test_pods_are_those_of_the_newest_deployment() -> None:
    call = list_call(IN_CANARY)
    assert (call.namespace, ("labelSelector", f"app=isvc.{CANARY}") in call.query) == ("models", True)
    assert (
        "serving.knative.dev/revision=r1"
        in dict(list_call(replace(IN_CANARY, mode="Knative", latest_created="r1")).query)["labelSelector"]
    )


def test_pods_are_those_of_the_stable_deployment_that_is_made_what_its_canary_is() -> None:
    promoted = replace(IN_CANARY, beside=NEW)
    assert promoted.latest_rolledout == STABLE
    assert dict(list_call(promoted).query)["labelSelector"] == f"app=isvc.{STABLE}"
    assert replace(promoted, latest_rolledout=None).awaited == CANARY


def test_events_are_those_that_tell_of_a_refused_predictor_of_this_service() -> None:
    about = dict(events_call(IN_CANARY).query)["fieldSelector"]
    assert about == "involvedObject.kind=InferenceService,involvedObject.name=iris,reason=InternalError"


APPLIED = datetime(2026, 1, 5, 9, 2, tzinfo=UTC)
ANEW = {"eventTime": "2026-01-05T09:00:00.000000Z"}
AT_NINE = {"lastTimestamp": "2026-01-05T09:00:00Z"}
WHEN: dict[str, tuple[Json, datetime | None, bool]] = {
    "after our last apply": ({"lastTimestamp": "2026-01-05T09:02:01Z"}, APPLIED, True),
    "in the same second": ({"lastTimestamp": "2026-01-05T09:02:00Z"}, APPLIED, True),
    "before our last apply": ({"lastTimestamp": "2026-01-05T09:01:59Z"}, APPLIED, False),
    "first before it, and again after it": (
        {"firstTimestamp": "2026-01-05T09:00:00Z", "lastTimestamp": "2026-01-05T09:03:00Z"}, APPLIED, True,
    ),
    "in the newer way, before it": ({**ANEW, "lastTimestamp": None}, APPLIED, False),
    "in the newer way, and again after it": (
        {**ANEW, "series": {"lastObservedTime": "2026-01-05T09:03:00.000000Z"}}, APPLIED, True,
    ),
    "of an object whose apply has no time": (AT_NINE, None, True),
    "at no time": ({"lastTimestamp": "soon"}, None, False),
}  # fmt: skip


@pytest.mark.parametrize("when", WHEN)
def test_a_refusal_counts_if_it_was_told(when: str) -> None:
    times, applied_at, counts = WHEN[when]
    assert (refusal_of([{"message": "no", **times}], applied_at) is not None) is counts


def test_the_newest_refusal_is_told_with_the_next_step() -> None:
    events = [{"lastTimestamp": f"2026-01-05T09:0{n}:00Z", "message": f"said {n}"} for n in (1, 3, 2)]
    found = refusal_of(events, APPLIED)
    assert found == Failure(
        "InternalError", "InternalError: said 3; next: change the predictor in Git as KServe asks", terminal=False
    )
    assert refusal_of([], APPLIED) is None


def event(namespace: str, name: str, reason: str, message: str) -> client.CoreV1Event:
    about = client.V1ObjectReference(kind="InferenceService", name=name, namespace=namespace)
    meta = client.V1ObjectMeta(generate_name="e", namespace=namespace)
    return client.CoreV1Event(
        metadata=meta, involved_object=about, reason=reason, message=message, type="Warning",
        last_timestamp="2026-01-05T09:00:00Z",
    )  # fmt: skip


def test_what_kserve_refuses_is_read_from_its_events_only_while_there_is_no_deployment(
    kserve: KServe, world: World
) -> None:
    core = client.CoreV1Api(world.api)
    for name, reason in (("iris", "InternalError"), ("other", "InternalError"), ("iris", "Other")):
        core.create_namespaced_event(world.namespace, event(world.namespace, name, reason, f"of {name} {reason}"))
    live = replace(IN_CANARY, namespace=world.namespace, revisions={STABLE: OLD})
    found = kserve.trouble(live)
    assert found is not None
    assert found.message == "InternalError: of iris InternalError; next: change the predictor in Git as KServe asks"
    made = replace(live, latest_created="iris-another", revisions={"iris-another": NEW})
    assert kserve.trouble(made) is None
    applied_since = replace(live, latest_created="iris-later", applied_at=APPLIED)
    assert kserve.trouble(applied_since) is None


def test_a_service_has_the_address_that_the_settings_say() -> None:
    assert Options().link("models", STABLE) == f"http://{STABLE}.models.svc.cluster.local"
    assert Options(service_url="http://x/{namespace}/{service}").link("a", "b") == "http://x/a/b"


# The cut of a share, on an API server.


def in_canary(kserve: KServe, world: World, percent: int) -> Json:
    """Apply a canary with this share, and return what cuts it."""
    one, two = (replace(r, serving={**r.serving, "namespace": world.namespace}) for r in (recorded(1), recorded(2)))
    kserve.apply(rendered("iris", one, None))
    for share in (0, percent):
        kserve.apply(rendered("iris", two, share, one))
    return rendered("iris", two, 0, one)


def test_a_canary_s_share_is_cut_although_another_manager_holds_a_field(kserve: KServe, world: World) -> None:
    cut = in_canary(kserve, world, 50)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 5}}}, "kubectl-edit")
    eventually(lambda: world.live("iris")["metadata"]["resourceVersion"] == shown(kserve, world).resource_version)
    with pytest.raises(Conflict):
        kserve.apply({**cut, "spec": {**cut["spec"], "canary": [{**cut["spec"]["canary"][0], "trafficPercent": 60}]}})
    before = shown(kserve, world)
    cut["metadata"] |= {"uid": before.uid, "resourceVersion": before.resource_version}
    kserve.apply(cut)
    spec = world.live("iris")["spec"]
    assert spec["canary"][0]["trafficPercent"] == 0
    assert spec["canary"][0]["predictor"]["name"] == cut["spec"]["canary"][0]["predictor"]["name"]
    assert spec["predictor"]["minReplicas"] == 5
    assert shown(kserve, world).canary_percent == 0


def test_a_cut_that_is_meant_for_another_canary_cuts_nothing(kserve: KServe, world: World) -> None:
    cut = in_canary(kserve, world, 50)
    world.edit("iris", {"spec": {"predictor": {"minReplicas": 5}}}, "kubectl-edit")
    eventually(lambda: world.live("iris")["metadata"]["resourceVersion"] == shown(kserve, world).resource_version)
    cut["spec"]["canary"][0]["predictor"]["name"] = "v3-ccccc"
    with pytest.raises(Refused, match="refuses InferenceService"):
        kserve.apply(cut)
    assert world.live("iris")["spec"]["canary"][0]["trafficPercent"] == 50


def test_a_canary_that_another_manager_changed_is_not_cut(kserve: KServe, world: World) -> None:
    cut = in_canary(kserve, world, 50)
    theirs = [{**cut["spec"]["canary"][0], "trafficPercent": 30}]
    world.edit("iris", {"spec": {"canary": theirs}}, "kubectl-edit")
    eventually(lambda: shown(kserve, world).canary_percent == 30)
    with pytest.raises(Conflict):
        kserve.apply(cut)
    assert world.live("iris")["spec"]["canary"][0]["trafficPercent"] == 30
