"""`reconciler plan`: what a commit would do, before anything is done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.present import Cell, ConfigOption, ExitCode, Screen, Tone, clean, command, finish
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.plan.forecast import Assumptions
    from reconciler.plan.proposal import Proposal
    from reconciler.plan.render_text import Line, Show

EXAMPLES = """\
\b
Examples:
  reconciler plan --offline                      the files here against main, no system asked
  reconciler plan --offline --base v1.2          against a tag instead
  reconciler plan --until-converged              the whole way, step by step, with times
  reconciler plan -c settings.yaml               what Git wants against what is there now
  reconciler plan . -c settings.yaml -o markdown the files here against what is there now, for a pull request

\b
What is compared without systems: the files at PATH with --base. Without --base it is what a pull request compares:
origin/main or main, at the commit where HEAD left it; when the files are exactly that commit, everything is new.
That base is assumed to be live as it says, its version counted as 1.
"""


class PlanFormat(StrEnum):
    """How a plan is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


OutputOption = Annotated[
    PlanFormat, typer.Option("--output", "-o", help="text, json, or markdown for a pull request's comment.")
]
TrainOption = Annotated[str, typer.Option("--assume-training", help="How long a training is assumed to take.")]
ReadyOption = Annotated[str, typer.Option("--assume-ready", help="How long until a new revision is ready, assumed.")]


def plan(
    path: Annotated[
        Path | None, typer.Argument(help="Folder with the specs. Without systems it is this folder.")
    ] = None,
    *,
    config: ConfigOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no system, even where settings name some.")] = False,
    base: Annotated[str | None, typer.Option(help="Branch, tag or commit to compare with; offline only.")] = None,
    ref: Annotated[str | None, typer.Option(help="Plan this branch, tag or commit instead of the files.")] = None,
    until_converged: Annotated[bool, typer.Option("--until-converged", help="Show every step, with times.")] = False,
    show_drift: Annotated[bool, typer.Option("--show-drift", help="Show what changed on the live side.")] = False,
    assume_training: TrainOption = "10m",
    assume_ready: ReadyOption = "1m",
    environment: Annotated[str, typer.Option(help="Named in the Markdown's title, such as prod.")] = "",
    output: OutputOption = PlanFormat.TEXT,
) -> None:
    """Show what a commit would do to every model. Changes nothing, anywhere.

    Exit code 0 when nothing is to do, 2 when there are changes, 1 when a spec or a system could not be read.
    """
    with command() as screen:
        assumptions = parse_assumptions(assume_training, assume_ready)
        proposal = _propose(screen, path, config, (base, ref), assumptions, online=not offline)
        for problem in proposal.diagnostics:
            screen.diagnostic(problem)
        match output:
            case PlanFormat.JSON:
                from reconciler.plan.render_json import render_json  # noqa: PLC0415  only the renderer asked for

                screen.out.file.write(render_json(proposal))
            case PlanFormat.MARKDOWN:
                from reconciler.plan.render_markdown import render_markdown  # noqa: PLC0415  only the renderer asked for

                screen.out.file.write(clean(render_markdown(proposal, environment)))
            case PlanFormat.TEXT:
                write_text(screen, proposal, way=until_converged, drift=show_drift)
        if proposal.failed:
            screen.note(Cell("The plan is not whole: some specs or systems could not be read.", Tone.BAD))
    finish(exit_code(proposal))


def parse_assumptions(training: str, ready: str) -> Assumptions:
    """Read the assumed durations. Raises Refused."""
    from reconciler.desired.duration import parse_duration  # noqa: PLC0415  pydantic: not for --help
    from reconciler.plan.forecast import Assumptions  # noqa: PLC0415  pydantic: not for --help

    try:
        return Assumptions(parse_duration(training), parse_duration(ready))
    except ValueError as error:
        raise Refused(str(error), help="such as --assume-training 10m --assume-ready 1m") from error


def settings_given(config: Path | None, environ: Mapping[str, str]) -> bool:
    """Return whether anybody said which systems to ask."""
    if config is not None:
        return True
    if not any(name.startswith("RECONCILER_") for name in environ):
        return False
    from reconciler.settings import names_settings  # noqa: PLC0415  50 ms that a plan of files need not pay

    return any(map(names_settings, environ))


def _propose(
    screen: Screen,
    path: Path | None,
    config: Path | None,
    refs: tuple[str | None, str | None],
    assumptions: Assumptions,
    *,
    online: bool,
) -> Proposal:
    base, ref = refs
    if online and settings_given(config, os.environ):
        if base is not None:
            raise Refused(
                "--base compares with a commit, but the settings name systems to compare with",
                help="add --offline to compare with a commit",
            )
        from reconciler.cli.online import propose_online  # noqa: PLC0415  asks every system

        return propose_online(config, path, ref, assumptions, screen.hide)
    from reconciler.cli.offline import propose_offline  # noqa: PLC0415  pygit2: not for --help

    return propose_offline(path or Path(), base, ref, assumptions, screen.now)


def write_text(screen: Screen, proposal: Proposal, *, way: bool = False, drift: bool = False) -> None:
    """Write a plan for people, coloured by what each line is."""
    from reconciler.plan.render_text import Show, text_lines  # noqa: PLC0415  only the renderer asked for

    chosen: list[tuple[bool, Show]] = [(way, Show.WAY), (drift, Show.DRIFT)]
    for line in text_lines(proposal, frozenset(show for wanted, show in chosen if wanted)):
        screen.say(Cell(line.text, _tone(line)))


def _tone(line: Line) -> Tone:
    tones = {"+": Tone.GOOD, "~": Tone.WARNING, "-": Tone.BAD, "!": Tone.WARNING, "#": Tone.STRONG, "faint": Tone.FAINT}
    return Tone.STRONG if line.role == "count" else tones.get(line.role.value, Tone.PLAIN)


def exit_code(proposal: Proposal) -> ExitCode:
    """Return what a script is told."""
    if proposal.failed:
        return ExitCode.COULD_NOT
    return ExitCode.FOUND if proposal.changed or proposal.policy else ExitCode.FINE
