"""Commands that only read files import none of the libraries that talk to systems."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLE

ROOT = Path(__file__).parents[2]
HEAVY = (
    "alembic", "apscheduler", "fastapi", "httpx", "kfp", "kfp_server_api", "kubernetes", "mlflow", "prometheus_client",
    "sqlalchemy", "starlette", "structlog", "uvicorn",
)  # fmt: skip
PROGRAM = """
import json, sys
from reconciler.cli import main
sys.argv = ["reconciler", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported(*arguments: str | Path) -> set[str]:
    """Run a command in a process of its own; return the packages that it imported."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode in (0, 2), done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("plan", "--help"),
        ("status", "--help"),
        ("validate", EXAMPLE),
        ("plan", "--offline", EXAMPLE),
        ("plan", "--offline", EXAMPLE, "-o", "json"),
        ("config",),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_no_client_library_is_imported(arguments: tuple[str | Path, ...]) -> None:
    assert imported(*arguments).isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [("--help",), ("plan", "--help")], ids=" ".join)
def test_help_reads_and_draws_nothing(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments).isdisjoint({"croniter", "pygit2", "rich", "yaml"})


def test_a_pipe_gets_no_escape_codes() -> None:
    command = [sys.executable, "-m", "reconciler", "plan", str(EXAMPLE), "--until-converged"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("Plan: ")
