"""What one event of a watch costs the service: read, kept, its model looked at."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import median
from subprocess import run as run_process

import httpx

from reconciler.observed import Known
from reconciler.settings import LoopSettings, Settings
from tests.bench.live import SERVICES, Live, live
from tests.bench.report import Row
from tests.bench.world import World, wait_until

NAME = "watch event"
STATE = "events"
LIMIT_MS = 5.0
PATIENCE = 300.0
_RARELY = timedelta(hours=1)


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure the CPU of a service while another process changes the status of every model."""
    world.remember_releases(STATE)
    costs, base = [], []
    with live(_settings(world)) as running:
        for number in range(rounds):
            costs.append(_cost(world, running, f"http://round-{number}.example.com"))
            base.append(_raw_cost(world))
    what = "CPU of an event that changes a status, with the look at its model"
    yield Row(NAME, world.size, what, median(costs), "ms", limit=LIMIT_MS)
    yield Row(NAME, world.size, "the same", median(costs), "ms", median(base), "json.loads of the same events")


def _settings(world: World) -> Settings:
    """Let no timer disturb: what is measured are the events alone."""
    settings = world.settings(STATE)
    mlflow = settings.mlflow.model_copy(update={"read_interval": _RARELY})
    return settings.model_copy(update={"loop": LoopSettings(interval=_RARELY), "mlflow": mlflow})


def _cost(world: World, running: Live, mark: str) -> float:
    looks, began = running.passes, time.process_time()
    run_process([sys.executable, "-m", "tests.bench.marking", world.kubernetes_url, mark], check=True)
    wait_until(lambda: _marked(running, mark) == world.size, "every event", PATIENCE)
    wait_until(lambda: running.passes >= looks + world.size, "a look after each event", PATIENCE)
    return (time.process_time() - began) / world.size * 1000


def _marked(running: Live, mark: str) -> int:
    seen = running.rig.serving.read_all()
    assert isinstance(seen, Known), seen
    return sum(live.url == mark for live in seen.value.values())


def _raw_cost(world: World) -> float:
    found = httpx.get(f"{world.kubernetes_url}{SERVICES}", timeout=60, trust_env=False).raise_for_status().json()
    lines = [json.dumps({"type": "MODIFIED", "object": obj}).encode() for obj in found["items"]]
    began = time.process_time()
    for line in lines:
        json.loads(line)
    return (time.process_time() - began) / len(lines) * 1000
