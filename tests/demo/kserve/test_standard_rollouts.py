"""Rollouts in Standard mode from end to end: the real planner, executor and adapter, model servers over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconciler.demo.kserve.standard_mode import StandardOptions
from reconciler.demo.kubeapi import Options as ApiOptions
from reconciler.ensure.scene import Systems
from reconciler.observe import Observer
from reconciler.observed import Stage
from reconciler.reconcile import ModelReconciler
from reconciler.registry_roles import role
from reconciler.settings import KubernetesSettings
from reconciler.status import ModelStatus
from reconciler.systems.probe import HttpProber
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from tests.chaos.light import AS_RELEASED, MODEL_FILE
from tests.demo.kserve.conftest import World, eventually, load
from tests.demo.kserve.test_standard_options import ROUTES, on_its_own
from tests.simulation.faults import Faults
from tests.simulation.jobs import SimJobs
from tests.simulation.registry import SimRegistry
from tests.simulation.stories import calm, good, spec
from tests.simulation.systems import SimLedger, SimMemory, SimSource, SimTraining
from tests.simulation.world import NAME

SERVING: dict[str, Any] = {
    "namespace": "models",
    "mode": "Standard",
    "predictor": {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}, "minReplicas": 1},
}
ANSWERS = {
    "name": "answers",
    "interval": "1s",
    "minSamples": 4,
    "probe": {"inputs": {"from": "inputExample"}, "requests": 4},
}
STEPS = [{"traffic": 10, "hold": "200ms"}, {"traffic": 50, "hold": "200ms"}]
BY_STEPS = {"strategy": "canary", "steps": STEPS, "analysis": [ANSWERS], "deadline": "10m"}
AT_ONCE = {"strategy": "blueGreen", "hold": "200ms", "analysis": [ANSWERS], "deadline": "10m"}
UNTIL_V020 = StandardOptions(routes_canaries=False, progress_deadline=600.0)
BY_DEFAULT = StandardOptions(routes_canaries=True, progress_deadline=600.0, gateway_api=False)
WITHOUT_ROUTES = ApiOptions(left_out=frozenset({ROUTES}))


@dataclass
class Story:
    """One model's reconciler on a cluster of its own; `ahead` is how far its clock is ahead of the cluster's."""

    cluster: World
    registry: SimRegistry
    source: SimSource
    reconciler: ModelReconciler
    artifacts: Path
    ahead: timedelta
    acted: list[str] = field(default_factory=list)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def wants(self, rollout: dict[str, Any], **predictor: Any) -> None:
        """Commit a spec."""
        serving = {**SERVING, "predictor": {**SERVING["predictor"], **predictor}}
        self.source.write(NAME, spec(training=None, serving=serving, rollout=rollout))

    def registers(self, *, wrong: bool = False) -> int:
        """Register a version that answers its own number, or nothing but errors."""
        number = self.registry.register(NAME, {}, {"accuracy": 0.95}, self.clock())
        folder = self.artifacts / str(number)
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_text(json.dumps({"level": number, "wrong": wrong}), encoding="utf-8")
        return number

    def until(self, holds: Callable[[], bool]) -> None:
        """Look again and again until something holds."""

        def look() -> bool:
            self.reconciler.refresh_source()
            self.reconciler.refresh_registry()
            result = self.reconciler.reconcile(NAME)
            # What KServe's writes came before is tried again.
            self.acted += [result.acted] if result.acted and result.error is None else []
            return holds()

        eventually(look)

    @property
    def status(self) -> ModelStatus:
        return self.reconciler.statuses()[NAME]

    @property
    def stalls_by(self) -> str:
        condition = self.status.conditions.stalled
        return condition.reason if condition.status == "True" else ""

    def in_production(self, number: int) -> bool:
        """Tell whether this version has the role, all callers, and nothing beside it."""
        version = self.registry.models[NAME].get(number)
        if version is None or role(version) is not Stage.PRODUCTION or self.status.phase != "Idle":
            return False
        return "canary" not in self.wanted and len(self.cluster.deployments(NAME)) == 1

    @property
    def wanted(self) -> Any:
        return self.cluster.get(NAME)["spec"]

    def role(self, number: int) -> Stage:
        version = self.registry.models[NAME].get(number)
        assert version is not None
        return role(version)


@contextmanager
def story(
    folder: Path, *, options: ApiOptions | None = None, standard: StandardOptions = AS_RELEASED
) -> Iterator[Story]:
    """Set a reconciler before a cluster."""
    faults = Faults(calm)
    with ExitStack() as stack:
        cluster = stack.enter_context(on_its_own(folder / "work", options=options, standard=standard))
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(cluster.client.configuration.host)), encoding="utf-8")
        made: Story

        def clock() -> datetime:
            return made.clock()

        url = f"{cluster.ingress_url}/serving/{{namespace}}/{{service}}"
        connection = Connection(KubernetesSettings(kubeconfig=kubeconfig))
        stack.callback(connection.close)
        watched = KServe(connection, Options(service_url=url), lambda: datetime.now(UTC), Random(1))
        registry, memory = SimRegistry(faults), SimMemory(faults)
        source = SimSource(memory, clock)
        systems = Systems(
            registry=registry,
            serving=watched,
            training=SimTraining(faults, registry, clock, good),
            prober=stack.enter_context(HttpProber(timedelta(seconds=10), timedelta(seconds=20))),
            metrics=None,
            jobs=SimJobs(faults, set()),
            ledger=SimLedger(faults),
            memory=memory,
            clock=clock,
            artifact_destinations={f"s3://models/{NAME}": (folder / "artifacts").as_uri()},
            settle=timedelta(seconds=30),
        )
        observer = Observer(systems, timedelta(seconds=30))
        reconciler = ModelReconciler(source, systems, observer, timedelta(seconds=5))
        made = Story(cluster, registry, source, reconciler, folder / "artifacts", timedelta())
        source.begin()
        stack.enter_context(watched)
        assert watched.wait_synced(timedelta(seconds=20)), watched.read_all()
        yield made


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "w",
        "clusters": [{"name": "w", "cluster": {"server": url}}],
        "users": [{"name": "w", "user": {}}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
    }


def first_version(told: Story, rollout: dict[str, Any]) -> None:
    """Let version 1 serve."""
    told.registers()
    told.wants(rollout)
    told.until(lambda: told.in_production(1))
    assert told.cluster.answers(NAME) == 1


def name_of_stable(told: Story) -> str:
    return str(told.wanted["predictor"]["name"])


def test_versions_and_serving_fields_are_rolled_out_without_a_failed_request(tmp_path: Path) -> None:
    with story(tmp_path) as told:
        first_version(told, BY_STEPS)
        with load(told.cluster, NAME) as answers:
            told.acted.clear()
            told.registers()
            told.until(lambda: told.in_production(2))
            assert told.acted.count("ShiftTraffic") == 3
            assert told.role(1) is Stage.ARCHIVED
            assert name_of_stable(told).startswith("v2-")
            eventually(lambda: told.cluster.weights(NAME) == {name_of_stable(told): 1})

            before = name_of_stable(told)
            told.wants(BY_STEPS, timeout=30)
            told.until(lambda: told.wanted["predictor"].get("timeout") == 30 and told.in_production(2))
            assert name_of_stable(told) == before, "KServe refuses another name for the same artifact"
            eventually(lambda: told.cluster.weights(NAME) == {before: 1})
            before_last = answers.total()
            eventually(lambda: answers.total() > before_last + 10)
        assert set(answers) == {1, 2}
        assert {told.cluster.answers(NAME) for _ in range(20)} == {2}


def test_a_bad_candidate_is_taken_back_and_stable_never_left(tmp_path: Path) -> None:
    with story(tmp_path) as told:
        first_version(told, BY_STEPS)
        stable = told.wanted["predictor"]
        [pod] = told.cluster.pods(f"app=isvc.{NAME}-{stable['name']}-predictor")
        with load(told.cluster, NAME) as answers:
            told.registers(wrong=True)
            told.until(lambda: told.role(2) is Stage.ARCHIVED and told.in_production(1))
            assert [a for a in told.acted if a in ("CutTraffic", "RestoreStable", "Reject", "FinishRollback")] == [
                "CutTraffic",
                "RestoreStable",
                "Reject",
            ]
            eventually(lambda: told.cluster.weights(NAME) == {stable["name"]: 1})
        assert set(answers) <= {1, -500}, "only what the candidate answers itself is lost"
        assert told.wanted["predictor"] == stable
        [after] = told.cluster.pods(f"app=isvc.{NAME}-{stable['name']}-predictor")
        assert after["metadata"]["uid"] == pod["metadata"]["uid"]
        assert {told.cluster.answers(NAME) for _ in range(20)} == {1}


def test_a_bad_candidate_that_is_measured_without_callers_costs_none_of_them(tmp_path: Path) -> None:
    with story(tmp_path) as told:
        first_version(told, AT_ONCE)
        with load(told.cluster, NAME) as answers:
            told.registers(wrong=True)
            told.until(lambda: told.role(2) is Stage.ARCHIVED and told.in_production(1))
        assert set(answers) == {1}


def test_a_kserve_that_routes_no_canaries_is_told_and_the_candidate_taken_back_at_its_deadline(tmp_path: Path) -> None:
    with story(tmp_path, standard=UNTIL_V020) as told:
        first_version(told, BY_STEPS)
        with load(told.cluster, NAME) as answers:
            told.registers()
            told.until(lambda: "canary" in told.wanted and told.wanted["canary"][0]["trafficPercent"] == 10)
            told.ahead = timedelta(minutes=2)
            told.until(lambda: told.stalls_by == "TrafficNotRouted")
            assert "the HTTPRoute sends it 0 %" in told.status.conditions.stalled.message
            told.ahead = timedelta(minutes=12)
            told.until(lambda: told.role(2) is Stage.ARCHIVED and told.in_production(1))
        assert set(answers) == {1}


def test_a_kserve_that_routes_no_canaries_serves_what_takes_no_shares(tmp_path: Path) -> None:
    with story(tmp_path, standard=UNTIL_V020) as told:
        first_version(told, AT_ONCE)
        told.registers()
        told.until(lambda: "canary" in told.wanted and told.wanted["canary"][0]["trafficPercent"] == 100)
        told.ahead = timedelta(minutes=2)
        told.until(lambda: told.in_production(2))
        assert told.stalls_by == ""
        eventually(lambda: told.cluster.answers(NAME) == 2)


@pytest.mark.parametrize(("options", "standard"), [(WITHOUT_ROUTES, AS_RELEASED), (ApiOptions(), BY_DEFAULT)])
def test_without_http_routes_no_steps_are_begun_and_everything_at_once_goes_through(
    tmp_path: Path, options: ApiOptions, standard: StandardOptions
) -> None:
    with story(tmp_path, options=options, standard=standard) as told:
        first_version(told, BY_STEPS)
        told.registers()
        told.until(lambda: told.stalls_by == "TrafficNotRouted")
        assert "no HTTPRoute leads to its service" in told.status.conditions.stalled.message
        assert "ingress.enableGatewayApi: true" in told.status.waits_for
        assert "canary" not in told.wanted
        told.wants(AT_ONCE)
        told.until(lambda: told.in_production(2))
        assert "RouteAll" in told.acted
        eventually(lambda: told.cluster.answers(NAME) == 2)
