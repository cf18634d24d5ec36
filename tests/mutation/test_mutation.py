"""The tool itself: on a tiny module whose mutants are known, and once as people run it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.reach import Reach
from tests.mutation.sites import Key, Kind, mutants_of
from tests.mutation.survivors import audit, listed
from tests.mutation.trial import Trial, Verdict, trials

# A process with threads may be forked here: the child runs pure functions and ends.
pytestmark = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")

TINY = '''
"""A module of a few decisions."""
LIMIT = 3


def small(n: int, *, least: int = 0) -> bool:
    """Tell a small number."""
    return least <= n < LIMIT


def down(n: int) -> int:
    """Count down."""
    steps = 0
    while n > 0:
        n = n - 1
        steps += 1
    return steps


def unseen(n: int) -> int:
    """Do what no test looks at."""
    return n * 1
'''


@pytest.fixture
def tiny(tmp_path: Path) -> ModuleType:
    file = tmp_path / "tiny.py"
    file.write_text(TINY, encoding="utf-8")
    specification = importlib.util.spec_from_file_location("tiny", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["tiny"] = module
    specification.loader.exec_module(module)
    return module


def tried(module: ModuleType, *tests: Callable[[], bool]) -> dict[str, Verdict]:
    """Try every mutant of a module against tests that return whether all is well."""

    def fails(number: int) -> bool:
        try:
            return not tests[number]()
        except Exception:  # noqa: BLE001  as a test framework does
            return True

    reach = Reach(frozenset({str(module.__file__)}))
    for number in range(len(tests)):
        reach.record(number, partial(fails, number))
    todo = []
    for mutant in mutants_of(module):
        reaching = reach.reaching(str(module.__file__), mutant.first, mutant.last)
        order = reach.fastest_first(reaching, frozenset())
        todo.append(Trial(mutant, [(n, reach.seconds[n]) for n in order]))
    return {str(v.mutant.key): v for v in trials(todo, fails, jobs=2, patience=0.2)}


def survivors(verdicts: dict[str, Verdict]) -> set[str]:
    return {key for key, verdict in verdicts.items() if verdict.killer is None}


def test_thorough_tests_kill_every_mutant_that_they_reach_and_the_others_survive(tiny: ModuleType) -> None:
    table = {-1: False, 0: True, 1: True, 2: True, 3: False, 4: False}
    verdicts = tried(
        tiny,
        lambda: all(tiny.small(n) is expected for n, expected in table.items()),
        lambda: [tiny.down(n) for n in (-1, 0, 3)] == [0, 0, 3],
    )
    assert survivors(verdicts) == {
        "tiny.unseen: return n * 1  [return n * 1 -> return None]",
        "tiny.unseen: return n * 1  [n * 1 -> n / 1]",
        "tiny.unseen: return n * 1  [1 -> 2]",
        "tiny.unseen: return n * 1  [1 -> 0]",
    }


def test_a_test_that_misses_the_boundary_lets_it_survive(tiny: ModuleType) -> None:
    verdicts = tried(tiny, lambda: tiny.small(1) and not tiny.small(7) and not tiny.small(-7))
    lived = survivors(verdicts)
    assert "tiny.small: return least <= n < LIMIT  [least <= n < LIMIT -> least < n < LIMIT]" in lived
    assert "tiny.LIMIT: LIMIT = 3  [3 -> 4]" in lived
    assert "tiny.small: return least <= n < LIMIT  [least <= n < LIMIT -> least > n < LIMIT]" not in lived


def test_an_endless_loop_is_a_kill(tiny: ModuleType) -> None:
    verdicts = tried(tiny, lambda: bool(tiny.down(2) == 2))
    endless = verdicts["tiny.down: while n > 0:  [n > 0 -> True]"]
    assert endless.killer == 0
    assert endless.too_long


def test_constants_defaults_and_code_are_changed_where_they_are(tiny: ModuleType) -> None:
    assert {m.kind for m in mutants_of(tiny)} == {Kind.CONSTANT, Kind.DEFAULT, Kind.CODE}


def test_the_name_of_a_mutant_does_not_change_when_lines_shift(tiny: ModuleType) -> None:
    before = [m.key for m in mutants_of(tiny)]
    file = Path(str(tiny.__file__))
    file.write_text("# a comment\n\n" + TINY, encoding="utf-8")
    assert [m.key for m in mutants_of(tiny)] == before


def test_the_list_is_held_against_the_run_in_both_directions(tmp_path: Path) -> None:
    keys = [Key("m.f", "return n", f"{n} -> {n + 1}") for n in range(4)]
    file = tmp_path / "survivors.toml"
    entries = [f'[["m.f"]]\nline = "return n"\nchange = "{key.change}"\nwhy = "equal"\n' for key in keys[1:]]
    file.write_text("".join(entries), encoding="utf-8")
    found = audit(listed(file), {keys[0]: True, keys[1]: True, keys[2]: False}, keys[:3])
    assert (found.unlisted, found.killed, found.gone) == ((keys[0],), (keys[2],), (keys[3],))
    assert not found.agrees


def test_a_survivor_without_a_reason_is_no_entry(tmp_path: Path) -> None:
    file = tmp_path / "survivors.toml"
    file.write_text('[["m.f"]]\nline = "return n"\nchange = "1 -> 2"\nwhy = " "\n', encoding="utf-8")
    with pytest.raises(ValueError, match="with its reason"):
        listed(file)


def test_as_people_run_it_every_mutant_of_the_roles_is_killed() -> None:
    command = [sys.executable, "-m", "tests.mutation", "--module", "registry_roles"]
    ran = subprocess.run(
        [*command, "--tests", "tests/test_registry_roles.py"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "100.0%" in ran.stdout
