"""All commands of `reconciler`. Each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reconciler import __version__
from reconciler.cli.apply import apply
from reconciler.cli.audit import app as audit_app
from reconciler.cli.config import app as config_app
from reconciler.cli.demo import demo
from reconciler.cli.explain import explain
from reconciler.cli.history import history
from reconciler.cli.orders import abort, approve, pause, promote, resume, retry
from reconciler.cli.plan import plan
from reconciler.cli.run import run
from reconciler.cli.status import status
from reconciler.cli.validate import validate

EPILOG = """\
\b
Begin here:
  reconciler demo                  watch the whole story on this machine, no account needed
  reconciler validate              check every spec below this folder
  reconciler plan --offline        what would this commit do, compared with main?
  reconciler plan -c settings.yaml what would it do to what is there now?
  reconciler run -c settings.yaml  do it, and keep it so
  reconciler status                where does every model stand?

Exit codes: 0 fine and nothing to do, 1 could not finish, 2 finished and found changes or problems.
"""

# 2 tells scripts that there are changes; a mistyped option must not.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
_USAGE_ERROR.exit_code = 1

app = typer.Typer(
    name="reconciler",
    help="Keep machine-learning models in MLflow and KServe as Git says, and say why.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    # rich would take 0.1 s to draw boxes around the help, and traces with local values may show secrets.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reconciler {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keep machine-learning models in MLflow and KServe as Git says, and say why."""


COMMANDS = (
    (validate, "Check every spec, and say how to fix what is wrong."),
    (plan, "Show what a commit would do to every model."),
    (apply, "Do it once: show the plan, ask, act."),
    (run, "Run the service that keeps every model as Git says."),
    (status, "Show where every model stands, the worst first."),
    (explain, "Explain one model: why it is as it is, and what to do."),
    (history, "Show what was done for a model, and when it served what."),
    (pause, "Hold a rollout at its traffic."),
    (resume, "Let a paused rollout go on."),
    (promote, "Skip the rest of a rollout's steps."),
    (abort, "End a rollout at once, and reject its version."),
    (retry, "Try a rejected version, or a failed training, again."),
    (approve, "Approve the version that waits for it."),
    (demo, "Watch the whole story on this machine."),
)
for command, short in COMMANDS:
    app.command(short_help=short, epilog=command.__globals__.get("EXAMPLES", ""))(command)
app.add_typer(audit_app, short_help="Read, verify and export the ledger.")
app.add_typer(config_app, short_help="List, show and validate settings.")
