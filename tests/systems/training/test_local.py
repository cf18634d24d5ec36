"""KFP's local runner, for real: processes, directories, kills."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from reconciler.errors import Refused, Transient
from reconciler.observed import Package, PipelineVersion, RunState
from reconciler.systems.training.local import LocalTraining, child_environment
from reconciler.systems.training.run_directory import KILLED
from tests.systems.training.conftest import ended, open_training, request, until


def pid_in(marker: Path) -> int:
    until(lambda: marker.exists() and marker.read_text().isdigit())
    return int(marker.read_text())


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_run_succeeds_and_its_arguments_arrive(
    training: LocalTraining, packages: dict[str, Package], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    started = training.ensure_started(request(packages["writes"], {"path": str(out), "text": "a;", "number": 2.0}))
    assert started.state in (RunState.PENDING, RunState.RUNNING)

    run = ended(training)

    assert (run.state, run.cause) == (RunState.SUCCEEDED, None)
    assert out.read_text() == "a;iris/k1/1"
    assert run.finished_at is not None
    assert run.finished_at > run.created_at
    assert run.url == (tmp_path / "runs/iris/k1-1/log.txt").as_uri()


def test_the_same_key_and_attempt_never_start_twice(
    training: LocalTraining, packages: dict[str, Package], tmp_path: Path, runs_dir: Path
) -> None:
    out = tmp_path / "out"
    asked = request(packages["writes"], {"path": str(out), "text": "a;"})
    first = training.ensure_started(asked)
    assert training.ensure_started(asked).run_id == first.run_id
    ended(training)
    assert open_training(runs_dir).ensure_started(asked).state is RunState.SUCCEEDED
    assert out.read_text() == "a;iris/k1/1"
    assert len(training.runs("iris")) == 1


def test_a_failure_shows_the_exception_of_the_step_and_the_log(
    training: LocalTraining, packages: dict[str, Package], runs_dir: Path
) -> None:
    training.ensure_started(request(packages["fails"], {"reason": "no such column: petal"}))
    run = ended(training)
    assert run.state is RunState.FAILED
    assert run.cause == f"step fail: ValueError: no such column: petal (log: {runs_dir}/iris/k1-1/log.txt)"
    assert "the first error" in (runs_dir / "iris/k1-1/log.txt").read_text()


def test_a_long_cause_is_cut(training: LocalTraining, packages: dict[str, Package]) -> None:
    training.ensure_started(request(packages["fails"], {"reason": "x" * 5000}))
    run = ended(training)
    assert run.cause is not None
    assert len(run.cause) <= 500
    assert run.cause.endswith("log.txt)")


def test_a_step_killed_by_the_system_fails_with_words(training: LocalTraining, packages: dict[str, Package]) -> None:
    training.ensure_started(request(packages["vanishes"], {}))
    run = ended(training)
    assert run.state is RunState.FAILED
    assert run.cause is not None
    assert run.cause.startswith("step vanish: ended without")


def test_another_attempt_is_another_run(training: LocalTraining, packages: dict[str, Package]) -> None:
    training.ensure_started(request(packages["fails"], {"reason": "once"}))
    ended(training)
    training.ensure_started(request(packages["fails"], {"reason": "twice"}, attempt=2))
    ended(training, attempt=2)
    assert [(run.key, run.attempt) for run in training.runs("iris")] == [("k1", 1), ("k1", 2)]


def test_stopping_ends_every_process_of_the_run(
    training: LocalTraining, packages: dict[str, Package], tmp_path: Path
) -> None:
    started = training.ensure_started(request(packages["sleeps"], {"marker": str(tmp_path / "marker")}))
    step = pid_in(tmp_path / "marker")
    leader = os.getpgid(step)
    assert leader != os.getpgid(0)

    training.ensure_stopped("iris", started.run_id)

    assert ended(training).state is RunState.STOPPED
    assert not alive(step)
    assert not alive(leader)
    training.ensure_stopped("iris", started.run_id)
    training.ensure_stopped("iris", "never-1")


def test_the_time_out_holds_while_nobody_watches(
    training: LocalTraining, packages: dict[str, Package], tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    training.ensure_started(request(packages["sleeps"], {"marker": str(marker)}, timeout=3))
    step = pid_in(marker)
    until(lambda: not alive(step))
    run = ended(training)
    assert run.state is RunState.FAILED
    assert run.cause is not None
    assert run.cause.startswith("timed out after 3 s")


def test_a_restarted_reconciler_goes_on_with_a_run_that_is_alive(
    training: LocalTraining, packages: dict[str, Package], tmp_path: Path, runs_dir: Path
) -> None:
    asked = request(packages["sleeps"], {"marker": str(tmp_path / "marker")})
    training.ensure_started(asked)
    step = pid_in(tmp_path / "marker")

    restarted = open_training(runs_dir)

    assert [run.state for run in restarted.runs("iris")] == [RunState.RUNNING]
    assert restarted.ensure_started(asked).state is RunState.RUNNING
    restarted.stop_all()
    assert not alive(step)
    assert ended(restarted).state is RunState.STOPPED


def test_a_run_killed_from_outside_is_running_until_its_last_process_is_gone(
    training: LocalTraining, packages: dict[str, Package], tmp_path: Path
) -> None:
    started = training.ensure_started(request(packages["sleeps"], {"marker": str(tmp_path / "marker")}))
    step = pid_in(tmp_path / "marker")
    leader = os.getpgid(step)

    os.kill(leader, signal.SIGKILL)
    until(lambda: not alive(leader))
    assert [run.state for run in training.runs("iris")] == [RunState.RUNNING]

    os.killpg(leader, signal.SIGKILL)
    run = ended(training)
    assert run.state is RunState.FAILED
    assert run.cause is not None
    assert run.cause.startswith(KILLED)
    assert training.ensure_started(request(packages["sleeps"], {"marker": "x"})).run_id == started.run_id


def test_no_more_run_than_may(packages: dict[str, Package], tmp_path: Path, runs_dir: Path) -> None:
    training = open_training(runs_dir, parallel=1)
    try:
        training.ensure_started(request(packages["sleeps"], {"marker": str(tmp_path / "marker")}))
        with pytest.raises(Transient, match="1 trainings run on this machine, and 1 may"):
            training.ensure_started(request(packages["sleeps"], {"marker": str(tmp_path / "other")}, attempt=2))
        assert len(training.runs("iris")) == 1
    finally:
        training.stop_all()


def test_a_named_pipeline_is_refused_with_advice(training: LocalTraining) -> None:
    asked = request(Package("", b""), {})
    named = type(asked)(asked.model, asked.key, 1, "iris", PipelineVersion("iris", "v1"), {}, asked.timeout)
    with pytest.raises(Refused, match="known to a KFP API"):
        training.ensure_started(named)
    assert training.runs("iris") == ()


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a b"])
def test_a_name_that_could_leave_the_folder_is_refused(training: LocalTraining, name: str) -> None:
    with pytest.raises(Refused, match="cannot name a directory"):
        training.runs(name)


def test_a_folder_that_cannot_be_written_is_transient(packages: dict[str, Package], tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(Transient, match="starting the training of iris"):
        open_training(tmp_path / "runs").ensure_started(request(packages["writes"], {"path": "out"}))


def test_a_run_sees_nothing_of_our_own_settings() -> None:
    seen = child_environment({"PATH": "/bin", "RECONCILER_MLFLOW__TOKEN__ENV": "secret"}, "http://mlflow")
    assert not [name for name in seen if name.startswith("RECONCILER_")]
    assert (seen["PATH"], seen["MLFLOW_TRACKING_URI"]) == ("/bin", "http://mlflow")
