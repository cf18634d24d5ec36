"""From where MLflow keeps an artifact to a URI that KServe can fetch. Pure.

Schemes: KServe 0.21, storage initializer (kserve_storage). file:// is for the embedded stack and only by a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

SCHEMES = frozenset({"gs", "s3", "pvc", "http", "https", "hdfs", "webhdfs", "oci", "hf"})
_ADVICE = {
    "models": "the registry must resolve it first: ask for the version's download URI",
    "runs": "register the version from the run's artifact with log_model(), which the registry can resolve",
    "dbfs": "log models to storage that the cluster can read, such as s3:// or gs://",
}


@dataclass(frozen=True, slots=True)
class StorageUri:
    """A location that KServe can fetch."""

    uri: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why KServe cannot fetch it, and what to do."""

    message: str
    help: str


def storage_uri(artifact_uri: str, destinations: Mapping[str, str]) -> StorageUri | Refusal:
    """Apply the longest prefix of `mlflow.artifactDestinations` that matches, and check that KServe can fetch it."""
    prefix = _longest_prefix(artifact_uri, destinations)
    uri = artifact_uri if prefix is None else _moved(artifact_uri, prefix, destinations[prefix])
    if _leaves_its_folder(artifact_uri) or _leaves_its_folder(uri):
        return Refusal(f"the artifact location {artifact_uri} contains '..'", "register the version from a plain path")
    parts = urlsplit(uri)
    if parts.scheme in SCHEMES and parts.netloc:
        return StorageUri(uri)
    if parts.scheme == "file" and prefix is not None and not parts.netloc and parts.path.startswith("/"):
        return StorageUri(uri)
    return _refusal(artifact_uri, uri, prefix)


def _longest_prefix(uri: str, destinations: Mapping[str, str]) -> str | None:
    matching = [prefix for prefix in destinations if _begins(uri, prefix)]
    return max(matching, key=len, default=None)


def _begins(uri: str, prefix: str) -> bool:
    """Match whole path segments only: s3://models is no prefix of s3://models-private."""
    rest = uri.removeprefix(prefix)
    return bool(prefix) and uri.startswith(prefix) and (prefix[-1] in "/:" or rest[:1] in {"", "/"})


def _moved(uri: str, prefix: str, destination: str) -> str:
    rest = uri[len(prefix) :].lstrip("/")
    return f"{destination.rstrip('/')}/{rest}" if rest else destination


def _leaves_its_folder(uri: str) -> bool:
    decoded = unquote(unquote(uri)).replace("\\", "/")
    return ".." in decoded.split("/")


def _refusal(artifact_uri: str, uri: str, prefix: str | None) -> Refusal:
    if prefix is not None:
        message = f"the setting mlflow.artifactDestinations maps {artifact_uri} to {uri}, which KServe cannot fetch"
        return Refusal(message, f"map {prefix!r} to one of {_accepted()}")
    scheme = urlsplit(artifact_uri).scheme
    if scheme in _ADVICE:
        return Refusal(f"KServe cannot fetch {artifact_uri}: {scheme}:/ is known to MLflow only", _ADVICE[scheme])
    if scheme == "mlflow-artifacts":
        message = f"KServe cannot fetch {artifact_uri}: MLflow proxies its artifacts"
        return Refusal(message, _mapping_advice("mlflow-artifacts:/"))
    if scheme in {"", "file"}:
        message = f"KServe cannot fetch {artifact_uri or 'an empty location'}: it is a path on one machine"
        return Refusal(
            message, _mapping_advice("file:///path/of/the/artifacts" if scheme else "/path/of/the/artifacts")
        )
    return Refusal(f"KServe cannot fetch {artifact_uri}: it takes {_accepted()}", _mapping_advice(f"{scheme}://"))


def _mapping_advice(prefix: str) -> str:
    return f'say where they lie: mlflow.artifactDestinations: {{"{prefix}": "s3://bucket/folder/"}}'


def _accepted() -> str:
    return ", ".join(f"{scheme}://" for scheme in sorted(SCHEMES))
