"""Small files of a version's artifact, through MLflow's artifact proxy or from this machine's disk."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import httpx

from reconciler.errors import Refused, Transient
from reconciler.systems.registry.answers import Absent
from reconciler.systems.registry.transport import TooLarge, Transport

PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
LIMIT = 4 * 1024 * 1024
_ADVICE = (
    "only what MLflow proxies (mlflow server --serve-artifacts) is read; "
    "for probes, name a file of the repository instead: inputs: {file: probes/rows.json}"
)


def read_file(transport: Transport, artifact_uri: str, path: str) -> bytes | None:
    """Return a file below an artifact location, None when there is none.

    Raises Refused for a location that is not read from here, for a path that leaves it, and above 4 MiB.
    """
    location = urlsplit(artifact_uri)
    if _leaves(path) or _leaves(unquote(location.path)):
        raise Refused(f"the artifact path {artifact_uri}/{path} leaves the artifact's folder")
    if location.scheme in {"", "file"} and not location.netloc:
        return _local(transport, Path(unquote(location.path)), path)
    return _proxied(transport, _proxy_url(transport, artifact_uri, path), path)


def _leaves(path: str) -> bool:
    return ".." in path.replace("\\", "/").split("/") or "\0" in path


def _proxy_url(transport: Transport, artifact_uri: str, path: str) -> httpx.URL:
    location = urlsplit(artifact_uri)
    same = not location.netloc or location.netloc == urlsplit(transport.origin).netloc
    if location.scheme == "mlflow-artifacts" and same:
        root = location.path.strip("/")
    elif f"{location.scheme}://{location.netloc}" == transport.origin and PROXY in location.path:
        root = unquote(location.path.partition(PROXY)[2]).strip("/")
    else:
        # The credentials of the registry go to the registry only.
        raise Refused(f"{artifact_uri} is not read from here", help=_ADVICE)
    return httpx.URL(transport.base + PROXY + quote(f"{root}/{path.strip('/')}"))


def _proxied(transport: Transport, url: httpx.URL, path: str) -> bytes | None:
    try:
        return transport.download(url, f"reading the artifact {path}", LIMIT)
    except Absent:
        return None
    except TooLarge as error:
        raise Refused(error.message, help="a probe needs a few rows only") from error


def _local(transport: Transport, folder: Path, path: str) -> bytes | None:
    if not _is_loopback(transport.origin):
        raise Refused(f"{folder} is a path on the MLflow server's machine", help=_ADVICE)
    file = folder / path.strip("/")
    try:
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            return None
        with file.open("rb") as stream:
            content = stream.read(LIMIT + 1)
    except OSError as error:
        raise Transient(f"reading {file}: {error.strerror}") from error
    if len(content) > LIMIT:
        raise Refused(f"{file} is larger than {LIMIT} bytes", help="a probe needs a few rows only")
    return content


def _is_loopback(origin: str) -> bool:
    host = urlsplit(origin).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
