"""The KFP API, spoken by the real client over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.errors import ReconcilerError, Refused, Transient, UnknownOutcome
from reconciler.observed import Package, PipelineVersion, RunState
from reconciler.systems.training.kfp_api import KfpNames, KfpTraining
from reconciler.systems.training.kfp_client import KfpClient
from tests.systems.training.conftest import request
from tests.systems.training.kfp_server import Item, Kfp, serve

NAME = "model-reconciler/iris/k1/1"


@dataclass
class World:
    """The server, the backend that speaks with it, and the time."""

    kfp: Kfp
    host: str
    now: datetime
    token: Path

    def training(self, host: str | None = None) -> KfpTraining:
        """Build the backend as a started reconciler does."""
        address = host or self.host
        client = KfpClient(address, token=self.read_token, timeout=timedelta(seconds=0.5))
        names = KfpNames(address, prefix="model-reconciler", experiment="models")
        return KfpTraining(
            client,
            names,
            tracking_uri="http://ana:secret@mlflow.svc/path",
            settle=timedelta(seconds=30),
            clock=lambda: self.now,
        )

    def read_token(self) -> str | None:
        """Return the token as it stands on disk."""
        return self.token.read_text() if self.token.exists() else None

    def posts(self, path: str) -> int:
        """Count what was sent to a path."""
        return len([call for call in self.kfp.calls if (call.method, call.path) == ("POST", path)])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    kfp = Kfp()
    with serve(kfp) as host:
        yield World(kfp, host, datetime(2026, 1, 1, tzinfo=UTC), tmp_path / "token")


@pytest.fixture
def training(world: World) -> KfpTraining:
    return world.training()


def cached_tasks(spec: Item) -> list[str]:
    tasks = spec["root"]["dag"]["tasks"]
    return [name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")]


def test_a_package_runs_with_typed_arguments_without_cache_and_without_credentials(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    run = training.ensure_started(request(packages["writes"], {"path": "out", "number": 2.0}))

    assert (run.key, run.attempt, run.state) == ("k1", 1, RunState.PENDING)
    assert run.url == f"{world.host}/#/runs/details/run-1"
    (sent,) = world.kfp.runs
    assert sent["display_name"] == NAME
    given = sent["runtime_config"]["parameters"]
    assert given == {"path": "out", "number": 2, "reconciler_claim": "iris/k1/1"}
    assert isinstance(given["number"], int)
    assert cached_tasks(yaml.safe_load(packages["writes"].content))
    assert not cached_tasks(sent["pipeline_spec"])
    assert "secret" not in json.dumps(sent)


def test_a_run_that_exists_is_not_created_again(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    asked = request(packages["fails"], {"reason": "x"})
    first = training.ensure_started(asked)
    assert training.ensure_started(asked).run_id == first.run_id
    assert world.training().ensure_started(asked).run_id == first.run_id
    assert world.posts("/runs") == 1
    assert len(world.kfp.experiments) == 1


def test_of_several_under_one_name_the_oldest_stays(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    oldest, ended, later = (world.kfp.add_run(NAME, state) for state in ("RUNNING", "FAILED", "RUNNING"))
    world.kfp.add_run(NAME + "0")

    assert training.ensure_started(request(packages["fails"], {"reason": "x"})).run_id == oldest["run_id"]

    assert [run["state"] for run in (oldest, ended, later)] == ["RUNNING", "FAILED", "CANCELED"]
    assert [(run.run_id, run.attempt) for run in training.runs("iris")] == [("run-1", 1), ("run-4", 10)]


def test_runs_are_read_over_all_pages_and_only_of_this_model(world: World, training: KfpTraining) -> None:
    for attempt in range(1, 6):
        world.kfp.add_run(f"model-reconciler/iris/k1/{attempt}")
    for name in ("Model-Reconciler/iris/k1/1", "model-reconciler/iris-2/k1/1", "other/model-reconciler/iris/k1/1"):
        world.kfp.add_run(name)
    assert [run.attempt for run in training.runs("iris")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("PENDING", RunState.PENDING),
        ("RUNTIME_STATE_UNSPECIFIED", RunState.PENDING),
        ("RUNNING", RunState.RUNNING),
        ("PAUSED", RunState.RUNNING),
        ("CANCELING", RunState.RUNNING),
        ("SUCCEEDED", RunState.SUCCEEDED),
        ("SKIPPED", RunState.SUCCEEDED),
        ("FAILED", RunState.FAILED),
        ("CANCELED", RunState.STOPPED),
    ],
)
def test_states_are_read_as_they_are(world: World, training: KfpTraining, theirs: str, ours: RunState) -> None:
    world.kfp.add_run(NAME, theirs)
    assert [run.state for run in training.runs("iris")] == [ours]


def test_a_failed_run_says_which_step_and_why(world: World, training: KfpTraining) -> None:
    tasks = [
        {"display_name": "load", "state": "SUCCEEDED"},
        {"display_name": "train", "state": "FAILED", "error": {"message": "OOMKilled"}},
    ]
    world.kfp.add_run(NAME, "FAILED").update(
        error={"message": "task failed"}, run_details={"task_details": tasks}, finished_at="2026-01-01T01:00:00Z"
    )
    (run,) = training.runs("iris")
    assert run.cause == "task failed; step train: OOMKilled"
    assert run.finished_at == datetime(2026, 1, 1, 1, tzinfo=UTC)


def add_pipeline(world: World, spec: Item) -> PipelineVersion:
    world.kfp.pipelines.append({"pipeline_id": "p-1", "name": "nightly", "display_name": "nightly"})
    version = {"pipeline_id": "p-1", "pipeline_version_id": "v-7", "name": "v7", "display_name": "v7"}
    world.kfp.versions.append({**version, "pipeline_spec": spec})
    return PipelineVersion("nightly", "v7")


def test_a_named_version_runs_without_cache(world: World, training: KfpTraining, packages: dict[str, Package]) -> None:
    named = add_pipeline(world, yaml.safe_load(packages["fails"].content))
    training.ensure_started(replace(request(packages["fails"], {"reason": "x"}), pipeline=named))
    assert not cached_tasks(world.kfp.runs[0]["pipeline_spec"])


def test_a_named_version_that_caches_nothing_is_run_by_reference(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    spec = yaml.safe_load(packages["fails"].content)
    for task in spec["root"]["dag"]["tasks"].values():
        task["cachingOptions"] = {}
    named = add_pipeline(world, spec)
    training.ensure_started(replace(request(packages["fails"], {"reason": "x"}), pipeline=named))
    reference = world.kfp.runs[0]["pipeline_version_reference"]
    assert reference == {"pipeline_id": "p-1", "pipeline_version_id": "v-7"}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (PipelineVersion("daily", "v7"), "knows no pipeline named daily"),
        (PipelineVersion("nightly", "v8"), "nightly has no version named v8"),
    ],
)
def test_a_pipeline_that_is_not_known_is_refused(
    world: World, training: KfpTraining, packages: dict[str, Package], named: PipelineVersion, said: str
) -> None:
    add_pipeline(world, yaml.safe_load(packages["fails"].content))
    with pytest.raises(Refused, match=said):
        training.ensure_started(replace(request(packages["fails"], {}), pipeline=named))


@pytest.mark.parametrize("fault", ["applied, then hangs", "applied, then 502", "applied, then cut"])
def test_a_lost_answer_is_an_unknown_outcome_and_the_run_is_found_afterwards(
    world: World, training: KfpTraining, packages: dict[str, Package], fault: str
) -> None:
    asked = request(packages["fails"], {"reason": "x"})
    world.kfp.faults = [("POST /runs", fault)]
    with pytest.raises(UnknownOutcome):
        training.ensure_started(asked)
    assert training.ensure_started(asked).run_id == "run-1"
    assert world.posts("/runs") == 1


def test_after_a_lost_answer_an_absent_run_is_not_created_until_none_can_land(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    asked = request(packages["fails"], {"reason": "x"})
    world.kfp.faults = [("POST /runs", "hangs")]
    with pytest.raises(UnknownOutcome):
        training.ensure_started(asked)

    world.now += timedelta(seconds=29)
    with pytest.raises(Transient, match="may still land"):
        training.ensure_started(asked)
    assert world.posts("/runs") == 1

    world.now += timedelta(seconds=2)
    assert training.ensure_started(asked).run_id == "run-1"
    assert world.posts("/runs") == 2


def test_an_empty_answer_is_not_taken_for_no_runs_unless_the_server_shows_that_it_is_itself(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    training.runs("iris")
    world.kfp.add_run(NAME)
    world.kfp.faults = [("GET /runs", "{}"), ("GET /experiments/exp-1", "{}")]
    with pytest.raises(Transient, match="not taken for empty"):
        training.ensure_started(request(packages["fails"], {"reason": "x"}))
    assert world.posts("/runs") == 0


@pytest.mark.parametrize("fault", ["{}", "login page"])
def test_one_empty_answer_does_not_hide_a_run(world: World, training: KfpTraining, fault: str) -> None:
    training.runs("iris")
    world.kfp.add_run(NAME)
    world.kfp.faults = [("GET /runs", fault)]
    assert len(training.runs("iris")) == 1


def test_a_list_cut_short_is_not_taken_for_whole(world: World, training: KfpTraining) -> None:
    training.runs("iris")
    for attempt in range(1, 4):
        world.kfp.add_run(f"model-reconciler/iris/k1/{attempt}")
    world.kfp.cut = True
    with pytest.raises(Transient, match="2 came of 3"):
        training.runs("iris")


@pytest.mark.parametrize(
    ("fault", "error"),
    [("500", Transient), ("503", Transient), ("429", Transient), ("401", Transient), ("403", Refused)],
)
def test_a_read_that_fails_says_whether_to_try_again(
    world: World, training: KfpTraining, fault: str, error: type[ReconcilerError]
) -> None:
    training.runs("iris")
    world.kfp.faults = [("GET /runs", fault)]
    with pytest.raises(error, match=f"{fault}: fault {fault}"):
        training.runs("iris")


def test_a_hanging_server_costs_one_time_out(world: World, training: KfpTraining) -> None:
    training.runs("iris")
    world.kfp.faults = [("GET /runs", "hangs")] * 4
    with pytest.raises(Transient, match="no whole answer"):
        training.runs("iris")
    assert len(world.kfp.faults) == 3


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_cannot_be_reached_did_nothing(world: World, packages: dict[str, Package], scheme: str) -> None:
    # Nothing listens on the first address; the second answers a TLS greeting in plain HTTP.
    host = "http://127.0.0.1:9" if scheme == "http" else world.host.replace("http:", "https:")
    with pytest.raises(Transient):
        world.training(host).ensure_started(request(packages["fails"], {"reason": "x"}))


def test_arguments_that_the_server_refuses_are_refused(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    world.kfp.faults = [("POST /runs", "400")]
    with pytest.raises(Refused, match="400"):
        training.ensure_started(request(packages["fails"], {"reason": "x"}))


def test_the_token_is_read_for_every_call(world: World, training: KfpTraining) -> None:
    training.runs("iris")
    world.token.write_text("first")
    training.runs("iris")
    world.token.write_text("second")
    training.runs("iris")
    seen = [call.authorization for call in world.kfp.calls]
    assert {seen[0], seen[-1]} == {None, "Bearer second"}
    assert "Bearer first" in seen


def test_stopping_terminates_once_and_only_our_own(world: World, training: KfpTraining) -> None:
    run = world.kfp.add_run(NAME)
    foreign = world.kfp.add_run("somebody-else/iris/k1/1")
    training.ensure_stopped("iris", run["run_id"])
    training.ensure_stopped("iris", run["run_id"])
    training.ensure_stopped("iris", "gone")
    with pytest.raises(Refused, match="no training of iris"):
        training.ensure_stopped("iris", foreign["run_id"])
    assert (run["state"], foreign["state"]) == ("CANCELED", "RUNNING")
    assert [run.state for run in training.runs("iris")] == [RunState.STOPPED]


def test_many_at_once_create_one_run(world: World, training: KfpTraining, packages: dict[str, Package]) -> None:
    asked = request(packages["fails"], {"reason": "x"})
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(training.ensure_started(asked))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.run_id for run in found} == {"run-1"}
    assert len(world.kfp.runs) == 1


def test_a_run_that_was_created_is_not_lost_for_want_of_a_second_look(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    training.runs("iris")
    asked = request(packages["fails"], {"reason": "x"})
    # The looks before the creation are answered truly; the one after it is refused.
    create = world.kfp.create_run

    def then_fail(body: Item) -> Item:
        world.kfp.faults = [("GET /runs", "500")]
        return create(body)

    world.kfp.create_run = then_fail  # type: ignore[method-assign]  # our own server, taught one more fault
    assert training.ensure_started(asked).run_id == "run-1"
    assert (world.posts("/runs"), world.kfp.faults) == (1, [])


def test_a_run_on_record_is_found_by_its_id_where_lists_leave_it_out(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    training.runs("iris")
    run = world.kfp.add_run(NAME)
    asked = replace(request(packages["fails"], {"reason": "x"}), started_as=run["run_id"])
    world.kfp.faults = [("GET /runs", "{}"), ("GET /runs", "{}")]
    assert training.ensure_started(asked).run_id == run["run_id"]
    assert world.posts("/runs") == 0


def test_an_answer_that_shows_no_run_is_not_taken_for_a_run_that_is_gone(
    world: World, training: KfpTraining, packages: dict[str, Package]
) -> None:
    training.runs("iris")
    run = world.kfp.add_run(NAME)
    asked = replace(request(packages["fails"], {"reason": "x"}), started_as=run["run_id"])
    world.kfp.faults = [("GET /runs", "{}"), ("GET /runs", "{}"), (f"GET /runs/{run['run_id']}", "{}")]
    with pytest.raises(Transient, match="shows no such run"):
        training.ensure_started(asked)
    assert world.posts("/runs") == 0
