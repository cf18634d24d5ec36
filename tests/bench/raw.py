"""The least that has to be done: plain HTTP and JSON, plain Git and YAML. What everything else is measured against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pygit2
import yaml

from tests.bench.world import Mlflow


def read_registry(mlflow: Mlflow) -> int:
    """Read all models and all versions, page by page; return the number of versions."""
    with httpx.Client(base_url=f"{mlflow.url}/api/2.0/mlflow/", timeout=300, trust_env=False) as client:
        list(_pages(client, "registered-models/search", {"max_results": "1000"}, "page_token", "next_page_token"))
        found = _pages(client, "model-versions/search", {"max_results": "200000"}, "page_token", "next_page_token")
        return sum(len(page.get("model_versions", ())) for page in found)


def list_kubernetes(url: str) -> int:
    """List InferenceServices and revisions in pages of 500, as client-go does; return the number of objects."""
    count = 0
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        for path in (
            "/apis/serving.kserve.io/v1beta1/inferenceservices",
            "/apis/serving.knative.dev/v1/revisions",
        ):
            token: dict[str, str] = {}
            while True:
                page = json.loads(client.get(path, params={"limit": "500", **token}).raise_for_status().content)
                count += len(page["items"])
                following = page["metadata"].get("continue")
                if not following:
                    break
                token = {"continue": following}
    return count


def _pages(client: httpx.Client, path: str, params: dict[str, str], sent: str, answered: str) -> Iterator[Any]:
    token: dict[str, str] = {}
    while True:
        page = json.loads(client.get(path, params={**params, **token}).raise_for_status().content)
        yield page
        following = page.get(answered)
        if not following:
            return
        token = {sent: following}


def clone(origin: Path, mirror: Path) -> pygit2.Repository:
    """Fetch everything into a new bare repository."""
    repository = pygit2.init_repository(str(mirror), bare=True)
    repository.remotes.create_anonymous(str(origin)).fetch(["+refs/heads/main:refs/heads/main"])
    return repository


def load_documents(repository: pygit2.Repository) -> int:
    """Walk the tree and load every YAML blob with libyaml; return how many there were."""
    head = repository.references["refs/heads/main"].peel(pygit2.Commit)
    count = 0
    folders = [head.tree]
    while folders:
        for entry in folders.pop():
            if isinstance(entry, pygit2.Tree):
                folders.append(entry)
            elif isinstance(entry, pygit2.Blob) and str(entry.name).endswith(".yaml"):
                list(yaml.load_all(entry.data, Loader=yaml.CSafeLoader))
                count += 1
    return count


def open_clone(mirror: Path) -> pygit2.Repository:
    """Open a repository that was cloned before."""
    return pygit2.Repository(str(mirror))
