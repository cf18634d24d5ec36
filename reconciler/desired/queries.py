"""Prometheus queries of checks: their variables, and the templates that are shipped. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TemplateName = Literal["error-rate", "latency-p95", "latency-p99", "request-rate"]
Flavour = Literal["knative", "knative-otel", "istio", "kserve"]

VARIABLES: Mapping[str, str] = {
    "namespace": "the namespace of the InferenceService",
    "service": "the name of the InferenceService",
    "model": "the registered model's name in MLflow",
    "version": "the version that the measured side serves",
    "revision": "the revision that the measured side is: a Knative revision, or a predictor in Standard mode",
    "workload": "the Deployment of the measured side: <revision>-deployment in Knative mode",
    "window": "the check's window, such as 2m",
}
"""Every variable that a query may use, with what it stands for."""

_VARIABLE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
# Neither kind of quotes takes the other one behind a backslash; both take these.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': "\\x22", "'": "\\x27", "\n": "\\n", "`": "\\x60"})
_QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|#[^\n]*|`(?P<raw>[^`]*)`""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Unresolvable:
    """What a query has between double braces and nobody can fill in."""

    found: str
    help: str


def unresolvable(query: str) -> Unresolvable | None:
    """Return the first thing in a query that cannot be filled in, None when all can."""
    for name in _VARIABLE.findall(query):
        if name not in VARIABLES:
            close = difflib.get_close_matches(name, VARIABLES, 1)
            known = ", ".join(VARIABLES)
            return Unresolvable(name, f'did you mean "{close[0]}"?' if close else f"the variables are {known}")
    rest = _VARIABLE.sub("", query)
    if "{{" in rest or "}}" in rest:
        return Unresolvable("", "a variable is written {{revision}}, and PromQL has no double braces of its own")
    return None


def resolve(query: str, values: Mapping[str, str]) -> str:
    """Fill in the variables; what stands in quotes in PromQL, of whichever kind, means itself and cannot end them."""
    return _VARIABLE.sub(lambda found: values[found[1]].translate(_ESCAPES), _QUOTED.sub(_escaping, query))


def _escaping(found: re.Match[str]) -> str:
    """Write what stands in backticks, which escape nothing, in quotes that do, where something is filled in there."""
    raw = found["raw"]
    return found[0] if raw is None or not _VARIABLE.search(raw) else f'"{raw.translate(_ESCAPES)}"'


@dataclass(frozen=True, slots=True)
class _Source:
    """How one flavour counts requests: selector without braces, and how a failed request is told.

    `top` is the highest bound of its latency histogram, in seconds.
    """

    count: str
    bucket: str
    selector: str
    failed: str
    milliseconds: bool
    top: float


_SOURCES: Mapping[str, _Source] = {
    # Knative up to 1.18.
    "knative": _Source(
        "revision_app_request_count",
        "revision_app_request_latencies_bucket",
        'namespace_name="{{namespace}}",revision_name="{{revision}}"',
        'response_code_class="5xx"',
        milliseconds=True,
        top=100,
    ),
    # Knative from 1.19: the revision is no label of its metrics, so the pods' names tell it.
    "knative-otel": _Source(
        "kn_serving_invocation_duration_seconds_count",
        "kn_serving_invocation_duration_seconds_bucket",
        'namespace="{{namespace}}",pod=~"{{workload}}-.*"',
        'http_response_status_code=~"5.."',
        milliseconds=False,
        top=10,
    ),
    # One reporter, or each request counts twice.
    "istio": _Source(
        "istio_requests_total",
        "istio_request_duration_milliseconds_bucket",
        'reporter="destination",destination_workload_namespace="{{namespace}}",destination_workload="{{workload}}"',
        'response_code=~"5.."',
        milliseconds=True,
        top=3600,
    ),
    # Canary and stable share model_name; nothing tells a failed request.
    "kserve": _Source(
        "request_predict_seconds_count",
        "request_predict_seconds_bucket",
        'namespace="{{namespace}}",model_name="{{service}}",pod=~"{{workload}}-.*"',
        "",
        milliseconds=False,
        top=10,
    ),
}


def can_tell(template: TemplateName, flavour: Flavour) -> bool:
    """Tell whether the metrics of a flavour have what a template asks for."""
    return template != "error-rate" or bool(_SOURCES[flavour].failed)


def template_query(template: TemplateName, flavour: Flavour) -> str:
    """Return the query of a template: a share for error-rate, seconds for latencies, requests per second."""
    source = _SOURCES[flavour]
    every = f"sum(rate({source.count}{{{source.selector}}}[{{{{window}}}}]))"
    match template:
        case "request-rate":
            return every
        case "error-rate":
            # Without `or`, a service that never failed would have no error rate at all.
            failed = f"sum(rate({source.count}{{{source.selector},{source.failed}}}[{{{{window}}}}]))"
            return f"({failed} or vector(0)) / {every}"
        case "latency-p95":
            return _quantile("0.95", source)
        case "latency-p99":
            return _quantile("0.99", source)


def _quantile(share: str, source: _Source) -> str:
    buckets = f"sum by (le) (rate({source.bucket}{{{source.selector}}}[{{{{window}}}}]))"
    quantile = f"histogram_quantile({share}, {buckets})"
    return f"{quantile} / 1000" if source.milliseconds else quantile


def longest_told(template: TemplateName, flavour: Flavour) -> float | None:
    """Return the seconds beyond which a latency is only told as that much; None for what is no latency.

    histogram_quantile() answers the highest finite bound for whatever lies above it.
    """
    return _SOURCES[flavour].top if template in ("latency-p95", "latency-p99") else None


def samples_query(flavour: Flavour) -> str:
    """Return the query that counts the requests of a window."""
    source = _SOURCES[flavour]
    return f"sum(increase({source.count}{{{source.selector}}}[{{{{window}}}}]))"
