"""`reconciler apply`: reconcile once from the command line, without a service."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.plan import parse_assumptions, write_text
from reconciler.cli.present import Cell, ConfigOption, ExitCode, Format, FormatOption, Screen, Tone, command, finish
from reconciler.errors import Refused

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.bootstrap import Built
    from reconciler.cli.once import Act, Applied
    from reconciler.plan.proposal import Proposal
    from reconciler.settings import Settings

EXAMPLES = """\
\b
Examples:
  reconciler apply -c settings.yaml                     plan, ask, then do what can be done now
  reconciler apply iris -c settings.yaml --yes --wait   one model, without asking, until it has converged
"""
PAUSE_SECONDS = 1.0


def apply(
    models: Annotated[list[str] | None, typer.Argument(help="Only these models.")] = None,
    *,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Go on until every model has converged or is stuck.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to go on with --wait.")] = "1h",
    output: FormatOption = Format.TEXT,
) -> None:
    """Bring models to what Git says, once: show the plan, ask, then act until nothing is left or all wait.

    Every action goes on the ledger, as if the service had done it. Refuses while a service runs on the same state.
    Exit code 0 when all are in sync, 2 when some still wait or are blocked, 1 when something failed.
    """
    with command() as screen:
        from reconciler.settings import load_settings  # noqa: PLC0415  pydantic: not for --help

        settings = load_settings(config, os.environ)
        _refuse_two_writers(settings)
        patience = _duration(timeout)
        with _built(settings, screen) as built:
            proposal, names = _propose(built, settings, models or ())
            if output is Format.TEXT:
                write_text(screen, proposal)
            agreed = _nothing_to_do(proposal) or yes or _ask(screen, proposal)
            done = _run(screen, built, names if agreed else (), patience if wait else None, output)
        _report(screen, done, output, names if agreed else None)
    finish(_code(done) if agreed else ExitCode.COULD_NOT)


def _duration(text: str) -> timedelta:
    return parse_assumptions(text, "1m").training


def _refuse_two_writers(settings: Settings) -> None:
    from reconciler.cli.client import answers  # noqa: PLC0415  urllib: not for --help
    from reconciler.web.address import read_address  # noqa: PLC0415  not for --help

    address = read_address(settings.state_dir)
    if address is not None and answers(address.url):
        raise Refused(
            f"a reconciler runs on the same state, at {address.url} (process {address.pid}): two would fight",
            help="it does the same by itself; `reconciler status` shows where it stands",
        )


@contextmanager
def _built(settings: Settings, screen: Screen) -> Iterator[Built]:
    from reconciler.bootstrap import build, build_redactor, utc_now  # noqa: PLC0415  every client library
    from reconciler.logs import set_up_logs  # noqa: PLC0415  structlog: not for --help

    redactor = build_redactor(settings)
    screen.hide(redactor.redact_text)
    # What is done is shown line by line; the log would say it again.
    set_up_logs(settings.log.model_copy(update={"level": "error"}), redactor, sys.stderr)
    with build(settings, redactor, utc_now, lambda _entry: None) as built:
        built.serving.wait_synced(settings.kubernetes.timeout)
        yield built


def _propose(built: Built, settings: Settings, models: Sequence[str]) -> tuple[Proposal, tuple[str, ...]]:
    from reconciler.cli.once import chosen, wanted_state  # noqa: PLC0415  pydantic: not for --help
    from reconciler.cli.online import propose_against  # noqa: PLC0415  asks every system

    state = wanted_state(built.source)
    names = chosen(state, models)
    assumptions = parse_assumptions("10m", "1m")
    whole = propose_against(built.systems, state, settings, assumptions, f"{settings.git.ref} {state.commit.short}")
    return replace(whole, plans=tuple(plan for plan in whole.plans if plan.name in names)), names


def _nothing_to_do(proposal: Proposal) -> bool:
    return not (proposal.changed or proposal.drifted)


def _ask(screen: Screen, proposal: Proposal) -> bool:
    from reconciler.plan.render_words import counts  # noqa: PLC0415  pydantic: not for --help

    if not sys.stdin.isatty():
        raise Refused("nobody is there to agree: stdin is no terminal", help="read the plan, then add --yes")
    screen.note(Cell(f"This will begin: {counts(proposal)}.", Tone.STRONG))
    return typer.confirm("Do it?", err=True)


def _run(screen: Screen, built: Built, names: Sequence[str], patience: timedelta | None, output: Format) -> Applied:
    import time  # noqa: PLC0415  only here somebody really waits

    from reconciler.cli.once import Applied, Pace, drive  # noqa: PLC0415  pydantic: not for --help

    if not names:
        return Applied()
    built.reconciler.refresh_source()
    built.reconciler.refresh_registry()
    clock = built.systems.clock
    until = None if patience is None else clock() + patience
    pace = Pace(clock, until, lambda: time.sleep(PAUSE_SECONDS))
    return drive(built.reconciler, names, pace, lambda act: _tell(screen, act, output))


def _tell(screen: Screen, act: Act, output: Format) -> None:
    if output is Format.JSON:
        return
    mark = Cell("✖ ", Tone.BAD) if act.error else Cell("✔ ", Tone.GOOD)
    failed = f": {act.error}" if act.error else ""
    screen.say(mark, Cell(f"{act.model}  {act.action}{failed}", Tone.STRONG), Cell(f"  {act.reason}", Tone.FAINT))


def _report(screen: Screen, done: Applied, output: Format, names: Sequence[str] | None) -> None:
    if output is Format.JSON:
        screen.json(
            {
                "actions": done.actions,
                "models": {name: status.as_json() if status else None for name, status in done.statuses.items()},
                "failed": {name: error.message for name, error in done.failed.items()},
            }
        )
        return
    for error in done.failed.values():
        screen.error(error)
    for name, status in done.waiting.items():
        what = status.conditions.stalled.message or status.blocked_by or f"waits for {status.waits_for}"
        screen.say(Cell(f"! {name}: ", Tone.WARNING), what)
    if names is None:
        screen.note("Nothing was done.")
        return
    well = len(names) - len(done.waiting.keys() | done.failed.keys())
    more = "; `reconciler apply --wait` goes on" if done.waiting and not done.failed else ""
    screen.say(Cell(f"{well} of {len(names)} in sync{more}", Tone.STRONG))


def _code(done: Applied) -> ExitCode:
    if done.failed:
        return ExitCode.COULD_NOT
    return ExitCode.FOUND if done.waiting else ExitCode.FINE
