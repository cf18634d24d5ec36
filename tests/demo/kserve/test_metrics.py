"""What the ingress tells Prometheus is what the shipped templates ask for."""

from __future__ import annotations

import re

import pytest

from reconciler.demo.kserve.metrics import Family, Metrics
from reconciler.demo.kserve.pods import RevisionId
from reconciler.desired.queries import resolve, samples_query, template_query

GOOD, BAD = RevisionId("models", "iris-predictor-00001"), RevisionId("models", "iris-predictor-00002")
FAMILIES: tuple[Family, ...] = ("knative", "istio")
_SERIES = re.compile(r"([a-z_0-9]+)\{([^}]*)\} (\S+)")
_SELECTOR = re.compile(r"([a-z_0-9]+)\{([^}]*)\}")
_LABEL = re.compile(r'(\w+)(=~?)"([^"]*)"')


def told(family: Family) -> Metrics:
    metrics = Metrics()
    for seconds in (0.03, 0.03, 0.3):
        metrics.answered(family, GOOD, 200, seconds)
    metrics.answered(family, BAD, 503, 0.004)
    return metrics


def selected(query: str, metrics: Metrics) -> dict[str, float]:
    """Return the series that a query's first selector finds, by what else tells them apart."""
    name, selector = next(iter(_SELECTOR.findall(query)))
    wanted = _LABEL.findall(selector)
    found = {}
    for series, labels, value in _SERIES.findall(metrics.exposition()):
        has = {label: text for label, _, text in _LABEL.findall(labels)}
        fits = all(
            re.fullmatch(text, has.get(label, "")) if how == "=~" else has.get(label) == text
            for label, how, text in wanted
        )
        if series == name and fits:
            found[has.get("le", "")] = float(value)
    return found


def ask(query: str, revision: RevisionId, metrics: Metrics) -> dict[str, float]:
    values = {"namespace": revision.namespace, "revision": revision.name, "workload": revision.name, "window": "10s"}
    return selected(resolve(query, values), metrics)


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_are_counted_for_each_server(family: Family) -> None:
    assert ask(samples_query(family), GOOD, told(family)) == {"": 3}
    assert ask(samples_query(family), BAD, told(family)) == {"": 1}


@pytest.mark.parametrize("family", FAMILIES)
def test_failed_requests_are_told_from_others(family: Family) -> None:
    errors = template_query("error-rate", family)
    assert ask(errors, BAD, told(family)) == {"": 1}
    assert ask(errors, GOOD, told(family)) == {}, "what never failed has no such series"


@pytest.mark.parametrize("family", FAMILIES)
def test_latencies_lie_in_buckets_of_milliseconds_that_include_those_below(family: Family) -> None:
    buckets = ask(template_query("latency-p95", family), GOOD, told(family))
    assert (buckets["20"], buckets["40"], buckets["250"], buckets["300"], buckets["+Inf"]) == (0, 2, 2, 3, 3)


def test_each_mode_speaks_its_own_words_only() -> None:
    assert "istio" not in told("knative").exposition()
    assert "revision_app" not in told("istio").exposition()
