"""The table of KServe's pitfalls names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "kserve-pitfalls.md").read_text(encoding="utf-8")
ROWS = [
    line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("| ") and "pitfall | test" not in line
]
NAMED = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 60


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:60])
def test_every_pitfall_names_tests_that_exist(row: list[str]) -> None:
    named = NAMED.findall(row[1])
    assert named
    assert len(named) == row[1].count("::"), f"{row[1]}: expected path::test, one after the other"
    missing = [f"{path}::{test}" for path, test in named if test not in names_in(path)]
    assert not missing, f"docs/kserve-pitfalls.md names tests that are not there: {missing}"
