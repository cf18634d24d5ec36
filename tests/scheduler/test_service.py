"""The whole service: in this process around a script, and as a process that gets signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from threading import enumerate as threads

import httpx
import pytest

from reconciler.errors import SettingsError
from reconciler.metrics import Metrics
from reconciler.passes import Changed, StepResult
from reconciler.redaction import Redactor
from reconciler.service import Service, Surroundings
from reconciler.settings import (
    ApiSettings,
    GitSettings,
    HttpSettings,
    LoopSettings,
    MlflowSettings,
    Settings,
    TrainingSettings,
)
from reconciler.status import Phase, SystemStatus
from reconciler.web.address import Address, read_address
from tests.scheduler.scripted import Scripted, settled, status

HOUR, SOON = timedelta(hours=1), timedelta(milliseconds=50)
ROOT = Path(__file__).parents[2]


class _Around:
    """What surrounds the service: it keeps the watch's callback."""

    changed: Changed
    sick: tuple[str, ...] = ()

    def subscribe(self, changed: Changed) -> None:
        self.changed = changed


@contextmanager
def _running(script: Scripted, settings: Settings) -> Iterator[tuple[Service, _Around]]:
    around = _Around()
    service = Service(
        script,
        settings,
        Surroundings(
            clock=lambda: datetime.now(UTC),
            uniform=lambda _low, high: high,
            metrics=Metrics("0"),
            redactor=Redactor(),
            subscribe=around.subscribe,
            sick_watches=lambda: around.sick,
        ),
    )
    service.start()
    try:
        yield service, around
    finally:
        assert service.stop(timedelta(seconds=20)) == ()


@pytest.fixture
def calm(tmp_path: Path) -> Settings:
    """Set intervals so long that nothing happens by itself after the start."""
    return Settings(
        state_dir=tmp_path,
        git=GitSettings(poll_interval=HOUR),
        mlflow=MlflowSettings(read_interval=HOUR),
        training=TrainingSettings(poll_interval=HOUR),
        http=HttpSettings(port=0),
        loop=LoopSettings(interval=HOUR, workers=2),
    )


def _until_ready(service: Service, script: Scripted) -> None:
    # Asking for reasons is what completes the first look, and looks are what changes them.
    script.wait_for(lambda: script.models <= set(script.calls), "every model looked at")
    _eventually(lambda: service.unready() == (), "ready")


def _eventually(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


def test_it_becomes_ready_and_says_so_over_http(calm: Settings) -> None:
    script = Scripted(models={"iris", "churn"})
    with _running(script, calm) as (service, _):
        _until_ready(service, script)
        assert httpx.get(f"{service.url}/readyz").status_code == 200
        assert httpx.get(f"{service.url}/healthz").json() == {"ok": True, "reasons": []}
        names = [item["name"] for item in httpx.get(f"{service.url}/api/v1/models").json()["items"]]
        assert names == ["churn", "iris"]


def test_it_is_not_ready_while_a_model_has_not_been_looked_at(calm: Settings) -> None:
    release = Event()

    def slow(name: str) -> StepResult:
        release.wait(20)
        return settled(name)

    script = Scripted(models={"iris", "slow"}, steps={"slow": slow})
    with _running(script, calm) as (service, _):
        try:
            script.wait_for(lambda: {"iris", "slow"} <= set(script.calls), "both taken up")
            answer = httpx.get(f"{service.url}/readyz")
            assert answer.status_code == 503
            assert any("models have not been looked at yet" in reason for reason in answer.json()["reasons"])
        finally:
            release.set()
        _until_ready(service, script)


def _by_watch(_service: Service, around: _Around) -> None:
    around.changed("models", "iris")


def _by_demand(service: Service, _around: _Around) -> None:
    service.wake("iris")


@pytest.mark.parametrize("wake", [_by_watch, _by_demand], ids=["a watch event", "a demand"])
def test_a_wake_up_leads_to_another_look(calm: Settings, wake: Callable[[Service, _Around], None]) -> None:
    script = Scripted(models={"iris"})
    with _running(script, calm) as (service, around):
        _until_ready(service, script)
        before = len(script.calls)
        wake(service, around)
        script.wait_for(lambda: len(script.calls) > before, "another look")


def test_intervals_lead_to_reads_and_looks(calm: Settings) -> None:
    often = calm.model_copy(
        update={
            "git": GitSettings(poll_interval=SOON),
            "mlflow": MlflowSettings(read_interval=SOON),
            "loop": LoopSettings(interval=SOON),
        }
    )
    script = Scripted(models={"iris"})
    with _running(script, often):
        script.wait_for(lambda: script.reads.count("git") > 3, "Git polled")
        script.wait_for(lambda: script.reads.count("registry") > 3, "the registry polled")
        script.wait_for(lambda: script.calls.count("iris") > 3, "periodic looks")


def test_a_finished_training_is_noticed_by_polling(calm: Settings) -> None:
    script = Scripted(models={"iris"})
    script.steps["iris"] = lambda name: StepResult(status(name, phase=Phase.TRAINING))
    with _running(script, calm.model_copy(update={"training": TrainingSettings(poll_interval=SOON)})):
        script.wait_for(lambda: script.calls.count("iris") > 5, "polls while training")


def test_a_due_hold_wakes_its_model(calm: Settings) -> None:
    script, held = Scripted(models={"iris"}), []

    def hold(name: str) -> StepResult:
        held.append(name)
        return StepResult(status(name), look_again_at=datetime.now(UTC) + SOON)

    script.steps["iris"] = hold
    with _running(script, calm):
        script.wait_for(lambda: len(held) > 5, "looks after holds")


def test_one_slow_model_and_one_broken_model_do_not_hold_up_the_rest(calm: Settings) -> None:
    release = Event()

    def slow(name: str) -> StepResult:
        release.wait(20)
        return settled(name)

    def broken(name: str) -> StepResult:
        raise ZeroDivisionError(name)

    rest = {f"model-{n}" for n in range(100)}
    script = Scripted(models={"slow", "broken", *rest}, steps={"slow": slow, "broken": broken})
    with _running(script, calm):
        try:
            script.wait_for(lambda: rest <= set(script.shown), "all the others looked at")
        finally:
            release.set()


def test_a_reader_that_hangs_does_not_hold_up_models(calm: Settings) -> None:
    release = Event()

    class Hanging(Scripted):
        def refresh_source(self) -> frozenset[str]:
            names = super().refresh_source()
            if self.reads.count("git") > 1:
                release.wait(20)
            return names

    script = Hanging(models={"iris"})
    with _running(script, calm) as (service, _):
        try:
            _until_ready(service, script)
            service.poll()
            script.wait_for(lambda: script.reads.count("git") == 2, "the second fetch")
            before = len(script.calls)
            service.wake("iris")
            script.wait_for(lambda: len(script.calls) > before, "a look during the fetch")
            assert httpx.get(f"{service.url}/healthz").status_code == 200
        finally:
            release.set()


def test_a_worker_that_died_makes_it_sick(calm: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    def deadly(_name: str) -> StepResult:
        raise SystemExit

    script = Scripted(models={"iris"}, steps={"iris": deadly})
    with _running(script, calm) as (service, _):
        _eventually(lambda: service.sick() == ("a worker thread has ended",), "sick")


def test_a_watch_that_hangs_makes_it_sick(calm: Settings) -> None:
    with _running(Scripted(models={"iris"}), calm) as (service, around):
        assert service.sick() == ()
        around.sick = ("the watch of x has hung for 2000 s",)
        assert service.sick() == around.sick


def test_it_stays_alive_but_unready_while_a_system_is_unknown(calm: Settings) -> None:
    script = Scripted(models={"iris"})
    script.systems["serving"] = SystemStatus("serving", ok=False, error="no route")
    with _running(script, calm) as (service, _):
        script.wait_for(lambda: "iris" in script.calls, "a look all the same")
        assert "serving has not been read yet: no route" in service.unready()
        assert service.sick() == ()
        script.systems["serving"] = SystemStatus("serving", ok=True, age_seconds=0)
        _eventually(lambda: service.unready() == (), "ready")


def test_nothing_is_left_of_a_stopped_service(calm: Settings) -> None:
    before = set(threads())
    script = Scripted(models={"iris"})
    with _running(script, calm) as (service, _):
        _until_ready(service, script)
        assert read_address(calm.state_dir) is not None
    assert set(threads()) - before == set()
    assert read_address(calm.state_dir) is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/healthz")


def test_stopping_names_what_did_not_end_in_time(calm: Settings) -> None:
    release, begun = Event(), Event()

    def slow(name: str) -> StepResult:
        begun.set()
        release.wait(20)
        return settled(name)

    script = Scripted(models={"slow"}, steps={"slow": slow})
    with _running(script, calm) as (service, _):
        assert begun.wait(20)
        # Stopping a stopped service again, as this test does at its end, is harmless.
        left = service.stop(timedelta(seconds=0.1))
        assert len(left) == 1
        assert left[0].startswith("worker-")
        release.set()


@contextmanager
def _process(state_dir: Path, seconds: float, kind: str) -> Iterator[tuple[subprocess.Popen[bytes], Address]]:
    log = state_dir / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.scheduler.run_scripted", str(state_dir), str(seconds), kind],
            cwd=ROOT,
            stderr=stderr,
        )
    try:
        _eventually(lambda: process.poll() is not None or read_address(state_dir) is not None, "an address", 60)
        address = read_address(state_dir)
        assert address is not None, log.read_text()
        yield process, address
    finally:
        process.kill()
        process.wait()


def _ready(address: Address) -> bool:
    return httpx.get(f"{address.url}/readyz").status_code == 200


def _busy(address: Address) -> bool:
    return "model_reconciler_workers_busy 1.0" in httpx.get(f"{address.url}/metrics").text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_process_with_0_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with _process(tmp_path, 20, "quick") as (process, address):
        _eventually(lambda: _ready(address), "ready")
        process.send_signal(number)
        assert process.wait(20) == 0
    assert not (tmp_path / "http.json").exists()
    log = (tmp_path / "log").read_text()
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "stopped"
    assert "login failed with ***" in log
    assert "pl4nted" not in log


def test_an_action_that_runs_is_finished_before_the_process_ends(tmp_path: Path) -> None:
    with _process(tmp_path, 60, "slow") as (process, address):
        _eventually(lambda: _busy(address), "the slow action runs")
        process.terminate()
        _eventually(lambda: "stopping" in httpx.get(f"{address.url}/readyz").text, "stopping")
        assert process.poll() is None
        (tmp_path / "go-on").touch()
        assert process.wait(20) == 0
    assert (tmp_path / "finished").exists()


def test_an_action_that_does_not_end_is_left_after_the_deadline_with_0(tmp_path: Path) -> None:
    with _process(tmp_path, 0.2, "slow") as (process, address):
        _eventually(lambda: _busy(address), "the slow action runs")
        process.terminate()
        assert process.wait(20) == 0
    assert "did not end in time" in (tmp_path / "log").read_text()
    assert not (tmp_path / "finished").exists()
    assert not (tmp_path / "http.json").exists()


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    with _process(tmp_path, 600, "slow") as (process, address):
        _eventually(lambda: _busy(address), "the slow action runs")
        process.terminate()
        _eventually(lambda: "stopping" in httpx.get(f"{address.url}/readyz").text, "stopping")
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    assert not (tmp_path / "http.json").exists()


def test_an_order_is_taken_in_the_name_of_its_token_and_the_model_is_looked_at_at_once(
    calm: Settings, tmp_path: Path
) -> None:
    script = Scripted(models={"iris"})
    file = tmp_path / "tokens"
    file.write_text("ana operate a-token-of-the-test\n")
    with _running(script, calm.model_copy(update={"api": ApiSettings(tokens=file)})) as (service, _):
        _until_ready(service, script)
        looks = script.calls.count("iris")
        answer = httpx.post(
            f"{service.url}/api/v1/models/iris/abort",
            json={"reason": "it looks odd"},
            headers={"authorization": "Bearer a-token-of-the-test"},
        )
        assert answer.status_code == 200
        assert script.orders == ["abort iris by ana: it looks odd"]
        script.wait_for(lambda: script.calls.count("iris") > looks, "a look after the order")


def test_a_token_file_that_is_not_there_keeps_the_service_from_starting(calm: Settings, tmp_path: Path) -> None:
    settings = calm.model_copy(update={"api": ApiSettings(tokens=tmp_path / "none")})
    with pytest.raises(SettingsError, match="cannot read the token file"), _running(Scripted(), settings):
        pass
