"""The API over a real socket."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import TypeAdapter

from reconciler.errors import SettingsError
from reconciler.metrics import Metrics, Sources
from reconciler.redaction import Redactor
from reconciler.scheduler.queue import QueueFigures
from reconciler.settings import HttpSettings
from reconciler.status import (
    ChangedBy,
    Health,
    ModelStatus,
    Phase,
    RegistryVersion,
    RejectedVersion,
    Sync,
    SystemStatus,
    TrafficShare,
)
from reconciler.web.address import Address, read_address, remove_address, write_address
from reconciler.web.app import OPENAPI, View, create_app
from reconciler.web.guards import LARGEST_REQUEST
from reconciler.web.server import MOST_CONNECTIONS, REQUEST_SECONDS, Server, allowed_hosts, listen, url_of
from tests.scheduler.scripted import NOW, Scripted, status

SECRET = "pl4nted-s3cret"

CHURN = status(
    "churn",
    sync=Sync.OUT_OF_SYNC,
    health=Health.DEGRADED,
    phase=Phase.ROLLING_BACK,
    registry=(RegistryVersion(44, "Archived", "rejected"), RegistryVersion(43, "Production")),
    live=(TrafficShare(43, "churn-predictor-00002", 90, 88), TrafficShare(None, "churn-predictor-00001", None, 12)),
    waits_for="a commit that asks for another version",
    look_again_at=NOW,
    rejected=(RejectedVersion(44, "p95 212 ms > 180 ms"),),
    verdicts=({"check": "latency", "value": float("nan"), "limit": 180},),
    commit=ChangedBy("ana <ana@example.org>", "Use version 44"),
    labels={"team": "growth"},
)


class _Api:
    """A served view that tests may change."""

    def __init__(self) -> None:
        self.script = Scripted(models={"churn", "fraud", "iris", "new"})
        fraud = status("fraud", sync=Sync.OUT_OF_SYNC, health=Health.PROGRESSING, phase=Phase.CANARY)
        iris = status("iris", labels={"team": "flowers"})
        self.script.shown = {each.name: each for each in (iris, fraud, CHURN)}
        self.sick: tuple[str, ...] = ()
        self.unready: tuple[str, ...] = ()
        self.statuses: Callable[[], Any] = self.script.statuses
        self.metrics = Metrics("1.2.3")
        self.metrics.read_from(
            Sources(self.shown, self.script.status_of_systems, lambda: QueueFigures(3, 1.5, 2, {"iris": 4.0}))
        )
        self.client = httpx.Client()

    @property
    def view(self) -> View:
        return View(
            names=self.script.names,
            statuses=self.shown,
            systems=self.script.status_of_systems,
            sick=lambda: self.sick,
            unready=lambda: self.unready,
            metrics=self.metrics.exposition,
        )

    def shown(self) -> Any:
        return self.statuses()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.client.base_url.host, self.client.base_url.port or 0), timeout=20)

    def names(self, query: str) -> list[str]:
        return [item["name"] for item in self.get(f"/api/v1/models?{query}").json()["items"]]


@contextmanager
def _serve(api: _Api, host: str = "127.0.0.1", patience: int = REQUEST_SECONDS) -> Iterator[_Api]:
    listener = listen(HttpSettings(host=host, port=0))
    server = Server(create_app(api.view, Redactor([SECRET]), allowed_hosts(host)), listener, patience)
    server.start()
    try:
        with httpx.Client(base_url=url_of(listener).replace("0.0.0.0", "127.0.0.1"), timeout=20) as client:  # noqa: S104  the address under test
            api.client = client
            yield api
    finally:
        server.stop()
    assert not server.alive()


@pytest.fixture
def api() -> Iterator[_Api]:
    with _serve(_Api()) as served:
        yield served


def test_alive_says_200_and_sick_says_503_with_reasons(api: _Api) -> None:
    assert (api.get("/healthz").status_code, api.get("/healthz").json()) == (200, {"ok": True, "reasons": []})
    api.sick = ("a worker thread has ended",)
    answer = api.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"ok": False, "reasons": ["a worker thread has ended"]})


def test_unready_says_503_with_reasons_without_secrets(api: _Api) -> None:
    assert api.get("/readyz").status_code == 200
    api.unready = (f"git has not been read yet: https://ana:{SECRET}@host/ says no",)
    answer = api.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["git has not been read yet: https://***@host/ says no"]


def test_the_models_are_listed_by_name(api: _Api) -> None:
    body = api.get("/api/v1/models").json()
    assert [item["name"] for item in body["items"]] == ["churn", "fraud", "iris"]
    assert (body["total"], body["next"]) == (3, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("sync=OutOfSync", ["churn", "fraud"], id="by sync"),
        pytest.param("health=Degraded&health=Healthy", ["churn", "iris"], id="several values of one filter: any"),
        pytest.param("sync=OutOfSync&health=Healthy", [], id="several filters: all"),
        pytest.param("phase=Canary", ["fraud"], id="by phase"),
        pytest.param("name=*r*u*", ["churn", "fraud"][1:], id="by name with wildcards"),
        pytest.param("label=team%3Dflowers", ["iris"], id="by label"),
        pytest.param("after=churn", ["fraud", "iris"], id="after a name"),
        pytest.param("limit=1", ["churn"], id="a page"),
    ],
)
def test_models_can_be_filtered(api: _Api, query: str, expected: list[str]) -> None:
    assert api.names(query) == expected


def test_pages_lead_through_all_models(api: _Api) -> None:
    seen, after = [], ""
    while True:
        body = api.get("/api/v1/models", params={"limit": 2, "after": after}).json()
        assert body["total"] == 3
        seen += [item["name"] for item in body["items"]]
        after = body["next"]
        if after is None:
            break
    assert seen == ["churn", "fraud", "iris"]


def test_a_model_is_shown_as_its_status_says(api: _Api) -> None:
    body = api.get("/api/v1/models/churn").json()
    assert body["live"][0] == {"version": 43, "revision": "churn-predictor-00002", "setPercent": 90, "percent": 88}
    assert body["lookAgainAt"] == "2026-08-20T09:31:00.000Z"
    assert body["verdicts"] == [{"check": "latency", "value": "nan", "limit": 180}]
    assert body["commit"] == {"author": "ana <ana@example.org>", "subject": "Use version 44"}


def test_what_the_api_says_can_be_read_back_as_a_status(api: _Api) -> None:
    back = TypeAdapter(ModelStatus).validate_python(api.get("/api/v1/models/churn").json())
    assert replace(back, verdicts=()) == replace(CHURN, verdicts=())


def test_answers_are_as_the_openapi_document_says(api: _Api) -> None:
    document = api.get(OPENAPI).json()
    for path, route in {
        "/api/v1/models": "/api/v1/models",
        "/api/v1/models/churn": "/api/v1/models/{name}",
        "/api/v1/systems": "/api/v1/systems",
        "/healthz": "/healthz",
    }.items():
        schema = document["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(api.get(path).json(), {**schema, "components": document["components"]})
    assert set(document["components"]["schemas"]["ModelStatus"]["properties"]) == set(CHURN.as_json())


@pytest.mark.parametrize(
    ("path", "status_code", "detail", "advice"),
    [
        ("/api/v1/models/chrun", 404, "there is no model chrun", "did you mean churn?"),
        ("/api/v1/models/zzz", 404, "there is no model zzz", "`reconciler status` lists all models"),
        ("/api/v1/models/new", 404, "the model new has not been looked at yet", "ask again in a moment"),
        ("/nowhere", 404, "GET /nowhere", OPENAPI),
        ("/api/v1/models?sync=Wrong", 400, "query sync", ""),
        ("/api/v1/models?limit=0", 400, "query limit", ""),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_advice(
    api: _Api, path: str, status_code: int, detail: str, advice: str
) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status_code, "application/problem+json")
    body = answer.json()
    assert body["status"] == status_code
    assert detail in body["detail"]
    assert advice in body["help"]


def test_only_reading_is_allowed(api: _Api) -> None:
    answer = api.client.post("/api/v1/models", json={})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


def test_a_fault_shows_no_trace_and_no_secret(api: _Api) -> None:
    def broken() -> Any:
        raise RuntimeError(f"unexpected {SECRET}")

    api.statuses = broken
    answer = api.get("/api/v1/models")
    assert (answer.status_code, answer.json()["detail"]) == (500, "the request failed")
    assert SECRET not in answer.text


def test_no_answer_shows_a_planted_secret(api: _Api) -> None:
    api.script.shown["iris"] = status(
        "iris",
        waits_for=f"login with {SECRET}",
        verdicts=({"token": "abc123", "url": "https://ana:hunter2@host/"},),
        labels={f"x{SECRET}": "y"},
    )
    api.script.systems["git"] = SystemStatus("git", ok=False, error=f"https://ana:{SECRET}@host/ says no", since=NOW)
    paths = (
        "/api/v1/models",
        "/api/v1/models/iris",
        f"/api/v1/models/{SECRET}",
        "/api/v1/systems",
        "/metrics",
        f"/{SECRET}",
    )
    text = "".join(api.get(path).text for path in paths)
    assert "login with ***" in text
    for secret in (SECRET, "hunter2", "abc123"):
        assert secret not in text


def test_systems_are_listed_with_the_age_of_their_picture(api: _Api) -> None:
    items = api.get("/api/v1/systems").json()["items"]
    assert [item["name"] for item in items] == ["git", "ledger", "registry", "serving", "training"]
    assert items[0] == {"name": "git", "ok": True, "since": "2026-08-20T09:31:00.000Z", "error": "", "ageSeconds": 1.5}


def _samples(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_metrics_tell_what_happened_and_how_it_stands(api: _Api) -> None:
    api.metrics.passed("settled", 0.02)
    api.metrics.acted("Deploy", "done")
    api.metrics.appended("intent")
    api.script.systems["git"] = SystemStatus("git", ok=False, error="gone", age_seconds=90)
    answer = api.get("/metrics")
    samples = _samples(answer.text)
    assert answer.headers["content-type"].startswith("text/plain")
    expected = {
        'model_reconciler_passes_total{result="settled"}': 1,
        'model_reconciler_pass_duration_seconds_bucket{le="0.025"}': 1,
        'model_reconciler_actions_total{kind="Deploy",outcome="done"}': 1,
        'model_reconciler_ledger_appends_total{moment="intent"}': 1,
        'model_reconciler_models{health="Degraded",sync="OutOfSync"}': 1,
        'model_reconciler_models{health="Missing",sync="Unknown"}': 0,
        'model_reconciler_observation_age_seconds{system="git"}': 90,
        'model_reconciler_system_failing{system="git"}': 1,
        'model_reconciler_system_failing{system="registry"}': 0,
        "model_reconciler_queue_depth": 3,
        "model_reconciler_queue_oldest_seconds": 1.5,
        "model_reconciler_longest_pass_seconds": 4,
        'model_reconciler_build_info{version="1.2.3"}': 1,
    }
    assert {name: samples.get(name) for name in expected} == expected
    assert all(name.startswith("model_reconciler_") for name in samples)


def test_the_number_of_series_does_not_grow_with_models_or_kinds(api: _Api) -> None:
    def series() -> int:
        return len(_samples(api.get("/metrics").text))

    api.metrics.acted("Deploy", "done")
    before = series()
    for n in range(200):
        api.script.shown[f"model-{n}"] = status(f"model-{n}")
    assert series() == before
    for n in range(200):
        api.metrics.acted(f"Kind{n}", "done")
    assert series() < before + 70
    assert not re.search(r"churn|model-1\b", api.get("/metrics").text)


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/models", "/api/v1/models/zzz", "/metrics", "/nowhere", OPENAPI])
def test_every_answer_has_security_headers_and_does_not_name_the_server(api: _Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UNFINISHED = {"nothing": (b"", b""), "half a head": (b"", WHOLE[:30]), "half a second request": (WHOLE, WHOLE[:30])}


@pytest.mark.parametrize("what", UNFINISHED)
def test_connections_that_ask_for_nothing_whole_do_not_keep_others_out_for_long(what: str) -> None:
    with _serve(_Api(), patience=1) as api, ExitStack() as opened:
        idle = [opened.enter_context(api.connect()) for _ in range(MOST_CONNECTIONS - 1)]
        for connection in idle:
            for part in UNFINISHED[what]:
                connection.sendall(part)
                assert part != WHOLE or b"HTTP/1.1" in connection.recv(4096)
        for connection in idle:
            while connection.recv(4096):
                pass
        assert api.get("/healthz").status_code == 200


def test_a_request_that_takes_long_to_answer_is_waited_for() -> None:
    asked, go_on = Event(), Event()

    def slow() -> Any:
        asked.set()
        assert go_on.wait(20)
        return {}

    with _serve(_Api(), patience=1) as api, ThreadPoolExecutor(1) as pool:
        api.statuses = slow
        answer = pool.submit(api.get, "/api/v1/models")
        assert asked.wait(20)
        with api.connect() as idle:
            assert idle.recv(1) == b""
        go_on.set()
        assert answer.result(20).json()["total"] == 0


def test_a_large_body_is_refused_before_it_is_read(api: _Api) -> None:
    with api.connect() as raw:
        raw.sendall(f"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGEST_REQUEST + 1}\r\n\r\n".encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 413")


def test_a_body_of_untold_length_is_refused(api: _Api) -> None:
    assert api.client.post("/api/v1/models", content=iter([b"x"])).status_code == 413


def test_a_page_elsewhere_cannot_reach_a_loopback_service_through_its_own_name(api: _Api) -> None:
    assert api.get("/api/v1/models", headers={"host": "evil.example"}).status_code == 421
    for name in ("localhost", "127.0.0.1:8765", "[::1]:8765"):
        assert api.get("/healthz", headers={"host": name}).status_code == 200


def test_a_service_bound_to_every_address_answers_to_any_name() -> None:
    with _serve(_Api(), "0.0.0.0") as served:  # noqa: S104  the address under test
        assert served.get("/healthz", headers={"host": "reconciler.models.svc"}).status_code == 200


def test_a_taken_port_is_an_error_that_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1 port {port}") as error:
            listen(HttpSettings(port=port))
    assert "http.port" in error.value.help


def test_the_address_is_found_by_commands_on_the_same_machine(tmp_path: Path) -> None:
    here = Address("http://127.0.0.1:8765", os.getpid())
    assert read_address(tmp_path) is None
    write_address(tmp_path / "state", here)
    assert read_address(tmp_path / "state") == here
    remove_address(tmp_path / "state", os.getpid())
    assert list((tmp_path / "state").iterdir()) == []


def test_the_address_of_a_service_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    write_address(tmp_path, Address("http://127.0.0.1:8765", gone.pid))
    assert read_address(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", json.dumps({"url": "x", "pid": "y"}), '{"url": "x", "pid": 1e400}']
)
def test_a_broken_address_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "http.json").write_text(text)
    assert read_address(tmp_path) is None


def test_a_new_service_keeps_its_address_when_the_old_one_ends(tmp_path: Path) -> None:
    write_address(tmp_path, Address("http://127.0.0.1:8765", os.getpid()))
    remove_address(tmp_path, os.getppid())
    assert read_address(tmp_path) is not None
