"""MLflow's REST API over one kept-alive httpx client; every failure becomes an error of `reconciler.errors`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from pydantic_core import from_json

from reconciler.breakpoints import reached
from reconciler.errors import SettingsError, Transient, UnknownOutcome
from reconciler.settings import MlflowSettings
from reconciler.systems import retrying
from reconciler.systems.deadline import bind_httpx, ending
from reconciler.systems.registry.answers import error_of
from reconciler.systems.retrying import Pauses

API = "/api/2.0/mlflow/"
MAX_ANSWER: Final = 512 * 1024 * 1024
ERROR_PAGE: Final = 64 * 1024
# Shorter than the 5 s after which uvicorn closes an idle connection: a write never meets one that is about to close.
KEEP_ALIVE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Wire:
    """What requests go out by (None: sockets), how time is told and waited for there, and how pauses are chosen."""

    http: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = max

    @property
    def pauses(self) -> Pauses:
        """Return what trying again asks for."""
        return Pauses(self.clock, self.sleep, self.jitter)


SOCKETS: Final = Wire(jitter=retrying.REAL.jitter)


class TooLarge(Transient):
    """A body beyond the limit."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: when it must have ended (seconds of the wire's clock), and what it is when its answer is lost."""

    method: str
    url: httpx.URL
    what: str
    ends: float
    limit: int
    lost: type[Transient | UnknownOutcome]
    body: Mapping[str, Any] | None = None


class Transport:
    """Calls one MLflow server. `calls` counts the requests that were sent."""

    def __init__(self, settings: MlflowSettings, wire: Wire = SOCKETS) -> None:
        parts = urlsplit(settings.tracking_uri)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise SettingsError(
                f"setting mlflow.trackingUri: {settings.tracking_uri!r} is no address of an MLflow server",
                help="give http:// or https://; for a database or a folder, start `mlflow server` in front of it",
            )
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.base = settings.tracking_uri.rstrip("/")
        self.calls = 0
        self._wire = wire
        self._counting = threading.Lock()
        self._timeout = settings.timeout.total_seconds()
        self._client = httpx.Client(
            auth=_Credentials(settings),
            # Nothing packed is asked for, nor unpacked: a megabyte can unfold to a gigabyte.
            headers={"user-agent": "model-reconciler", "accept": "application/json", "accept-encoding": "identity"},
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE),
            timeout=self._timeout,
            transport=wire.http,
        )
        bind_httpx(self._client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        """Read a JSON object. Raises Absent where the registry says that the thing does not exist."""
        url = httpx.URL(self.base + API + path, params=dict(params))
        what = f"reading {path}"
        return _object(self.download(url, what, MAX_ANSWER), what, Transient)

    def download(self, url: httpx.URL, what: str, limit: int) -> bytes:
        """Read a body of at most `limit` bytes, within one deadline for all attempts."""
        call = Call("GET", url, what, self._wire.clock() + self._timeout, limit, Transient)
        return retrying.read(lambda: self._send(call), call.ends, self._wire.pauses, (TooLarge,))

    def write(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a write once and return its answer. Raises UnknownOutcome when its answer is lost."""
        url = httpx.URL(self.base + API + path)
        ends = self._wire.clock() + self._timeout
        call = Call(method, url, f"writing {path}", ends, MAX_ANSWER, UnknownOutcome, body)
        answer = _object(self._send(call), call.what, UnknownOutcome)
        reached(f"wrote {method} {path}")
        return answer

    def _send(self, call: Call) -> bytes:
        with self._counting:
            self.calls += 1
        remaining = max(0.01, call.ends - self._wire.clock())
        try:
            with (
                ending(remaining),
                self._client.stream(call.method, call.url, json=call.body, timeout=remaining) as response,
            ):
                content = _within(response, call, self._wire.clock)
        except _UNREACHED as error:
            raise Transient(f"{call.what}: MLflow at {self.origin} cannot be reached: {error}", help=_REACH) from error
        except httpx.TimeoutException as error:
            message = f"{call.what}: no answer from {self.origin} within {self._timeout:g} s"
            raise call.lost(message, help=_SLOW) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            message = f"{call.what}: the connection to {self.origin} broke: {error}"
            raise call.lost(message, help=_REACH) from error
        if not response.is_success:
            raise error_of(response.status_code, response.headers, content, call.what, call.lost)
        return content


_UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_REACH = "check mlflow.trackingUri and that the server runs"
_SLOW = "a large registry may need a longer mlflow.timeout"


class _Credentials(httpx.Auth):
    """Sends the token or the password, read anew for each request, so that a rotated secret is taken up."""

    def __init__(self, settings: MlflowSettings) -> None:
        self._settings = settings
        self._header()

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]  # never resumed
        """Add the header."""
        if header := self._header():
            request.headers["authorization"] = header
        yield request

    def _header(self) -> str | None:
        token = self._settings.token.read_token()
        if token is not None:
            return f"Bearer {token.get_secret_value()}"
        if self._settings.username is None:
            return None
        password = self._settings.password.read()
        basic = httpx.BasicAuth(self._settings.username, password.get_secret_value() if password else "")
        request = next(basic.auth_flow(httpx.Request("GET", self._settings.tracking_uri)))
        return str(request.headers["authorization"])


def _within(response: httpx.Response, call: Call, clock: Callable[[], float]) -> bytes:
    limit = call.limit if response.is_success else ERROR_PAGE
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > limit:
            if not response.is_success:
                break
            raise TooLarge(f"{call.what}: the answer is larger than {limit} bytes")
        if clock() > call.ends:
            raise call.lost(f"{call.what}: the answer did not end in time", help=_SLOW)
    return bytes(content)


def _object(content: bytes, what: str, lost: type[Transient | UnknownOutcome]) -> dict[str, Any]:
    try:
        value = from_json(content)
    except ValueError as error:
        raise lost(f"{what}: the answer is no JSON: {error}", help=_REACH) from error
    if not isinstance(value, dict):
        raise lost(f"{what}: the answer is no JSON object", help=_REACH)
    return value
