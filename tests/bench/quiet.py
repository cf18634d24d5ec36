"""Nothing changes: every model is looked at again and again, and Kubernetes is asked nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from reconciler.settings import GitSettings, LoopSettings, Settings
from tests.bench.live import live, requests_at
from tests.bench.report import Row
from tests.bench.world import World, wait_until

NAME = "quiet"
PATIENCE = 600.0
MODELS_A_SECOND = 250
_POLLED = timedelta(seconds=2)


def run(world: World, rounds: int) -> Iterator[Row]:
    """Count what the API is sent while the service looks at every model so many times; watches that go on count not."""
    world.remember_releases(NAME)
    with live(_settings(world)) as running:
        before, looks, began = requests_at(world), running.passes, time.monotonic()
        wait_until(lambda: running.passes >= looks + rounds * world.size, "looks", PATIENCE)
        after, seconds = requests_at(world), time.monotonic() - began
    asked = {verb: count - before.get(verb, 0) for verb, count in after.items() if count != before.get(verb, 0)}
    others = sum(count for verb, count in asked.items() if verb != "WATCH")
    what = f"requests at the API but watches, in {seconds:.0f} s with {rounds} looks at each model"
    said = ", ".join(f"{count} {verb}" for verb, count in sorted(asked.items())) or "Kubernetes 0"
    yield Row(NAME, world.size, what, others, "", limit=0, calls=said)


def _settings(world: World) -> Settings:
    """Look around far more often than every three minutes, and poll the others too."""
    settings = world.settings(NAME)
    interval = max(_POLLED, timedelta(seconds=world.size / MODELS_A_SECOND))
    git = GitSettings(url=settings.git.url, poll_interval=_POLLED)
    return settings.model_copy(update={"loop": LoopSettings(interval=interval), "git": git})
