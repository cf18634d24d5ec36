"""`reconciler config`: every setting there is, what is in force, and whether it can be used."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.present import Cell, Column, ConfigOption, Format, FormatOption, Screen, Tone, command

if TYPE_CHECKING:
    from reconciler.cli.settings_table import Setting

EXAMPLES = """\
\b
Examples:
  reconciler config                              every setting with its default and its environment variable
  reconciler config show -c settings.yaml        what is in force, and where each value comes from
  reconciler config validate -c settings.yaml    can it be used?
  reconciler config -o markdown                  for documentation

\b
A settings file is YAML, nested as the names say; RECONCILER_... variables win over it:
  git: {url: https://git.example.com/models.git, token: {file: /run/secrets/git-token}}
  mlflow: {trackingUri: https://mlflow.example.com}
Secrets are never settings: a setting names the file or the environment variable that holds one.
"""

app = typer.Typer(
    name="config", epilog=EXAMPLES, help="List every setting; show and validate those in force.", rich_markup_mode=None
)


class ConfigFormat(StrEnum):
    """How the settings are listed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


@app.callback(invoke_without_command=True)
def list_settings(
    context: typer.Context,
    output: Annotated[
        ConfigFormat, typer.Option("--output", "-o", help="text, json, or markdown for documentation.")
    ] = ConfigFormat.TEXT,
) -> None:
    """List every setting with its type, default and environment variable; show and validate those in force."""
    if context.invoked_subcommand is not None:
        return
    with command() as screen:
        from reconciler.cli.settings_table import every_setting  # noqa: PLC0415  pydantic: not for --help

        settings = every_setting()
        match output:
            case ConfigFormat.JSON:
                screen.json([setting.as_json() for setting in settings])
            case ConfigFormat.MARKDOWN:
                _markdown(screen, settings)
            case ConfigFormat.TEXT:
                _text(screen, settings)


def _text(screen: Screen, settings: list[Setting]) -> None:
    columns = [Column("SETTING"), Column("TYPE", wraps=True), Column("DEFAULT"), Column("MEANING", wraps=True)]
    screen.table(columns, [[s.path, s.type, Cell(s.default, Tone.FAINT), s.description] for s in settings])
    example = next(s for s in settings if s.path == "mlflow.trackingUri")
    screen.note(f"As environment variable: {example.path} is {example.variable}. In force: `reconciler config show`.")


def _markdown(screen: Screen, settings: list[Setting]) -> None:
    lines = ["| Setting | Type | Default | Environment variable | Meaning |", "|---|---|---|---|---|"]
    for s in settings:
        cells = (f"`{s.path}`", s.type, f"`{s.default}`" if s.default else "", f"`{s.variable}`", s.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    screen.out.file.write("\n".join(lines) + "\n")


@app.command("show")
def show(config: ConfigOption = None, output: FormatOption = Format.TEXT) -> None:
    """Show the settings in force, and where each comes from. Secrets are never shown."""
    with command() as screen:
        from reconciler.cli.settings_table import effective  # noqa: PLC0415  pydantic: not for --help

        found = effective(config, os.environ)
        if output is Format.JSON:
            screen.json({setting.path: {"value": value, "from": origin} for setting, value, origin in found})
            return
        columns = [Column("SETTING"), Column("VALUE", wraps=True), Column("FROM")]
        rows: list[list[str | Cell]] = [
            [setting.path, value, Cell(origin, Tone.FAINT if origin == "default" else Tone.MOVING)]
            for setting, value, origin in found
        ]
        screen.table(columns, rows)


@app.command("validate")
def validate(config: ConfigOption = None) -> None:
    """Check that the settings can be used: names, values, and that the secrets they name can be read.

    Exit code 0 when they can, 1 when not.
    """
    with command() as screen:
        from reconciler.cli.settings_table import read_secrets  # noqa: PLC0415  pydantic: not for --help
        from reconciler.settings import load_settings  # noqa: PLC0415  pydantic: not for --help

        secrets = read_secrets(load_settings(config, os.environ))
        screen.say(
            Cell("✔ ", Tone.GOOD), f"the settings can be used, and every secret they name can be read ({secrets})"
        )
