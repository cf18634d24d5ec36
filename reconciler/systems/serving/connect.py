"""The connection to a Kubernetes API: the one place that knows the `kubernetes` client."""

from __future__ import annotations

import copy
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import urllib3
import yaml
from kubernetes import client, config
from urllib3.connection import HTTPConnection

from reconciler.errors import ReconcilerError, SettingsError, Terminal, Transient
from reconciler.settings import KubernetesSettings, remember_secrets
from reconciler.systems import retrying
from reconciler.systems.bounded import BoundedPool
from reconciler.systems.deadline import ending
from reconciler.systems.impatience import Impatient
from reconciler.systems.retrying import Pauses
from reconciler.systems.serving.answers import Expired, Unauthenticated, lost, refusal
from reconciler.systems.serving.api import Call

_METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}
_CONNECTIONS = 32
# Objects have at most about 1.5 MiB in etcd, and are somewhat larger as JSON.
_CHUNK = 64 * 1024
_LONGEST_LINE = 16 * 1024 * 1024
# A peer that vanished without a word is noticed within about half a minute, also on a watch where nothing happens.
_KEEPALIVE = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 15),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 5),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
)


T = TypeVar("T")


class Connection:
    """A Kubernetes API over HTTP: each call is sent once, with a time-out; credentials are read again when they age."""

    def __init__(
        self, settings: KubernetesSettings, reload_seconds: float = 10.0, pauses: Pauses = retrying.REAL
    ) -> None:
        self._settings = settings
        self._reload_seconds = reload_seconds
        self._pauses = pauses
        self._timeout = settings.timeout.total_seconds()
        self._lock = threading.Lock()
        self._load = Impatient(lambda: _configuration(settings), self._timeout)
        self._client = self._loaded_client()
        self._loaded = time.monotonic()

    @property
    def host(self) -> str:
        """Return the API's address."""
        return str(self._client.configuration.host)

    def call(self, call: Call) -> Any:
        """Send the call and return the JSON answer; what changes nothing is tried again within the time-out."""
        if call.writes:
            return self._once(call)
        ends = self._pauses.clock() + self._timeout
        with ending(self._timeout):
            return retrying.read(lambda: self._once(call), ends, self._pauses, (Expired, Unauthenticated))

    def _once(self, call: Call) -> Any:
        return self._known(lambda api: self._json(call, api))

    def _known(self, send: Callable[[client.ApiClient], T]) -> T:
        """Send as somebody whom the API knows: credentials that it refuses are read again."""
        used = self._client
        try:
            return send(used)
        except Unauthenticated:
            fresh = self._newer(used)
            if fresh is None:
                raise
            return send(fresh)

    @contextmanager
    def open(self, call: Call, idle_seconds: float) -> Iterator[WatchStream]:
        """Open a watch; it breaks when nothing comes for `idle_seconds`."""
        times = (self._timeout, idle_seconds)
        response = self._known(lambda api: self._send(call, api, times, {"_preload_content": False}))
        stream = WatchStream(call, response, idle_seconds)
        try:
            yield stream
        finally:
            response.close()

    def close(self) -> None:
        """Close all idle connections."""
        self._client.rest_client.pool_manager.clear()

    def _newer(self, used: client.ApiClient) -> client.ApiClient | None:
        """Return a client with newer credentials than that one's, None where they were read a moment ago."""
        with self._lock:
            if self._client is not used:
                return self._client
            if time.monotonic() - self._loaded < self._reload_seconds:
                return None
            self._loaded = time.monotonic()
            self._client = self._loaded_client()
            return self._client

    def _loaded_client(self) -> client.ApiClient:
        try:
            configuration = self._load()
        except TimeoutError as error:
            raise _no_credentials(error) from None
        except (config.ConfigException, OSError) as error:
            raise _unusable(str(error)) from error
        except _MISSHAPEN as error:
            # Without the error's own words: they may quote the file, and with it a token.
            raise _unusable(f"the kubeconfig is not one ({type(error).__name__})") from None
        return _client(configuration, self._timeout)

    def _json(self, call: Call, api: client.ApiClient) -> Any:
        body = self._send(call, api, (self._timeout, self._timeout), {"response_type": "object"})
        if not isinstance(body, dict):
            raise lost(call, f"the answer of {self.host} is no JSON object")
        return body

    def _send(self, call: Call, api: client.ApiClient, timeout: tuple[float, float], options: dict[str, Any]) -> Any:
        try:
            return api.call_api(
                call.url_path,
                _METHODS[call.verb],
                query_params=list(call.query),
                header_params={"Accept": "application/json", "Content-Type": call.media_type},
                body=call.body,
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=timeout,
                **options,
            )
        except client.ApiException as error:
            # Loaded credentials renew themselves: what the server may have echoed is known only now.
            _remember(api.configuration)
            if not error.status:
                raise _broken_tls(call, self.host, error) from error
            raise refusal(call, error.status, _parsed(error.body), dict(error.headers or {})) from error
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise Transient(f"no connection to {self.host}: {_cause(error)}", help="is the API server up?") from error
        except urllib3.exceptions.HTTPError as error:
            raise lost(call, f"no answer from {self.host}: {_cause(error)}") from error
        except (UnicodeDecodeError, RecursionError) as error:
            raise lost(call, f"the answer of {self.host} cannot be read: {type(error).__name__}") from error
        except ValueError:
            # http.client refuses to send it, and its error would quote the token.
            raise Terminal(f"no request can be sent to {self.host}", help=_ODD_CREDENTIALS) from None


def _broken_tls(call: Call, host: str, error: client.ApiException) -> ReconcilerError:
    """Return the error for a failure of TLS, which the client tells as a refusal without a status."""
    said = str(error.reason).replace("\n", ": ")
    inner = error.__context__
    if inner is not None and any(isinstance(each, ssl.SSLCertVerificationError) for each in inner.args):
        return Transient(f"no connection to {host}: {said}", help="is it the kubeconfig's API server, with its CA?")
    # It may have come after the request: a connection that breaks says so in the words of TLS.
    return lost(call, f"no answer from {host}: {said}")


_ODD_CREDENTIALS = "check the kubeconfig: its address or its token holds characters that HTTP cannot carry"


class WatchStream:
    """An open watch over HTTP."""

    def __init__(self, call: Call, response: urllib3.HTTPResponse, idle_seconds: float) -> None:
        self._call = call
        self._response = response
        self._idle_seconds = idle_seconds

    def lines(self) -> Iterator[bytes]:
        """Return complete lines; a last line without its end is dropped."""
        rest = b""
        proven = time.monotonic()
        try:
            # Not `stream`, which waits for a whole chunk, or where there are none for the end.
            while chunk := self._response.read1(_CHUNK, decode_content=False):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line for line in whole if line)
                # A line that drips in, byte by byte, keeps a socket awake and says nothing.
                if any(whole):
                    proven = time.monotonic()
                elif time.monotonic() - proven > self._idle_seconds:
                    raise lost(self._call, f"the stream sent no whole line for {self._idle_seconds:g} s")
                if len(rest) > _LONGEST_LINE:
                    raise lost(self._call, f"the stream sent a line of more than {_LONGEST_LINE:,} bytes")
        except urllib3.exceptions.HTTPError as error:
            raise lost(self._call, f"the stream broke: {_cause(error)}") from error

    def cut(self) -> None:
        """End the stream now."""
        try:
            self._response.shutdown()
        except (OSError, RuntimeError, ValueError):
            # It has ended by itself, which is what was wanted.
            return


def _client(configuration: client.Configuration, seconds: float) -> client.ApiClient:
    _remember(configuration)
    configuration.retries = False
    configuration.connection_pool_maxsize = _CONNECTIONS
    if configuration.refresh_api_key_hook is not None:
        configuration.refresh_api_key_hook = _renewing(configuration, configuration.refresh_api_key_hook, seconds)
    api = client.ApiClient(configuration)
    api.user_agent = "model-reconciler"
    api.rest_client.pool_manager.connection_pool_kw["socket_options"] = _socket_options()
    api.rest_client.pool_manager = BoundedPool(api.rest_client.pool_manager, seconds)
    return api


def _renewing(
    configuration: client.Configuration, hook: Callable[[Any], None], seconds: float
) -> Callable[[Any], None]:
    """Renew credentials that age before a call, in so many seconds."""
    # The client's hook puts itself on what it is given, in the place of this one. The keys are those of both.
    aside = copy.copy(configuration)
    renew = Impatient(lambda: hook(aside), seconds)

    def renewed(_: client.Configuration) -> None:
        try:
            renew()
        except TimeoutError as error:
            raise _no_credentials(error) from None

    return renewed


def _no_credentials(error: TimeoutError) -> Transient:
    return Transient(
        f"no credentials for the cluster: reading them began, and {error}",
        help="does the kubeconfig's exec plugin, or its identity provider, answer? Try `kubectl version` with it",
    )


def _remember(configuration: client.Configuration) -> None:
    """Have the credentials of the cluster hidden as those of the settings are."""
    values = (*configuration.api_key.values(), configuration.password)
    found = [value.removeprefix("Bearer ").strip() for value in values if isinstance(value, str)]
    remember_secrets(f"kubernetes {configuration.host}", found)


# What the client's loader comes to when a kubeconfig is no YAML, or YAML of another shape.
_MISSHAPEN = (yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError)


def _unusable(why: str) -> SettingsError:
    return SettingsError(
        f"no usable Kubernetes configuration: {why}",
        help="set kubernetes.kubeconfig (and kubernetes.context), or run inside the cluster",
    )


def _configuration(settings: KubernetesSettings) -> client.Configuration:
    configuration = client.Configuration()
    if settings.kubeconfig is None and settings.context is None:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            pass
        else:
            return configuration
    config.load_kube_config(
        config_file=str(settings.kubeconfig) if settings.kubeconfig else None,
        context=settings.context,
        client_configuration=configuration,
        persist_config=False,
    )
    return configuration


def _socket_options() -> list[tuple[int, int, int | bytes]]:
    known = [(level, getattr(socket, name), value) for name, level, value in _KEEPALIVE if hasattr(socket, name)]
    return [*HTTPConnection.default_socket_options, *known]


def _parsed(body: object) -> object:
    try:
        return json.loads(body) if isinstance(body, str | bytes) else None
    except (ValueError, RecursionError):
        return None


def _cause(error: Exception) -> str:
    """Return the end of the client's chain of names, which is what people know: "Connection refused"."""
    inner = error.args[-1] if error.args else None
    return str(inner if isinstance(inner, Exception) else error).rpartition(": ")[2]
