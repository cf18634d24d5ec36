"""What somebody reads when the stories are told: what starts the demo again, and which end states do not hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.demo.checks import Check
from reconciler.demo.ending import again, usual_directory, verdict, where_to_look
from reconciler.demo.main import Options
from reconciler.demo.repository import DemoRepository, Mode
from reconciler.demo.stack import Folders, Stack
from reconciler.demo.story import CHAPTERS

GOOD, BAD = Check("iris: alias champion", holds=True, seen="on version [2]"), Check("the ledger verifies", False, "63")


def options(mode: Mode = "Knative", directory: Path | None = None, then: str = "stay") -> Options:
    return Options(directory or usual_directory(mode), mode, then, reset=False)


@pytest.mark.parametrize(
    ("given", "more", "command"),
    [
        (options(), [], "make demo"),
        (options("Standard"), [], "make demo ARGS=--standard"),
        (options(), ["--reset"], "make demo ARGS=--reset"),
        (options("Standard"), ["--reset"], "make demo ARGS='--standard --reset'"),
        (options(directory=Path("elsewhere")), [], "make demo ARGS='--dir elsewhere'"),
    ],
)
def test_the_command_that_starts_it_again_keeps_mode_and_folder(given: Options, more: list[str], command: str) -> None:
    assert again(given, *more) == command


@pytest.mark.parametrize("then", ["stay", "exit"])
def test_where_to_look_names_that_command_and_the_token(tmp_path: Path, then: str) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        repository = DemoRepository(tmp_path / "repo")
        stack = Stack(Folders(tmp_path), "Standard", repository, "mlflow", "", "ingress", "http://127.0.0.1:1", process)
    said = "\n".join(where_to_look(stack, options("Standard", then=then)))
    assert "`make demo ARGS=--standard`" in said
    assert (str(tmp_path / "state" / "token") in said) is (then == "stay")


def test_the_last_lines_are_the_end_states_that_do_not_hold() -> None:
    assert list(verdict([BAD, GOOD, GOOD], [], options())) == [
        "",
        "1 of 3 end states does not hold:",
        "  ✖ the ledger verifies  63",
    ]
    assert "2 of 3 end states do not hold:" in list(verdict([BAD, GOOD, BAD], [], options()))


def test_where_all_hold_the_last_line_says_so() -> None:
    assert list(verdict([GOOD, GOOD], [], options()))[-1] == "All 2 end states hold."


def test_commits_beyond_the_stories_are_told_before_the_end_states_with_what_to_do() -> None:
    said = list(verdict([BAD], ["4f2c1ab Back to centimetres", "9be0d13 More trees"], options("Standard")))
    assert said[1] == "The repository has 2 commits beyond the stories, the newest: 4f2c1ab Back to centimetres."
    assert "`make demo ARGS='--standard --reset'` tells them anew" in said[2]
    assert said[3] == "1 of 1 end states does not hold:"


def test_only_what_somebody_else_committed_is_beyond_the_stories(tmp_path: Path) -> None:
    repository = DemoRepository.open(tmp_path / "repo")
    modes: tuple[Mode, ...] = ("Standard", "Knative")
    for mode in modes:
        repository.serve_in(mode)
    repository.ask("knative")
    repository.ask(None)
    for chapter in CHAPTERS:
        if chapter.edit is not None:
            assert repository.edit(chapter.edit, chapter.message)
    told = [chapter.message for chapter in CHAPTERS]
    assert repository.beyond(told) == []
    (repository.folder / "models" / "iris.yaml").write_text("changed", encoding="utf-8")
    repository.commit("Back to centimetres")
    (found,) = repository.beyond(told)
    assert found.partition(" ")[2] == "Back to centimetres"
