"""Asks a running service, found through its state folder or by its URL."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.errors import Refused, Transient

TIMEOUT_SECONDS = 10
# An order is taken after the systems were read.
ORDER_SECONDS = 60
PAGE = 1000
# A service on this machine may leave its own user's token beside its address; the demo does.
OWN_TOKEN = "token"  # noqa: S105  the name of a file
LARGEST_ANSWER = 64 * 1024 * 1024
_CHUNK = 64 * 1024
START = (
    "start it with `reconciler run -c settings.yaml`; name the settings of one that runs here with --config, "
    "or one elsewhere with --url or RECONCILER_URL"
)

Json = dict[str, Any]


def base_url(url: str | None, config: Path | None) -> str:
    """Return the service's base URL. Raises Transient when none runs here."""
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise Refused(f"--url must begin with http:// or https://, not {url!r}")
        return url.rstrip("/")
    from reconciler.settings import load_settings  # noqa: PLC0415  pydantic: not for --help
    from reconciler.web.address import read_address  # noqa: PLC0415  not for --help

    state_dir = load_settings(config, os.environ).state_dir
    address = read_address(state_dir)
    if address is None:
        under = f"the settings of {config}" if config else "the settings that hold without --config"
        raise Transient(f"no reconciler runs here under {under}: {state_dir / 'http.json'} names none", help=START)
    return address.url


def answers(url: str) -> bool:
    """Return whether a service listens at a base URL, ready or not."""
    try:
        _open(f"{url}/healthz").close()
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def token_for(file: Path | None, url: str | None, config: Path | None) -> str:
    """Return the token to show: of the environment, a file, or the state folder of a service on this machine; or none.

    Raises Refused where it cannot be had, or cannot be sent.
    """
    token = os.environ.get("RECONCILER_TOKEN", "").strip() if file is None else _token_in(file)
    if not token and file is None and url is None:
        from reconciler.settings import load_settings  # noqa: PLC0415  pydantic: not for --help

        own = load_settings(config, os.environ).state_dir / OWN_TOKEN
        token = _token_in(own) if own.exists() else ""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Refused("the token holds characters that no HTTP header can carry", help="it is one word of plain ASCII")
    return token


def _token_in(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_CHUNK).decode("utf-8").strip()
    except OSError as error:
        raise Refused(f"cannot read the token file {file}: {error.strerror}") from error
    except ValueError:
        raise Refused(f"the token file {file} is not UTF-8 text") from None


def give_order(url: str, token: str, order: str, words: Mapping[str, str | int]) -> Json:
    """Give an order, such as iris/abort; return the service's answer. Raises Transient or Refused."""
    model, _, kind = order.rpartition("/")
    body = json.dumps(words).encode()
    return _ask(url, f"/api/v1/models/{urllib.parse.quote(model, safe='')}/{kind}", token, body)


def all_models(url: str, token: str = "") -> list[Json]:
    """Return the status of every model, by name. Raises Transient or Refused."""
    found: list[Json] = []
    after = ""
    while True:
        page = _ask(url, f"/api/v1/models?{urllib.parse.urlencode({'limit': PAGE, 'after': after})}", token)
        with understood(url):
            found += page["items"]
            following = page.get("next")
            if following is None:
                return found
            if not str(following) > after:
                raise ValueError(f"the page after {after!r} would begin at {following!r}")
            after = str(following)


def one_model(url: str, name: str, token: str = "") -> Json:
    """Return one model's status. Raises Transient or Refused."""
    return _ask(url, f"/api/v1/models/{urllib.parse.quote(name, safe='')}", token)


def _ask(url: str, path: str, token: str, body: bytes | None = None) -> Json:
    """Return the JSON object at a path, or the answer to what is posted there.

    Raises Transient when nothing answers, Refused for an error of the service.
    """
    try:
        with _open(url + path, token, body) as answer:
            found = _read(answer)
    except urllib.error.HTTPError as error:
        raise _problem(error) from error
    except OSError as error:
        raise Transient(f"the reconciler at {url} does not answer: {_cause(error)}", help=START) from error
    except (ValueError, RecursionError, http.client.HTTPException) as error:
        raise _stranger(url, error) from error
    if not isinstance(found, dict):
        raise Refused(f"what answers at {url} is no reconciler", help="check --url")
    return found


@contextmanager
def understood(url: str) -> Iterator[None]:
    """Raise Refused when what came from `url` has not the shape of a reconciler's answer."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise _stranger(url, error) from error


def _stranger(url: str, error: Exception) -> Refused:
    why = f"{type(error).__name__}: {error}"[:200]
    return Refused(f"what answers at {url} is no reconciler, or one of another version: {why}", help="check --url")


def _read(answer: Any) -> Any:
    body, ends = bytearray(), time.monotonic() + TIMEOUT_SECONDS
    while chunk := answer.read1(_CHUNK):
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise ValueError(f"the answer has more than {LARGEST_ANSWER:,} bytes")
        if time.monotonic() > ends:
            raise TimeoutError(f"the answer did not end within {TIMEOUT_SECONDS} s")
    return json.loads(body)


def _open(url: str, token: str = "", body: bytes | None = None) -> Any:
    # A proxy that the environment names cannot reach this machine's loopback.
    local = urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})] if local else []
    headers = {"Content-Type": "application/json"} if body is not None else {}
    request = urllib.request.Request(url, body, headers)  # noqa: S310  base_url lets only http and https pass
    if token:
        # Not sent along where the answer is to go elsewhere.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    timeout = TIMEOUT_SECONDS if body is None else ORDER_SECONDS
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)


def _cause(error: OSError) -> object:
    return getattr(error, "reason", None) or error


def _problem(error: urllib.error.HTTPError) -> Refused | Transient:
    try:
        with error:
            document: Mapping[str, Any] = _read(error)
        detail, advice = str(document["detail"]), str(document.get("help", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, http.client.HTTPException):
        detail, advice = f"the service answered {error.code}", "check --url"
    kind = Transient if error.code >= 500 else Refused
    return kind(detail, help=advice)
