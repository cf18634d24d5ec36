"""What Prometheus may scrape. Home of prometheus-client.

No label holds a model's name: the number of series does not grow with the number of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from threading import Lock

import prometheus_client
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from reconciler.scheduler.queue import QueueFigures
from reconciler.status import Health, ModelStatus, Sync, SystemStatus

PREFIX = "model_reconciler"
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# More kinds than there are actions; what comes beyond is counted together.
_MOST_KINDS = 64


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the gauges are read from, at the time of a scrape."""

    statuses: Callable[[], Mapping[str, ModelStatus]]
    systems: Callable[[], Mapping[str, SystemStatus]]
    queue: Callable[[], QueueFigures]


class Metrics:
    """Counts what happens; gauges are read when somebody asks."""

    def __init__(self, version: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # ships without a return type
        self._registry = CollectorRegistry(auto_describe=False)
        self._passes = prometheus_client.Counter(
            "passes", "Passes over one model, by result.", ["result"], namespace=PREFIX, registry=self._registry
        )
        self._duration = prometheus_client.Histogram(
            "pass_duration_seconds",
            "How long a pass over one model took.",
            namespace=PREFIX,
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._actions = prometheus_client.Counter(
            "actions",
            "Actions carried out, by kind and outcome.",
            ["kind", "outcome"],
            namespace=PREFIX,
            registry=self._registry,
        )
        self._appends = prometheus_client.Counter(
            "ledger_appends",
            "Entries appended to the ledger, by moment.",
            ["moment"],
            namespace=PREFIX,
            registry=self._registry,
        )
        build = prometheus_client.Gauge(
            "build_info",
            "Always 1; the label tells the version.",
            ["version"],
            namespace=PREFIX,
            registry=self._registry,
        )
        build.labels(version).set(1)
        ProcessCollector(namespace=PREFIX, registry=self._registry)
        self._kinds: set[str] = set()
        self._lock = Lock()

    def read_from(self, sources: Sources) -> None:
        """Add the gauges of a running service."""
        self._registry.register(_Gauges(sources))

    def passed(self, result: str, seconds: float) -> None:
        """Count a pass over one model."""
        self._passes.labels(result).inc()
        self._duration.observe(seconds)

    def acted(self, kind: str, outcome: str) -> None:
        """Count an action."""
        self._actions.labels(self._bounded(kind), outcome).inc()

    def appended(self, moment: str) -> None:
        """Count an entry of the ledger; `moment` is intent, outcome or note."""
        self._appends.labels(moment).inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return prometheus_client.generate_latest(self._registry)

    def _bounded(self, kind: str) -> str:
        with self._lock:
            if kind in self._kinds or len(self._kinds) < _MOST_KINDS:
                self._kinds.add(kind)
                return kind
            return "other"


class _Gauges(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _models(self._sources.statuses())
        yield from _systems(self._sources.systems())
        yield from _queue(self._sources.queue())


def _models(statuses: Mapping[str, ModelStatus]) -> GaugeMetricFamily:
    counts = Counter((status.sync, status.health) for status in list(statuses.values()))
    gauge = GaugeMetricFamily(f"{PREFIX}_models", "Models, by sync and health.", labels=["sync", "health"])
    # Also the zeros: an alert on a series that is not there never fires.
    for sync, health in product(Sync, Health):
        gauge.add_metric([sync.value, health.value], counts[sync, health])
    return gauge


def _systems(systems: Mapping[str, SystemStatus]) -> Iterator[GaugeMetricFamily]:
    age = GaugeMetricFamily(
        f"{PREFIX}_observation_age_seconds", "How old the picture of each system is.", labels=["system"]
    )
    failing = GaugeMetricFamily(
        f"{PREFIX}_system_failing", "1 while a system does not answer as it should.", labels=["system"]
    )
    for name, system in sorted(systems.items()):
        failing.add_metric([name], 0.0 if system.ok else 1.0)
        if system.age_seconds is not None:
            age.add_metric([name], system.age_seconds)
    yield age
    yield failing


def _queue(figures: QueueFigures) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(f"{PREFIX}_queue_depth", "Models that wait for a worker.", figures.depth)
    yield GaugeMetricFamily(
        f"{PREFIX}_queue_oldest_seconds", "How long the model has waited that waits longest.", figures.oldest_age
    )
    yield GaugeMetricFamily(f"{PREFIX}_queue_timers", "Models that are due later.", figures.waiting)
    yield GaugeMetricFamily(f"{PREFIX}_workers_busy", "Models in work now.", len(figures.working))
    yield GaugeMetricFamily(
        f"{PREFIX}_longest_pass_seconds",
        "How long the longest running pass has run.",
        max(figures.working.values(), default=0.0),
    )
