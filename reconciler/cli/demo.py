"""`reconciler demo`: both stories on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.present import command
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.demo.repository import Mode

# Of the [demo] extra; MLflow's server is the part of it that is made with Flask.
NEEDED = ("flask", "kfp", "kserve", "psutil", "sklearn")

EXAMPLES = """\
\b
Examples:
  reconciler demo                 tell both stories, then keep running until Ctrl-C
  reconciler demo --exit          end after the stories; exit code 0 only if the end states are right
  reconciler demo --reset         start anew instead of where it stopped
  reconciler demo --standard      the same stories in KServe's Standard mode
"""


def demo(
    *,
    exit_when_done: Annotated[bool, typer.Option("--exit", help="End after the stories and check the end.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Throw away what an earlier demo left.")] = False,
    standard: Annotated[bool, typer.Option("--standard", help="In KServe's Standard mode, not Knative mode.")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where everything is kept. [default: .demo, or .demo-standard]")
    ] = None,
) -> None:
    """Watch models being trained, registered, deployed, canaried, promoted and rolled back, on this machine.

    Needs no cluster and no account: MLflow, pipelines and model servers are real, Kubernetes is a small stand-in.
    """
    with command():
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            raise Refused(
                f"the demo needs {', '.join(missing)}, which the base installation does not have",
                help="pip install 'model-reconciler[demo]'",
            )
        from reconciler.demo.ending import usual_directory  # noqa: PLC0415  only in the [demo] extra
        from reconciler.demo.main import Options, run_demo  # noqa: PLC0415  only in the [demo] extra

        mode: Mode = "Standard" if standard else "Knative"
        then = "exit" if exit_when_done else "stay"
        code = run_demo(Options(directory or usual_directory(mode), mode, then, reset))
    raise typer.Exit(code)
