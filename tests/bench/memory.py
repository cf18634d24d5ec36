"""Resident memory of the real `reconciler run`, from outside."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml

from reconciler.demo.processes import child
from reconciler.metrics import PREFIX
from tests.bench.fleet import EXAMPLE, Repository
from tests.bench.report import Row
from tests.bench.world import QUIET, START_SECONDS, World, answers, running_kubernetes, running_mlflow, wait_until

NAME = "memory"
MEBIBYTE, KIBIBYTE = 1024 * 1024, 1024
EXAMPLE_MODELS = 2
IDLE_MEBIBYTES, MODEL_KIBIBYTES = 250, 20
SETTLE_SECONDS = 8.0
LOOK_SECONDS = 400.0
_MODELS = re.compile(rf"^{PREFIX}_models(\{{.*\}}) (\S+)$", re.MULTILINE)


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure the service with the whole fleet, and with the example repository."""
    del rounds
    with _empty_world(world.folder / "empty") as empty:
        idle = _run(empty, _settings(empty, "idle"), EXAMPLE_MODELS)
    what = "reconciler run, idle, example repository"
    yield Row(NAME, EXAMPLE_MODELS, what, idle.resident / MEBIBYTE, "MiB", limit=IDLE_MEBIBYTES)
    world.remember_releases("memory")
    full = _run(world, _settings(world, "memory"), world.size)
    yield Row(NAME, world.size, "reconciler run, all in sync", full.resident / MEBIBYTE, "MiB")
    yield Row(NAME, world.size, "reconciler run, from its start until all are looked at", full.looked_after, "s")
    each = (full.resident - idle.resident) / world.size / KIBIBYTE
    yield Row(NAME, world.size, "a model, above the idle process", each, "KiB", limit=MODEL_KIBIBYTES)


@contextmanager
def _empty_world(folder: Path) -> Iterator[World]:
    """Run systems that hold nothing, beside the example repository."""
    folder.mkdir()
    example = Repository.of(folder / "example.git", _suspended_example())
    with running_mlflow(folder / "mlflow") as mlflow, running_kubernetes(folder) as url:
        yield World(EXAMPLE_MODELS, folder, example, mlflow, folder / "kubeconfig", url, ())


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


def _settings(world: World, state: str) -> Path:
    raw = world.settings(state).model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    raw["mlflow"]["timeout"] = "5m"
    raw["http"] = {"port": 0}
    path = world.folder / f"{state}.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Running:
    """A service that has calmed down: its resident bytes, and how long it took to look at every model."""

    resident: float
    looked_after: float


def _run(world: World, settings: Path, models: int) -> Running:
    state = world.folder / settings.stem
    command = [sys.executable, "-m", "reconciler", "run", "--config", str(settings)]
    log = world.folder / f"{settings.stem}.log"
    began = time.monotonic()
    with child(command, {**os.environ, **QUIET}, log, lambda: _address(state) is not None, START_SECONDS) as process:
        address = _address(state)
        wait_until(lambda: answers(f"{address}/readyz"), "ready", LOOK_SECONDS)
        wait_until(lambda: _looked_at(f"{address}/metrics") >= models, "every model looked at", LOOK_SECONDS)
        looked_after = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        return Running(float(psutil.Process(process.pid).memory_info().rss), looked_after)


def _address(state: Path) -> str | None:
    try:
        return str(json.loads((state / "http.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        return None


def _looked_at(metrics: str) -> int:
    """Count the models with a verdict; the metrics are the cheapest place that tells."""
    found = _MODELS.findall(httpx.get(metrics, timeout=60, trust_env=False).text)
    return sum(int(float(count)) for labels, count in found if 'sync="Unknown"' not in labels)
