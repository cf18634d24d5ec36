"""Prometheus' HTTP API: one number for a query at an instant. Implements `ports.Metrics`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydantic_core import from_json

from reconciler.errors import ReconcilerError, Refused, SettingsError, Transient
from reconciler.ports import Reading
from reconciler.redaction import first_words
from reconciler.settings import PrometheusSettings
from reconciler.systems import retrying
from reconciler.systems.deadline import bind_httpx, ending
from reconciler.systems.retrying import Pauses

MAX_ANSWER = 1024 * 1024
# What was evaluated further away than this from the asked instant comes from a cache, or from another clock.
FURTHEST = timedelta(seconds=5)
_LONGEST_SAID = 500
_LONGEST_QUERY = 200
_NOBODY = "check prometheus.url, and that the server runs"


class Prometheus:
    """Asks over one kept-alive client; reads are tried again within the time-out."""

    def __init__(self, settings: PrometheusSettings, pauses: Pauses = retrying.REAL) -> None:
        parts = urlsplit(settings.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise SettingsError(
                f"setting prometheus.url: {settings.url!r} is no address of a Prometheus server",
                help="give http:// or https:// with host and port, such as http://prometheus.monitoring:9090",
            )
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._url = settings.url.rstrip("/") + "/api/v1/query"
        self._settings = settings
        self._pauses = pauses
        self._timeout = settings.timeout.total_seconds()
        self._client = httpx.Client(
            # Nothing packed is asked for, nor unpacked: a megabyte can unfold to a gigabyte.
            headers={"user-agent": "model-reconciler", "accept": "application/json", "accept-encoding": "identity"},
        )
        bind_httpx(self._client)
        self._settings.token.read_token()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Close the connections."""
        self._client.close()

    def value(self, query: str, at: datetime, lookback: timedelta) -> Reading:
        """Evaluate a query at an instant."""
        form = {
            "query": query,
            "time": f"{at.timestamp():.3f}",
            "timeout": f"{max(1, round(self._timeout * 1000))}ms",
            "lookback_delta": f"{max(1, round(lookback.total_seconds() * 1000))}ms",
            # Thanos answers from the stores it reaches, unless it is told not to.
            "partial_response": "false",
        }
        ends = self._pauses.clock() + self._timeout
        with ending(self._timeout):
            content = retrying.read(lambda: self._send(form, ends), ends, self._pauses)
        return reading(_object(content, self.origin), at, query)

    def _send(self, form: Mapping[str, str], ends: float) -> bytes:
        remaining = max(0.01, ends - self._pauses.clock())
        try:
            token = self._settings.token.read_token()
            headers = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
            with self._client.stream("POST", self._url, data=form, headers=headers, timeout=remaining) as response:
                content = _within(response, self.origin)
        except SettingsError as error:
            raise Transient(f"Prometheus cannot be asked: {error.message}", help=error.help) from error
        except httpx.TimeoutException as error:
            raise Transient(f"Prometheus at {self.origin} did not answer within {self._timeout:g} s") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise Transient(f"Prometheus at {self.origin} cannot be reached: {error}", help=_NOBODY) from error
        if not response.is_success:
            raise _refusal(response, content, self.origin)
        return content


def _within(response: httpx.Response, origin: str) -> bytes:
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > MAX_ANSWER:
            raise Refused(f"the answer of Prometheus at {origin} is larger than {MAX_ANSWER:,} bytes", help=_AGGREGATE)
    return bytes(content)


def _refusal(response: httpx.Response, content: bytes, origin: str) -> ReconcilerError:
    said = _said(content) or response.reason_phrase
    status = response.status_code
    match status:
        case 400 | 422:
            return Refused(f"Prometheus refuses the query: {said}", help="try it on the server's own query page")
        case 401 | 403:
            return Refused(
                f"Prometheus at {origin} does not let us ask ({status}): {said}", help="check prometheus.token"
            )
        case 404 | 405:
            return Refused(f"{origin} is not Prometheus ({status}): {said}", help=_NOBODY)
        case _ if response.is_redirect:
            return Refused(f"{origin} sends us elsewhere ({status})", help="give prometheus.url as it answers")
    pause = response.headers.get("retry-after", "")
    after = float(pause) if pause.isascii() and pause.isdigit() and len(pause) < 6 else None
    return Transient(f"Prometheus at {origin} answers {status}: {said}", retry_after=after)


def _said(content: bytes) -> str:
    try:
        answer = from_json(content)
    except ValueError:
        return ""
    said = answer.get("error") if isinstance(answer, dict) else None
    return first_words(said, _LONGEST_SAID) if isinstance(said, str) else ""


def _object(content: bytes, origin: str) -> dict[str, Any]:
    try:
        answer = from_json(content)
    except ValueError as error:
        raise Transient(f"the answer of {origin} is no JSON: {error}", help=_NOBODY) from error
    if not isinstance(answer, dict):
        raise Transient(f"the answer of {origin} is no JSON object", help=_NOBODY)
    return answer


_AGGREGATE = "aggregate the query to one number, such as with sum()"


def reading(answer: Mapping[str, Any], at: datetime, query: str) -> Reading:
    """Read an answer: one finite number, or why there is none. Raises Refused and Transient."""
    data, asked = answer.get("data"), first_words(query, _LONGEST_QUERY)
    if answer.get("status") != "success" or not isinstance(data, dict):
        said = first_words(str(answer.get("error", "no data")), _LONGEST_SAID)
        raise Transient(f"Prometheus did not succeed: {said}")
    if warnings := answer.get("warnings"):
        said = "; ".join(map(str, warnings)) if isinstance(warnings, list) else str(warnings)
        raise Transient(f"Prometheus answered only in part: {first_words(said, _LONGEST_SAID)}")
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar":
        return _number(result, at)
    if kind != "vector" or not isinstance(result, list):
        raise Refused(f"the query answers a {kind}, not one number: {asked}", help=_AGGREGATE)
    if not result:
        return Reading(None, "the query finds no series")
    if len(result) > 1:
        raise Refused(f"the query answers {len(result)} series, not one number: {asked}", help=_AGGREGATE)
    sample = result[0]
    if isinstance(sample, dict) and "histogram" in sample:
        raise Refused(f"the query answers a histogram, not one number: {asked}", help="use histogram_quantile()")
    return _number(sample.get("value") if isinstance(sample, dict) else None, at)


def _number(pair: object, at: datetime) -> Reading:
    match pair:
        case [int() | float() as when, str() as text]:
            away = abs(when - at.timestamp())
        case _:
            raise Transient("Prometheus answered a value that is none")
    try:
        value = float(text)
    except ValueError:
        raise Transient(f"Prometheus answered a value that is none: {text[:40]!r}") from None
    if not away <= FURTHEST.total_seconds():
        return Reading(None, f"the value is stale: it was evaluated {away:.0f} s away from the instant asked for")
    if not math.isfinite(value):
        return Reading(None, f"the value is {text[:40]}")
    return Reading(value)
