"""Where KServe is sent for an artifact, and what it is never sent to."""

from __future__ import annotations

import pytest

from reconciler.artifact_location import Refusal, StorageUri, storage_uri

FETCHED: dict[str, tuple[str, dict[str, str], str]] = {
    "object storage as it is": ("s3://models/1/artifacts", {}, "s3://models/1/artifacts"),
    "Google's": ("gs://models/1", {}, "gs://models/1"),
    "Azure's blobs": ("https://acct.blob.core.windows.net/c/1", {}, "https://acct.blob.core.windows.net/c/1"),
    "a volume": ("pvc://claim/1", {}, "pvc://claim/1"),
    "proxied by MLflow, mapped": (
        "mlflow-artifacts:/1/models/m-1/artifacts",
        {"mlflow-artifacts:/": "s3://bucket/mlflow/"},
        "s3://bucket/mlflow/1/models/m-1/artifacts",
    ),
    "slashes are neither lost nor doubled": (
        "mlflow-artifacts:/1/a",
        {"mlflow-artifacts:": "s3://bucket/mlflow"},
        "s3://bucket/mlflow/1/a",
    ),
    "the longest prefix wins": (
        "mlflow-artifacts:/7/a",
        {"mlflow-artifacts:/": "s3://all", "mlflow-artifacts:/7": "s3://seven"},
        "s3://seven/a",
    ),
    "a prefix ends at a slash": ("s3://models-private/a", {"s3://models": "gs://x"}, "s3://models-private/a"),
    "what KServe could fetch can be mapped too": ("s3://a/b", {"s3://a": "pvc://claim"}, "pvc://claim/b"),
    "a local folder, by a mapping": (
        "mlflow-artifacts:/1/a",
        {"mlflow-artifacts:/": "file:///demo/artifacts"},
        "file:///demo/artifacts/1/a",
    ),
    "a path, mapped": ("/mnt/mlruns/1/a", {"/mnt/mlruns": "pvc://mlruns"}, "pvc://mlruns/1/a"),
    "two dots within a name are a name": ("s3://models/a..b/c", {}, "s3://models/a..b/c"),
}

REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "proxied, not mapped": ("mlflow-artifacts:/1/a", {}, '"mlflow-artifacts:/": "s3://'),
    "a logged model's own URI": ("models:/m-1", {}, "download URI"),
    "a run's": ("runs:/abc/model", {}, "log_model"),
    "Databricks' file system": ("dbfs:/models/1", {}, "s3://"),
    "a path": ("/mnt/mlruns/1/a", {}, "mlflow.artifactDestinations"),
    "a relative path": ("mlruns/1", {}, "mlflow.artifactDestinations"),
    "a file without a mapping": ("file:///mnt/mlruns/1", {}, "mlflow.artifactDestinations"),
    "a file on another host": ("m:/1", {"m:/": "file://host/x"}, "map 'm:/' to one of"),
    "nothing": ("", {}, "mlflow.artifactDestinations"),
    "another scheme": ("ftp://host/1", {}, "mlflow.artifactDestinations"),
    "a mapping to what KServe cannot fetch": ("m:/1", {"m:/": "ftp://host/x"}, "map 'm:/' to one of"),
    "a bucket without a name": ("s3:///x", {}, "mlflow.artifactDestinations"),
    "leaving the folder": ("s3://models/../other/1", {}, "plain path"),
    "leaving it in disguise": ("s3://models/%2e%2e/other", {}, "plain path"),
    "leaving it in two disguises": ("s3://models/%252e%252e/other", {}, "plain path"),
    "leaving it by a mapping": ("mlflow-artifacts:/../x", {"mlflow-artifacts:/": "s3://b/c"}, "plain path"),
    "leaving it with backslashes": ("s3://models\\..\\x", {}, "plain path"),
}


@pytest.mark.parametrize("case", FETCHED)
def test_kserve_fetches(case: str) -> None:
    artifact, destinations, expected = FETCHED[case]
    assert storage_uri(artifact, destinations) == StorageUri(expected)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_advice(case: str) -> None:
    artifact, destinations, advice = REFUSED[case]
    found = storage_uri(artifact, destinations)
    assert isinstance(found, Refusal)
    assert advice in found.help
    assert artifact in found.message
