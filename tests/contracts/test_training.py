"""What ports.Training promises, held by the simulation, by the KFP client over HTTP, and by the local runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import UnknownOutcome
from reconciler.observed import Package, RunState, TrainingRun
from tests.contracts.trainings import REASON, Bench, SimulatedBench, kfp, local
from tests.systems.training import pipelines

UNDER_WAY = (RunState.PENDING, RunState.RUNNING)
SUCCEEDED, FAILED, STOPPED = RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    folder = tmp_path_factory.mktemp("packages")
    return {
        each.name: pipelines.package(each, folder) for each in (pipelines.writes, pipelines.fails, pipelines.sleeps)
    }


@pytest.fixture(params=["simulated", "kfp"])
def remote(request: pytest.FixtureRequest, compiled: dict[str, Package]) -> Iterator[Bench]:
    if request.param == "simulated":
        yield SimulatedBench()
    else:
        with kfp(compiled["fails"]) as bench:
            yield bench


@pytest.fixture(params=["simulated", "kfp", "local"])
def bench(request: pytest.FixtureRequest, compiled: dict[str, Package], tmp_path: Path) -> Iterator[Bench]:
    if request.param == "simulated":
        yield SimulatedBench()
    elif request.param == "kfp":
        with kfp(compiled["fails"]) as opened:
            yield opened
    else:
        with local(tmp_path, compiled) as opened:
            yield opened


def start(
    bench: Bench, ends: RunState | None = None, key: str = "k1", attempt: int = 1, model: str = "iris"
) -> TrainingRun:
    return bench.training.ensure_started(bench.request(ends, key, attempt, model))


def seen(bench: Bench, model: str = "iris") -> list[tuple[str, int]]:
    return [(run.key, run.attempt) for run in bench.training.runs(model)]


def now(bench: Bench, run: TrainingRun) -> TrainingRun:
    (found,) = (each for each in bench.training.runs("iris") if each.run_id == run.run_id)
    return found


def test_one_key_and_attempt_is_started_once_however_often_it_is_asked_for(bench: Bench) -> None:
    assert bench.training.runs("iris") == ()
    first = start(bench)
    assert (first.key, first.attempt, first.finished_at, first.cause) == ("k1", 1, None, None)
    assert first.state in UNDER_WAY
    assert first.created_at.utcoffset() is not None
    assert [start(bench).run_id, bench.reopened().ensure_started(bench.request(None, "k1", 1, "iris")).run_id] == [
        first.run_id
    ] * 2
    assert seen(bench) == [("k1", 1)]
    assert bench.there() == ["iris/k1/1"]
    bench.training.ensure_stopped("iris", first.run_id)
    assert start(bench).state is STOPPED
    assert bench.there() == ["iris/k1/1"]


def test_a_run_ends_well_or_with_a_cause_and_is_never_begun_again(bench: Bench) -> None:
    good, bad = start(bench, SUCCEEDED, attempt=1), start(bench, FAILED, attempt=2)
    bench.let_end(good, SUCCEEDED)
    bench.let_end(bad, FAILED)
    good, bad = now(bench, good), now(bench, bad)
    assert (good.state, good.cause) == (SUCCEEDED, None)
    assert bad.state is FAILED
    assert REASON in (bad.cause or "")
    for run in (good, bad):
        assert run.finished_at is not None
        assert run.finished_at >= run.created_at
        bench.training.ensure_stopped("iris", run.run_id)
        assert now(bench, run) == run
    assert start(bench, SUCCEEDED, attempt=1) == good
    assert start(bench, FAILED, attempt=2) == bad
    assert sorted(bench.there()) == ["iris/k1/1", "iris/k1/2"]


def test_stopping_twice_stops_once_and_stopping_what_never_was_succeeds(bench: Bench) -> None:
    run = start(bench)
    for _ in range(2):
        bench.training.ensure_stopped("iris", run.run_id)
        stopped = now(bench, run)
        assert (stopped.state, stopped.key, stopped.attempt) == (STOPPED, "k1", 1)
    bench.training.ensure_stopped("iris", "never-was")
    assert seen(bench) == [("k1", 1)]


def test_runs_are_listed_oldest_first_and_only_those_of_the_model(remote: Bench) -> None:
    for key, attempt in (("k2", 1), ("k1", 1), ("k1", 2), ("k10", 1), ("k3", 11)):
        start(remote, key=key, attempt=attempt)
    for model in ("iris-2", "iri", "wine"):
        start(remote, model=model)
    assert seen(remote) == [("k2", 1), ("k1", 1), ("k1", 2), ("k10", 1), ("k3", 11)]
    assert [seen(remote, model) for model in ("iris-2", "iri", "wine", "none")] == [[("k1", 1)]] * 3 + [[]]
    created = [run.created_at for run in remote.training.runs("iris")]
    assert created == sorted(created)
    ids = [run.run_id for run in remote.training.runs("iris")]
    assert len(set(ids)) == len(ids)


def test_a_run_whose_answer_was_lost_is_found_again(remote: Bench) -> None:
    remote.lose_next_start()
    with pytest.raises(UnknownOutcome):
        start(remote)
    assert seen(remote) == [("k1", 1)]
    found = start(remote)
    assert (found.key, found.attempt) == ("k1", 1)
    assert remote.there() == ["iris/k1/1"]


def test_a_run_whose_answer_was_lost_is_found_by_the_next_process(remote: Bench) -> None:
    remote.lose_next_start()
    with pytest.raises(UnknownOutcome):
        start(remote)
    after = remote.reopened()
    found = after.ensure_started(remote.request(None, "k1", 1, "iris"))
    assert [run.run_id for run in after.runs("iris")] == [found.run_id]
    assert remote.there() == ["iris/k1/1"]


def test_another_key_or_attempt_is_another_run(remote: Bench) -> None:
    runs = [start(remote, key=key, attempt=attempt) for key in ("k1", "k2") for attempt in (1, 2)]
    assert len({run.run_id for run in runs}) == 4
    remote.let_end(runs[0], FAILED)
    assert [run.state in UNDER_WAY for run in remote.training.runs("iris")] == [False, True, True, True]


def test_a_stopped_run_says_so_after_it_failed_to_end_by_itself(remote: Bench) -> None:
    run = start(remote)
    remote.let_end(run, SUCCEEDED)
    remote.training.ensure_stopped("iris", run.run_id)
    assert now(remote, run).state is SUCCEEDED
