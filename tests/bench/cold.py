"""A start at full size: everything is read once, and every model is looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from tests.bench import raw
from tests.bench.report import Row, seconds
from tests.bench.rig import Counts, rig
from tests.bench.world import World

NAME = "cold start"
LIMIT = 2.0


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure a start without a Git mirror or stored specs, then one that finds both."""
    del rounds  # a start is long enough to be measured once
    world.remember_releases("cold")
    shutil.rmtree(world.folder / "cold-raw.git", ignore_errors=True)
    base = {"clone": seconds(lambda: raw.clone(world.repository.path, world.folder / "cold-raw.git"))}
    mirror = raw.open_clone(world.folder / "cold-raw.git")
    base["parse"] = seconds(lambda: raw.load_documents(mirror))
    base["registry"] = seconds(lambda: raw.read_registry(world.mlflow))
    base["list"] = seconds(lambda: raw.list_kubernetes(world.kubernetes_url))
    total = sum(base.values())
    what = "raw reads: " + " + ".join(f"{name} {value:.2f}" for name, value in base.items())
    first, parts, counts = _start(world)
    yield Row(NAME, world.size, f"first start ({parts})", first, "s", total, what, LIMIT, _calls(counts))
    again, parts, counts = _start(world)
    yield Row(NAME, world.size, f"restart ({parts})", again, "s", total, what, LIMIT, _calls(counts))


def _start(world: World) -> tuple[float, str, Counts]:
    with rig(world.settings("cold")) as running:
        steps = {
            "git": seconds(running.reconciler.refresh_source),
            "registry": seconds(running.reconciler.refresh_registry),
            "list": seconds(running.synced),
            "looks": seconds(running.look_at_all),
        }
        parts = ", ".join(f"{name} {value:.2f}" for name, value in steps.items())
        return sum(steps.values()), parts, replace(running.counts)


def _calls(counts: Counts) -> str:
    return (
        f"registry {counts.registry_requests} requests, Kubernetes {counts.kubernetes_lists} list pages and "
        f"{counts.kubernetes_other} other, {counts.blobs_parsed} blobs, database reads {counts.database_reads}, "
        f"writes {counts.database_writes}"
    )
