"""`reconciler run`: the service."""

from __future__ import annotations

import os

import typer

from reconciler.cli.present import ConfigOption, command

EXAMPLES = """\
\b
Examples:
  reconciler run -c settings.yaml
  RECONCILER_GIT__URL=https://git.example.com/models.git reconciler run
"""


def run(config: ConfigOption = None) -> None:
    """Keep every model as Git says, until it is told to stop.

    SIGTERM and Ctrl-C let actions that have begun come to an end; a second one ends at once. Logs go to stderr;
    `reconciler status` shows where every model stands.
    """
    with command():
        from reconciler.bootstrap import run_service  # noqa: PLC0415  every client library
        from reconciler.settings import load_settings  # noqa: PLC0415  pydantic: not for --help

        code = run_service(load_settings(config, os.environ))
    raise typer.Exit(code)
