"""What people order by hand of the running service: abort, promote, pause, resume, retry, approve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from reconciler.cli.present import Cell, ConfigOption, Format, FormatOption, Screen, Tone, command
from reconciler.cli.status import Json, TokenFileOption, UrlOption

EXAMPLES = """\
\b
Examples:
  reconciler pause iris --reason "the dashboard looks odd, I am reading logs"
  RECONCILER_TOKEN=... reconciler abort iris --reason "p95 doubled in the app" --url https://reconciler.example.org
\b
Each order is recorded on the ledger with the name of your token before it counts, survives a restart, and may be
sent twice. The service needs a token file for it (setting api.tokens). Exit code 0 when it stands, 1 when not.
"""

ModelArgument = Annotated[str, typer.Argument(help="The model's name.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; one line that goes on the ledger for good.")]


def _order(name: str, does: str) -> Callable[..., None]:
    """Make the command that gives one order; they differ in nothing but what they are called and do."""

    def give(
        model: ModelArgument,
        *,
        reason: ReasonOption,
        config: ConfigOption = None,
        url: UrlOption = None,
        token_file: TokenFileOption = None,
        output: FormatOption = Format.TEXT,
    ) -> None:
        with command() as screen:
            from reconciler.cli.client import base_url, give_order, token_for, understood  # noqa: PLC0415  not for --help

            address = base_url(url, config)
            answer = give_order(address, token_for(token_file, url, config), f"{model}/{name}", reason)
            with understood(address):
                lines = _lines(answer)
            if output is Format.JSON:
                screen.json(answer)
            else:
                _show(screen, lines, model)

    # The command line takes both from the function.
    give.__name__, give.__doc__ = name, does
    return give


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
approve = _order("approve", "Take the version that waits for approval as if Git named it.")


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
