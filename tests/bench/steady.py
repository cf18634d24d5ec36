"""A pass over models that are all in sync, against the bulk reads that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tests.bench import raw
from tests.bench.report import Row, seconds
from tests.bench.rig import Counts, rig
from tests.bench.world import World

NAME = "steady pass"


def run(world: World, rounds: int) -> Iterator[Row]:
    """Measure several passes, each beside a raw read of its own."""
    world.remember_releases("steady")
    with rig(world.settings("steady")) as running:
        running.start()
        running.look_at_all()
        base, reads, looks = [], [], []
        counts = Counts()
        for _ in range(rounds):
            base.append(seconds(lambda: raw.read_registry(world.mlflow)))
            before = running.counts
            reads.append(seconds(running.reconciler.refresh_registry))
            looks.append(seconds(running.look_at_all))
            counts = running.counts.since(before)
        yield from _rows(world, median(base), median(reads), median(looks), _calls(counts))


def _calls(counts: Counts) -> str:
    lists = counts.kubernetes_lists + counts.kubernetes_other
    pages = counts.registry_requests - 1
    return (
        f"registry 2 bulk reads ({pages}+1 pages), Kubernetes {lists}, ledger writes {counts.database_writes}, "
        f"database reads {counts.database_reads}"
    )


def _rows(world: World, base: float, read: float, look: float, calls: str) -> Iterator[Row]:
    what = "httpx + json.loads of the same bulk reads"
    yield Row(NAME, world.size, "refresh_registry", read, "s", base, what)
    yield Row(NAME, world.size, "look at every model", look, "s", base, what)
    yield Row(NAME, world.size, "whole pass", read + look, "s", base, what, 1.5, calls)
    yield Row(NAME, world.size, "look at one model", look / world.size * 1e6, "us")
