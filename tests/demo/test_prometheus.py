"""Where there is a Prometheus the demo asks it too, and where there is none it says so and goes on."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from reconciler.demo.kserve.metrics import CONTENT_TYPE, Metrics
from reconciler.demo.kserve.pods import RevisionId
from reconciler.demo.prometheus import installed
from reconciler.demo.repository import DemoRepository, Flavour
from reconciler.demo.stack import prometheus
from reconciler.desired.queries import resolve, template_query
from reconciler.settings import PrometheusSettings
from reconciler.systems.prometheus import Prometheus
from tests.demo.kserve.conftest import eventually
from tests.demo.pages import served_page

GOOD = RevisionId("models", "iris-predictor-00001")


def checks(repository: DemoRepository, model: str) -> list[str]:
    text = (repository.folder / "models" / f"{model}.yaml").read_text(encoding="utf-8")
    analysis = text.partition("    analysis:\n")[2].splitlines()
    return [line.split()[-1] for line in analysis if line.startswith("      - name:")]


def test_every_model_asks_prometheus_where_there_is_one_and_the_probe_alone_where_there_is_none(tmp_path: Path) -> None:
    repository = DemoRepository.open(tmp_path / "repo")
    flavours: tuple[Flavour | None, ...] = ("knative", "istio", None)
    for flavour in flavours:
        repository.ask(flavour)
        wanted = ["errors", "latency", "answers"] if flavour else ["answers"]
        assert [checks(repository, model) for model in ("iris", "diabetes")] == [wanted, wanted]
        text = (repository.folder / "models" / "iris.yaml").read_text(encoding="utf-8")
        assert text.count(f"flavour: {flavour}") == (2 if flavour else 0)
    assert repository.git("status", "--porcelain") == ""


def test_asking_as_before_commits_nothing(tmp_path: Path) -> None:
    repository = DemoRepository.open(tmp_path / "repo")
    repository.ask("knative")
    before = repository.git("rev-parse", "HEAD")
    repository.ask("knative")
    assert repository.git("rev-parse", "HEAD") == before


def test_without_the_program_the_demo_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    with prometheus(tmp_path / "prometheus", "http://127.0.0.1:9", said.append) as url:
        assert url == ""
    assert said == ["There is no prometheus on PATH: candidates are proven by probes alone"]
    assert not (tmp_path / "prometheus").exists()


@pytest.mark.skipif(not shutil.which("prometheus"), reason="there is no prometheus on PATH (Debian: prometheus)")
def test_it_scrapes_the_ingress_answers_the_shipped_templates_and_ends_with_the_demo(tmp_path: Path) -> None:
    assert installed()
    metrics = Metrics()

    def page() -> bytes:
        for _ in range(10):
            metrics.answered("knative", GOOD, 200, 0.03)
        return metrics.exposition().encode()

    query = template_query("latency-p95", "knative")
    values = {"namespace": GOOD.namespace, "revision": GOOD.name, "window": "10s"}
    with (
        served_page(page, CONTENT_TYPE) as ingress,
        prometheus(tmp_path / "prometheus", ingress, lambda _: None) as url,
        Prometheus(PrometheusSettings(url=url)) as client,
    ):
        latency = eventually(
            lambda: client.value(resolve(query, values), datetime.now(UTC), timedelta(seconds=10)).value
        )
    assert 0.02 < latency <= 0.04
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert (tmp_path / "prometheus" / "data").is_dir()
