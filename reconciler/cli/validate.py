"""`reconciler validate`: everything that is wrong with the specs, with its place and the fix."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.present import Cell, ExitCode, Screen, Tone, clean, command, finish

if TYPE_CHECKING:
    from reconciler.desired.state import DesiredState, Diagnostic

EXAMPLES = """\
\b
Examples:
  reconciler validate                      every spec below this folder
  reconciler validate models/iris.yaml     one file; names of other files count from the repository's root
  reconciler validate -o github            annotations on the lines of a pull request
"""


class ValidateFormat(StrEnum):
    """How problems are written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders; one folder is taken for the repository's root.")
    ] = None,
    *,
    root: Annotated[
        Path | None, typer.Option(help="The folder from which paths inside specs count, if it is another one.")
    ] = None,
    output: Annotated[
        ValidateFormat, typer.Option("--output", "-o", help="text, json, or github for annotations in its CI.")
    ] = ValidateFormat.TEXT,
) -> None:
    """Check every spec: unknown fields, wrong values, missing files, names that are taken twice.

    Nothing is asked but the files. Exit code 0 when all is well, 2 when there are problems, 1 when a path cannot be
    read.
    """
    with command() as screen:
        from reconciler.cli.specs import read_state  # noqa: PLC0415  pydantic: not for --help

        given = paths or [Path()]
        state = read_state(given, root)
        prefix = _prefix(given, root)
        match output:
            case ValidateFormat.JSON:
                _write_json(screen, state)
            case ValidateFormat.GITHUB:
                _write_github(screen, state.diagnostics, prefix)
            case ValidateFormat.TEXT:
                _write_text(screen, state, prefix)
    finish(ExitCode.FOUND if _errors(state.diagnostics) else ExitCode.FINE)


def _errors(diagnostics: Sequence[Diagnostic]) -> bool:
    return any(problem.severity == "error" for problem in diagnostics)


def _prefix(paths: Sequence[Path], root: Path | None) -> str:
    """Return what leads from here to the root, so that a terminal can open the places that are named."""
    base = root or (paths[0] if len(paths) == 1 and paths[0].is_dir() else Path())
    shown = base.as_posix()
    return "" if shown == "." else f"{shown}/"


def _write_text(screen: Screen, state: DesiredState, prefix: str) -> None:
    from reconciler.desired.render import count, render  # noqa: PLC0415  pydantic: not for --help

    for problem in state.diagnostics:
        screen.say(*_styled(render(problem, prefix=prefix)), "\n")
    valid = f"{len(state.models)} {'model is' if len(state.models) == 1 else 'models are'} valid"
    if not state.diagnostics:
        screen.say(Cell("✔ ", Tone.GOOD), f"{valid}, no problems")
        return
    tone = Tone.BAD if _errors(state.diagnostics) else Tone.WARNING
    screen.say(Cell(count(state.diagnostics), tone), f", {valid}")


def _styled(text: str) -> list[str | Cell]:
    """Colour a rendered problem line by line: its head, its marker and its advice."""
    first, *lines = text.split("\n")
    head, _, message = first.partition(": ")
    tone = Tone.BAD if head.startswith("error") else Tone.WARNING
    parts: list[str | Cell] = [Cell(head, tone), Cell(f": {message}", Tone.STRONG)]
    for line in lines:
        margin, bar, marked = line.partition(" | ")
        if line.startswith("help: "):
            parts += ["\n", Cell("help", Tone.GOOD), line.removeprefix("help")]
        elif bar and not margin.strip():
            parts += [f"\n{margin}{bar}", Cell(marked, tone)]
        else:
            parts.append(f"\n{line}")
    return parts


def _write_json(screen: Screen, state: DesiredState) -> None:
    from reconciler.desired.render import as_json  # noqa: PLC0415  pydantic: not for --help

    problems = [as_json(problem) for problem in state.diagnostics]
    screen.json({"valid": not _errors(state.diagnostics), "models": sorted(state.models), "diagnostics": problems})


def _write_github(screen: Screen, diagnostics: Sequence[Diagnostic], prefix: str) -> None:
    for problem in diagnostics:
        place = {"file": prefix + problem.path, "line": problem.line or 1, "col": problem.column or 1}
        fields = ",".join(f"{name}={_property(str(found))}" for name, found in place.items())
        message = problem.message + (f"\nhelp: {problem.help}" if problem.help else "")
        title = _property(f"reconciler: {problem.code}")
        screen.out.file.write(f"::{problem.severity.value} {fields},title={title}::{_data(message)}\n")


def _data(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
