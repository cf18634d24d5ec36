"""Resident memory of the real `reconciler run`, from outside."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import yaml

from reconciler.demo.processes import child
from reconciler.settings import Settings
from tests.bench.fleet import EXAMPLE, Repository
from tests.bench.report import Row
from tests.bench.world import QUIET, START_SECONDS, World, answers, wait_until

NAME = "memory"
MEBIBYTE, KIBIBYTE = 1024 * 1024, 1024
IDLE_MEBIBYTES, MODEL_KIBIBYTES = 250, 20
SETTLE_SECONDS = 8.0


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure the service with the whole fleet, and with the example repository."""
    del rounds
    example = Repository.of(world.folder / f"example-{world.size}.git", _suspended_example())
    idle = _resident(world, _settings(world, "idle", example.path), 2)
    yield Row(NAME, 2, "reconciler run, idle, example repository", idle / MEBIBYTE, "MiB", limit=IDLE_MEBIBYTES)
    world.remember_releases("memory")
    full = _resident(world, _settings(world, "memory", world.repository.path), world.size)
    yield Row(NAME, world.size, "reconciler run, all in sync", full / MEBIBYTE, "MiB")
    each = (full - idle) / world.size / KIBIBYTE
    yield Row(NAME, world.size, "a model, above the idle process", each, "KiB", limit=MODEL_KIBIBYTES)


def _suspended_example() -> list[tuple[str, bytes]]:
    """Return the example repository with nothing to do: its models are suspended, or they would train."""
    files = []
    for path in sorted(EXAMPLE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name, data = str(path.relative_to(EXAMPLE)), path.read_bytes()
            if name.startswith("models/"):
                document = yaml.safe_load(data)
                document["spec"]["suspend"] = True
                data = yaml.safe_dump(document).encode()
            files.append((name, data))
    return files


def _settings(world: World, state: str, repository: Path) -> Path:
    settings: Settings = world.settings(state)
    raw = settings.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    raw["git"]["url"] = str(repository)
    raw["mlflow"]["timeout"] = "5m"
    raw["http"] = {"port": 0}
    path = world.folder / f"{state}.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def _resident(world: World, settings: Path, models: int) -> float:
    """Return the resident bytes of the service once it has looked at every model and calmed down."""
    state = world.folder / settings.stem
    shutil.rmtree(state / "http.json", ignore_errors=True)
    command = [sys.executable, "-m", "reconciler", "run", "--config", str(settings)]
    log = world.folder / f"{settings.stem}.log"
    with child(command, {**os.environ, **QUIET}, log, lambda: _address(state) is not None, START_SECONDS) as process:
        address = _address(state)
        wait_until(lambda: answers(f"{address}/readyz"), "ready", START_SECONDS)
        wait_until(lambda: _looked_at(f"{address}/api/v1/models") >= models, "every model looked at", START_SECONDS)
        time.sleep(SETTLE_SECONDS)
        return float(psutil.Process(process.pid).memory_info().rss)


def _address(state: Path) -> str | None:
    try:
        return str(json.loads((state / "http.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        return None


def _looked_at(url: str) -> int:
    answer = httpx.get(url, timeout=60, trust_env=False).json()
    return sum(1 for item in answer["items"] if item["sync"] != "Unknown")
