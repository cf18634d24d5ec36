"""Pods tell what became of the server processes, in both modes; the product reads the cause off them."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from reconciler.demo.kserve import podobjects
from reconciler.demo.kserve.podobjects import PodTemplate
from reconciler.demo.kserve.pods import INITIALIZER, Broken, Fetching, Loading, PodState, RevisionId, Running
from reconciler.systems.serving.pods import cause_of
from tests.demo.kserve.conftest import World, eventually, predictor, servers

Json = dict[str, Any]


def in_knative_mode(world: World, name: str, uri: str) -> str:
    world.apply(name, uri, canary=None)
    return f"serving.knative.dev/revision={name}-predictor-00001"


def in_standard_mode(world: World, name: str, uri: str) -> str:
    world.apply_standard(name, predictor("r1", uri))
    return f"app=isvc.{name}-r1-predictor"


MODES = {"knative": in_knative_mode, "standard": in_standard_mode}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def only(world: World, selector: str) -> Json:
    """Return the only pod, {} before there is one."""
    found = world.pods(selector)
    assert len(found) <= 1
    return found[0] if found else {}


def is_ready(pod: Json) -> bool:
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    return pod.get("status", {}).get("phase") == "Running" and conditions.get("Ready") == "True"


def container(pod: Json, part: str = "containerStatuses") -> Json:
    found: Json = pod.get("status", {}).get(part, [{}])[0]
    return found


def test_a_pod_runs_crashes_and_runs_again_and_goes_with_its_process(
    world: World, models: dict[str, str], mode: str
) -> None:
    name = f"pod-{mode}"
    selector = MODES[mode](world, name, models["v1"])
    pod = eventually(lambda: is_ready(only(world, selector)) and only(world, selector))
    assert pod["metadata"]["labels"]["serving.kserve.io/inferenceservice"] == name
    source = "internal.serving.kserve.io/storage-initializer-sourceuri"
    assert pod["metadata"]["annotations"][source] == models["v1"]
    assert container(pod, "initContainerStatuses")["state"]["terminated"]["exitCode"] == 0
    assert cause_of([pod]) is None

    [server] = servers(f"models.{name}-")
    server.send_signal(signal.SIGKILL)
    eventually(lambda: container(only(world, selector))["restartCount"] and is_ready(only(world, selector)))
    again = only(world, selector)
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]
    assert container(again)["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL

    world.delete(name)
    eventually(lambda: not world.exists(name))
    eventually(lambda: not world.pods(selector) and not servers(f"models.{name}-"))


def test_an_artifact_that_is_not_there_fails_in_the_initializer(world: World, mode: str) -> None:
    selector = MODES[mode](world, f"fetch-{mode}", "file:///nowhere/to/be/found")
    cause = eventually(lambda: cause_of(world.pods(selector)))
    assert cause.reason == "StorageInitializerFailed"
    assert "file:///nowhere/to/be/found does not exist" in cause.message
    looping = eventually(lambda: container(only(world, selector), "initContainerStatuses")["state"].get("waiting"))
    assert looping["reason"] == "CrashLoopBackOff"
    pod = only(world, selector)
    assert pod["status"]["phase"] == "Pending"
    assert container(pod)["state"]["waiting"]["reason"] == "PodInitializing"
    again = cause_of([pod])
    assert again is not None
    assert again.reason == "StorageInitializerFailed"


def test_a_model_that_does_not_load_crashes_the_server(world: World, models: dict[str, str], mode: str) -> None:
    selector = MODES[mode](world, f"load-{mode}", models["broken"])
    cause = eventually(lambda: cause_of(world.pods(selector)))
    assert cause.reason == "CrashLoopBackOff"
    assert "not a zip file" in cause.message
    pod = eventually(lambda: container(only(world, selector))["lastState"].get("terminated") and only(world, selector))
    assert f"kubectl logs {pod['metadata']['name']} -c kserve-container" in cause.message
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 1
    assert container(pod, "initContainerStatuses")["state"]["terminated"]["exitCode"] == 0
    if mode == "standard":
        eventually(lambda: transition(world, f"load-{mode}") == "BlockedByFailedLoad")
        model = world.get(f"load-{mode}")["status"]["modelStatus"]
        assert "not a zip file" in model["lastFailureInfo"]["message"]


def transition(world: World, name: str) -> object:
    return world.get(name)["status"].get("modelStatus", {}).get("transitionStatus")


EARLY, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def marked(*states: PodState) -> list[Json]:
    """Return a pod's status after each of these states, a minute later each time a state comes up again."""
    spec = {"containers": [{"name": "kserve-container", "image": "server:1"}]}
    isvc = {"metadata": {"name": "iris", "uid": "u"}}
    pod = podobjects.new(isvc, PodTemplate(RevisionId("models", "iris-1"), {}, {}, spec))
    statuses: list[Json] = []
    for number, state in enumerate(states):
        pod["status"] = podobjects.status(pod, state, LATER if number else EARLY)
        statuses.append(pod["status"])
    return statuses


def test_a_pod_that_stays_as_it_is_keeps_its_times() -> None:
    first, second = marked(Running(1, 1), Running(1, 1))
    assert second == first
    assert first["containerStatuses"][0]["state"] == {"running": {"startedAt": EARLY}}


def test_another_failure_of_the_same_kind_is_another_time() -> None:
    first, second = marked(Broken("no", 1, 0.0, failures=1), Broken("no", 1, 0.0, failures=2))
    ends = [status["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"] for status in (first, second)]
    assert ends == [EARLY, LATER]


def test_what_ended_before_stays_on_record_while_it_runs_again() -> None:
    *_, status = marked(Broken("no", -9, 0.0), Running(1, 1, restarts=1), Running(1, 1, restarts=1))
    [server] = status["containerStatuses"]
    assert (server["restartCount"], server["ready"]) == (1, True)
    assert server["lastState"]["terminated"]["exitCode"] == 137


PHASES: dict[str, tuple[PodState, str, str, str]] = {
    "while it fetches": (Fetching(), "Pending", "running", "waiting"),
    "while it loads": (Loading(), "Running", "terminated", "running"),
    "when it failed to fetch": (Broken("no", 1, 0.0, INITIALIZER), "Pending", "terminated", "waiting"),
    "when it fails to fetch again": (Broken("no", 1, 0.0, INITIALIZER, 2), "Pending", "waiting", "waiting"),
    "when it ended": (Broken("no", 1, 0.0), "Running", "terminated", "waiting"),
}


@pytest.mark.parametrize("when", PHASES)
def test_a_pod_is_not_ready(when: str) -> None:
    state, phase, initializer, server = PHASES[when]
    [status] = marked(state)
    assert status["phase"] == phase
    assert list(status["initContainerStatuses"][0]["state"]) == [initializer]
    assert list(status["containerStatuses"][0]["state"]) == [server]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "False"
