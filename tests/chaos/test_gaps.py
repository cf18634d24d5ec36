"""Every place where the product can be stopped between intent and outcome is passed by what is told here."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import reconciler
from reconciler.plan.action import Action
from tests.chaos.conftest import Calm
from tests.chaos.test_local_run import PLACES

# What no chapter comes to: these take steps of Promote, ArchiveAll, StartCanary, ShiftTraffic, Deploy and Reject once
# more.
UNTOLD = {"Adopt", "Archive", "DeleteModel", "PutBack", "ScaleCanary", "Withdraw"}


def named_places() -> dict[str, re.Pattern[str]]:
    """Return every breakpoint in the product's code, and what its name looks like in a run."""
    found = {}
    root = Path(reconciler.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reached":
                found[f"{path.relative_to(root)}:{node.lineno}"] = _pattern(node.args[0])
    return found


def _pattern(name: ast.expr) -> re.Pattern[str]:
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    return re.compile("".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".*" for p in parts).strip())


def test_the_story_passes_every_named_breakpoint(calm: Calm) -> None:
    seen = {gap.partition(": ")[2] for gap in calm.gaps} | set(PLACES)
    if "intended" in seen:
        # The judge has left out which model and action, as those differ from run to run.
        seen.add("intended  ")
    places = named_places()
    assert len(places) > 10
    never = {at: shape.pattern for at, shape in places.items() if not any(map(shape.fullmatch, seen))}
    print(f"{len(calm.gaps)} gaps at {len(places)} places:", *calm.gaps, sep="\n  ")  # noqa: T201  the figure
    assert never == {}, "told by no chapter: add one that comes there"


def test_the_story_takes_every_action_but_those_that_are_known_to_be_left_out(calm: Calm) -> None:
    taken = {gap.partition(": ")[0] for gap in calm.gaps}
    assert {each.__name__ for each in get_args(Action)} - taken == UNTOLD
