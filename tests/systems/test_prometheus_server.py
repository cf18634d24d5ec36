"""The shipped templates, asked of a real Prometheus that scrapes metrics as Knative, Istio and KServe write them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args

import httpx
import pytest

from reconciler.analysis.verdict import Verdict, judge
from reconciler.desired.checks import Check
from reconciler.desired.queries import (
    VARIABLES,
    Flavour,
    TemplateName,
    can_tell,
    longest_told,
    resolve,
    samples_query,
    template_query,
)
from reconciler.errors import Refused
from reconciler.observed import Measurement, Metered, Metering, Release, Side
from reconciler.settings import PrometheusSettings
from reconciler.systems.prometheus import Prometheus

PROMETHEUS = shutil.which("prometheus")
WINDOW, SCRAPED = timedelta(seconds=5), "250ms"
LOOKBACK = timedelta(seconds=10)
PATIENCE = 60.0
GOOD, BAD, IDLE = "iris-predictor-00001", "iris-predictor-00002", "iris-predictor-00003"
ODD = 'ana\'s "best" `model` \\d\nof 2'
STUCK, HOURS = "iris-predictor-00004", 5000
PER_SECOND = 100

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus on PATH (Debian: prometheus)")


def lines(revision: str, requests: float, failed: float, seconds: float) -> Iterator[str]:
    """Write one revision's metrics in the words of every flavour; each answer took this long."""
    workload, pod = f"{revision}-deployment", f"{revision}-deployment-7c9f-abcde"
    knative = f'namespace_name="models",revision_name="{revision}"'
    scraped = f'namespace="models",pod="{pod}"'
    istio = f'destination_workload="{workload}",destination_workload_namespace="models"'
    for share, code in ((requests - failed, "200"), (failed, "503")):
        if not share:
            continue  # as real ones, it has no series of what never happened
        yield f'revision_app_request_count{{{knative},response_code_class="{code[0]}xx"}} {share}'
        yield f'kn_serving_invocation_duration_seconds_count{{{scraped},http_response_status_code="{code}"}} {share}'
        for reporter in ("source", "destination"):
            yield f'istio_requests_total{{{istio},reporter="{reporter}",response_code="{code}"}} {share}'
    yield f'request_predict_seconds_count{{{scraped},model_name="iris"}} {requests}'
    for metric, labels, unit, top in (
        ("revision_app_request_latencies", knative, 1000, 100),
        ("kn_serving_invocation_duration_seconds", scraped, 1, 10),
        ("istio_request_duration_milliseconds", f'{istio},reporter="destination"', 1000, 3600),
        ("request_predict_seconds", f'{scraped},model_name="iris"', 1, 10),
    ):
        for bound in (0.05, 0.1, 0.2, 0.4, top):
            yield f'{metric}_bucket{{{labels},le="{bound * unit:g}"}} {requests if seconds <= bound else 0}'
        yield f'{metric}_bucket{{{labels},le="+Inf"}} {requests}'


class _Metrics(BaseHTTPRequestHandler):
    """Counts as if each revision were asked a hundred times a second."""

    begun = time.monotonic()

    def do_GET(self) -> None:
        done = (time.monotonic() - self.begun) * PER_SECOND
        parts = [*lines(GOOD, done, 0, 0.08), *lines(BAD, done, done / 4, 0.3), *lines(IDLE, 7, 0, 0.08)]
        parts += [*lines(STUCK, done, 0, HOURS), f"confidence{{model={json.dumps(ODD)}}} 0.9"]
        body = ("\n".join(parts) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's signature
        """Stay silent."""


@contextmanager
def scraped() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Running:
    """A Prometheus that scrapes."""

    client: Prometheus

    def ask(self, query: str, revision: str) -> float | None:
        values = {
            "namespace": "models", "service": "iris", "model": "iris", "version": "2", "revision": revision,
            "workload": f"{revision}-deployment", "window": "5s",
        }  # fmt: skip
        return self.client.value(resolve(query, values), datetime.now(UTC), LOOKBACK).value


def wait(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        assert time.monotonic() < ends, log.read_text(encoding="utf-8")[-2000:]
        time.sleep(0.1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start a Prometheus of our own on a free port; one that runs as a service does not matter."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    with scraped() as target:
        job = {"job_name": "models", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        config = {"global": {"scrape_interval": SCRAPED, "scrape_timeout": SCRAPED}, "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        log = folder / "log"
        arguments = [
            str(PROMETHEUS), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        with log.open("wb") as out, subprocess.Popen(arguments, stdout=out, stderr=out, cwd=folder) as process:
            try:
                with Prometheus(PrometheusSettings(url=f"http://127.0.0.1:{port}")) as client:
                    made = Running(client)
                    wait(lambda: _is_up(port), process, log)
                    # A whole window has to be filled before rates are what they are.
                    wait(lambda: (made.ask(samples_query("knative"), GOOD) or 0) > 4.5 * PER_SECOND, process, log)
                    yield made
            finally:
                process.terminate()
                process.wait(20)


def _is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=5).is_success
    except httpx.HTTPError:
        return False


FLAVOURS = get_args(Flavour)
TEMPLATES = [(t, f) for t in get_args(TemplateName) for f in FLAVOURS if can_tell(t, f)]
EXPECTED: dict[str, tuple[float, float, float]] = {
    # Of the good and of the bad one, and how far off; latencies lie anywhere in their bucket.
    "error-rate": (0.0, 0.25, 0.02),
    "request-rate": (PER_SECOND, PER_SECOND, PER_SECOND * 0.15),
    "latency-p95": (0.0975, 0.39, 0.001),
    "latency-p99": (0.0995, 0.398, 0.001),
}


@pytest.mark.parametrize(("template", "flavour"), TEMPLATES)
def test_a_template_tells_the_sides_apart(template: TemplateName, flavour: Flavour, running: Running) -> None:
    good, bad, off = EXPECTED[template]
    query = template_query(template, flavour)
    assert running.ask(query, GOOD) == pytest.approx(good, abs=off)
    assert running.ask(query, BAD) == pytest.approx(bad, abs=off)


@pytest.mark.parametrize("template", ["latency-p95", "latency-p99"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_answers_that_take_hours_breach_every_limit_that_a_spec_may_set(
    template: TemplateName, flavour: Flavour, running: Running
) -> None:
    query, top = template_query(template, flavour), longest_told(template, flavour)
    assert top is not None
    slow, fast = running.ask(query, STUCK), running.ask(query, GOOD)
    assert slow == top
    asked = {"template": template, "flavour": flavour}
    assert _verdict({**asked, "max": 0.999 * top}, slow, fast) is Verdict.FAIL
    assert _verdict({**asked, "maxIncrease": {"relative": 0.1}}, slow, fast) is Verdict.FAIL
    assert _verdict({**asked, "maxIncrease": {"relative": 0.1}}, slow, slow) is Verdict.INCONCLUSIVE


def _verdict(asked: dict[str, object], ours: float | None, theirs: float | None) -> Verdict:
    check = Check.model_validate({"name": "slow", "prometheus": asked})
    metering = Metering(Metered("q", ours, 100), Metered("q", theirs, 100), WINDOW.total_seconds())
    nobody = Side(0, 0)
    made = Measurement("slow", Release(2, "a"), 1, datetime.now(UTC), nobody, nobody, metering=metering)
    return judge(check, [made]).verdict


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_requests_of_a_window_are_counted_once(flavour: Flavour, running: Running) -> None:
    expected = PER_SECOND * WINDOW.total_seconds()
    assert running.ask(samples_query(flavour), BAD) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("template", "flavour"), TEMPLATES)
def test_a_revision_that_nobody_asks_has_no_value_or_no_requests(
    template: TemplateName, flavour: Flavour, running: Running
) -> None:
    query = template_query(template, flavour)
    assert running.ask(query, "iris-predictor-00009") is None
    assert running.ask(query, IDLE) == (0 if template == "request-rate" else None)
    assert not running.ask(samples_query(flavour), IDLE)


@pytest.mark.parametrize("quote", ['"', "'", "`"])
def test_a_value_means_itself_in_every_kind_of_quotes(quote: str, running: Running) -> None:
    values = dict.fromkeys(VARIABLES, ODD)
    query = resolve(f"avg(confidence{{model={quote}{{{{model}}}}{quote}}})", values)
    assert running.client.value(query, datetime.now(UTC), LOOKBACK).value == 0.9


def test_a_query_that_prometheus_cannot_read_is_refused_with_its_words(running: Running) -> None:
    with pytest.raises(Refused, match="parse error"):
        running.ask("sum(", GOOD)


def test_a_query_that_cannot_be_carried_out_is_refused(running: Running) -> None:
    with pytest.raises(Refused, match="refuses the query"):
        running.ask("revision_app_request_count * on() istio_requests_total", GOOD)


def test_what_nobody_aggregated_is_refused(running: Running) -> None:
    with pytest.raises(Refused, match="series, not one number"):
        running.ask("istio_requests_total", GOOD)


def test_values_that_nobody_scrapes_any_more_are_gone_after_the_look_back(running: Running) -> None:
    now = datetime.now(UTC)
    assert running.client.value("sum(up)", now, LOOKBACK).value == 1
    # Servers before 2.44 look back five minutes, whatever they are asked for.
    assert running.client.value("sum(up)", now + timedelta(minutes=6), LOOKBACK).value is None
