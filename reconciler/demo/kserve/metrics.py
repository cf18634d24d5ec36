"""What the ingress measured of each server, in the words of Knative's queue proxy or of Istio's sidecars.

Where Knative serves, its queue proxies are scraped (their metrics up to 1.18); in Standard mode, the sidecars of the
Deployments. Series begin with the first request that they count, as real ones do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from reconciler.demo.kserve.pods import RevisionId

Family = Literal["knative", "istio"]
CONTENT_TYPE = "text/plain; version=0.0.4"
_BOUNDS = (5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 400, 500, 750, 1000, 2000, 5000, 10000)
_COUNT = {"knative": "revision_app_request_count", "istio": "istio_requests_total"}
_LATENCY = {"knative": "revision_app_request_latencies", "istio": "istio_request_duration_milliseconds"}


@dataclass(slots=True)
class _Series:
    """Requests with one status, and how long they took, in milliseconds."""

    requests: int = 0
    total: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)


class Metrics:
    """Counters and histograms; for use by one thread."""

    def __init__(self) -> None:
        self._series: dict[tuple[Family, RevisionId, int], _Series] = {}

    def answered(self, family: Family, revision: RevisionId, status: int, seconds: float) -> None:
        """Count one request."""
        series = self._series.setdefault((family, revision, status), _Series())
        series.requests += 1
        series.total += seconds * 1000
        series.buckets[bisect_left(_BOUNDS, seconds * 1000)] += 1

    def exposition(self) -> str:
        """Write everything in Prometheus' text format."""
        families: tuple[Family, ...] = ("knative", "istio")
        return "\n".join([*(line for family in families for line in self._lines(family)), ""])

    def _lines(self, family: Family) -> Iterator[str]:
        found = {key: series for key, series in sorted(self._series.items()) if key[0] == family}
        if not found:
            return
        yield f"# TYPE {_COUNT[family]} counter"
        for (_, revision, status), series in found.items():
            yield f"{_COUNT[family]}{{{_labels(family, revision, status)}}} {series.requests}"
        name = _LATENCY[family]
        yield f"# TYPE {name} histogram"
        for (_, revision, status), series in found.items():
            labels, below = _labels(family, revision, status), 0
            for number, bound in enumerate(_BOUNDS):
                below += series.buckets[number]
                yield f'{name}_bucket{{{labels},le="{bound}"}} {below}'
            yield f'{name}_bucket{{{labels},le="+Inf"}} {series.requests}'
            yield f"{name}_sum{{{labels}}} {series.total:.3f}"
            yield f"{name}_count{{{labels}}} {series.requests}"


def _labels(family: Family, revision: RevisionId, status: int) -> str:
    if family == "istio":
        labels = {
            "reporter": "destination",
            "destination_workload_namespace": revision.namespace,
            "destination_workload": revision.name,
            "response_code": str(status),
        }
    else:
        labels = {
            "namespace_name": revision.namespace,
            "revision_name": revision.name,
            "response_code": str(status),
            "response_code_class": f"{status // 100}xx",
        }
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
