"""What people order by hand of the running service: abort, promote, pause, resume, retry, approve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.present import Cell, ConfigOption, Format, FormatOption, Screen, Tone, command
from reconciler.cli.status import Json, TokenFileOption, UrlOption
from reconciler.errors import Refused

EXAMPLES = """\
\b
Examples:
  reconciler pause iris --reason "the dashboard looks odd, I am reading logs"
  reconciler promote iris --version 7 --reason "the hotfix, measured by hand"
  RECONCILER_TOKEN=... reconciler abort iris --reason "p95 doubled in the app" --url https://reconciler.example.org
\b
An order is for the version (and step) that the status shows right before, or that you name: if something else is there
when it arrives, it is refused.
\b
Each order is recorded on the ledger with the name of your token before it counts, survives a restart, and may be
sent twice. The service needs a token file for it (setting api.tokens). Exit code 0 when it stands, 1 when not.
"""

ModelArgument = Annotated[str, typer.Argument(help="The model's name.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; one line that goes on the ledger for good.")]


VersionOption = Annotated[
    int | None,
    typer.Option(
        "--version", min=1, help="Only for this version; default: the one that the status shows right before."
    ),
]
StepOption = Annotated[
    int | None,
    typer.Option("--step", min=1, help="With --version: only for this step of its rollout."),
]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which order is given, and what for; without a version for what the status shows."""

    model: str
    order: str
    reason: str
    version: int | None
    step: int | None = None


def _order(name: str, does: str) -> Callable[..., None]:
    """Make the command that gives one order; they differ in nothing but what they are called and do."""

    def give(
        model: ModelArgument,
        *,
        reason: ReasonOption,
        version: VersionOption = None,
        config: ConfigOption = None,
        url: UrlOption = None,
        token_file: TokenFileOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        _give(_Asked(model, name, reason, version), config, url, token_file, output)

    # The command line takes both from the function.
    give.__name__, give.__doc__ = name, does
    return give


def approve(
    model: ModelArgument,
    *,
    reason: ReasonOption,
    version: VersionOption = None,
    step: StepOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Take the version that waits for approval as if Git named it, or let a rollout leave a step that waits for it."""
    _give(_Asked(model, "approve", reason, version, step), config, url, token_file, output)


def _give(asked: _Asked, config: Path | None, url: str | None, token_file: Path | None, output: Format) -> None:
    with command() as screen:
        from reconciler.cli.client import base_url, give_order, token_for, understood  # noqa: PLC0415  not for --help

        if asked.step is not None and asked.version is None:
            raise Refused("--step needs --version", help="name the version whose rollout waits in that step")
        address, token = base_url(url, config), token_for(token_file, url, config)
        meant = _meant(asked, address, token)
        answer = give_order(address, token, f"{asked.model}/{asked.order}", {"reason": asked.reason, **meant})
        with understood(address):
            lines = _lines(answer)
        if output is Format.JSON:
            screen.json(answer)
        else:
            _show(screen, lines, asked.model)


def _meant(asked: _Asked, address: str, token: str) -> dict[str, int]:
    """Return version and step that the order is for: as named, or as shown; zeros where nothing is shown."""
    if asked.version is not None:
        return {"version": asked.version, "step": asked.step or 0}
    from reconciler.cli.client import one_model, understood  # noqa: PLC0415  not for --help

    status = one_model(address, asked.model, token)
    with understood(address):
        shown = next((each for each in status["orderable"] if each["order"] == asked.order), {"version": 0, "step": 0})
        return {"version": int(shown["version"]), "step": int(shown["step"])}


abort = _order(
    "abort", "End the rollout that is under way: its version gets no traffic any more, at once, and is rejected."
)
promote = _order("promote", "Skip the rest of the rollout's steps and checks; gates and readiness are never skipped.")
pause = _order(
    "pause",
    "Hold the rollout at its traffic; its deadline stands still, and a check that fails still takes it back.",
)
resume = _order("resume", "Let a rollout go on that was paused by hand.")
retry = _order("retry", "Try again what was rejected, from the first step, or a training that failed.")


def _lines(answer: Json) -> tuple[str, str]:
    order = answer["order"]
    stands = "stands on the ledger already" if answer["repeated"] else "stands on the ledger"
    first = f"{order['order']} of {answer['model']}, {order['about']}, {stands}: {order['actor']}: {order['reason']}"
    return first, str(answer["follows"])


def _show(screen: Screen, lines: tuple[str, str], model: str) -> None:
    first, follows = lines
    screen.say(Cell("✔ ", Tone.GOOD), first)
    screen.say(Cell("Next: ", Tone.FAINT), follows)
    screen.say(Cell("Follow: ", Tone.FAINT), Cell(f"reconciler status {model} --watch", Tone.MOVING))
