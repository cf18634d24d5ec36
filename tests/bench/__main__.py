"""Run the benchmarks: python -m tests.bench [--models 1000,10000] [--only NAME] [-o json]."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

from reconciler.cli.present import ExitCode, Screen, open_screen
from reconciler.logs import set_up_logs
from reconciler.redaction import Redactor
from reconciler.settings import LogSettings
from tests.bench import cold, events, memory, parsing, planning, quiet, reaction, steady
from tests.bench.report import Row, show
from tests.bench.world import World, running_mlflow, running_world

Bench = Callable[[World, int], Iterator[Row]]
BENCHES: dict[str, Bench] = {
    "planning": planning.run,
    "parsing": parsing.run,
    "steady": steady.run,
    "cold": cold.run,
    "memory": memory.run,
    "quiet": quiet.run,
    "events": events.run,
    "reaction": reaction.run,
}
# The larger the fleet, the longer a round, and the less chance there is in it.
ROUNDS = 5
LARGE, ROUNDS_LARGE = 5_000, 2


def main(arguments: list[str]) -> int:
    """Run what was asked for; 2 when a limit is not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--models", default="1000,10000", help="sizes of the fleet, separated by commas")
    parser.add_argument("--only", choices=sorted(BENCHES), action="append", help="run this one (may be repeated)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.add_argument("--keep", type=Path, help="work in this new folder, and keep it")
    chosen = parser.parse_args(arguments)
    set_up_logs(LogSettings(level="warning"), Redactor(), sys.stderr)
    screen = open_screen(sys.stdout, sys.stderr, os.environ, datetime.now(UTC))
    sizes = [int(size) for size in chosen.models.split(",")]
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="reconciler-bench-"))
    try:
        rows = list(measure(folder, sizes, chosen.only or BENCHES, screen))
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if chosen.output == "json":
        screen.json([row.as_json() for row in rows])
    else:
        show(rows, screen)
    return ExitCode.FOUND if any(row.kept is False for row in rows) else ExitCode.FINE


def measure(folder: Path, sizes: list[int], chosen: Collection[str], screen: Screen) -> Iterator[Row]:
    """Run the chosen benchmarks at each size, one after the other."""
    screen.note("starting MLflow")
    with running_mlflow(folder / "mlflow") as mlflow:
        for size in sizes:
            screen.note(f"putting {size:,} models into Git, MLflow and Kubernetes")
            with running_world(folder / str(size), size, mlflow) as world:
                for name in (name for name in BENCHES if name in chosen):
                    screen.note(f"{name}, {size:,} models")
                    yield from BENCHES[name](world, ROUNDS_LARGE if size >= LARGE else ROUNDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
