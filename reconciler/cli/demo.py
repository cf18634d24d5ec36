"""`reconciler demo`: both stories on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.present import command
from reconciler.errors import Refused

EXAMPLES = """\
\b
Examples:
  reconciler demo                 tell both stories, then keep running until Ctrl-C
  reconciler demo --exit          end after the stories; exit code 0 only if the end states are right
  reconciler demo --reset         start anew instead of where it stopped
"""


def demo(
    *,
    exit_when_done: Annotated[bool, typer.Option("--exit", help="End after the stories and check the end.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Throw away what an earlier demo left.")] = False,
    directory: Annotated[Path, typer.Option("--dir", help="Where everything is kept.")] = Path(".demo"),
) -> None:
    """Watch models being trained, registered, deployed, canaried, promoted and rolled back, on this machine.

    Needs no cluster and no account: MLflow, pipelines and model servers are real, Kubernetes is a small stand-in.
    """
    with command():
        try:
            from reconciler.demo.main import Options, run_demo  # noqa: PLC0415  only in the [demo] extra
        except ModuleNotFoundError as error:
            raise Refused(
                f"the demo needs {error.name}, which is not installed", help="pip install 'model-reconciler[demo]'"
            ) from error
        code = run_demo(Options(directory, "exit" if exit_when_done else "stay", reset))
    raise typer.Exit(code)
