"""`reconciler status`: where every model stands, the worst first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from reconciler.cli.present import (
    Cell,
    Column,
    ConfigOption,
    ExitCode,
    Format,
    FormatOption,
    Screen,
    Tone,
    command,
    finish,
)
from reconciler.cli.present import status as shown_status
from reconciler.status import SUSPENDED_IN_GIT

EXAMPLES = """\
\b
Examples:
  reconciler status                        every model, the worst first
  reconciler status iris diabetes          only these
  reconciler status --watch                again and again, until Ctrl-C
  reconciler status -o json | jq '.items[] | select(.health != "Healthy") | .name'
"""

Json = dict[str, Any]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="RECONCILER_URL", help="Of the service; default: the one that runs on this machine."),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="RECONCILER_TOKEN_FILE", help="File with your token; or set RECONCILER_TOKEN itself."
    ),
]
WATCH_SECONDS = 2.0
MOST_REASONS = 10

_WORST = ("Degraded", "Unknown", "Missing", "Progressing", "Suspended", "Healthy")


def status(
    models: Annotated[list[str] | None, typer.Argument(help="Only these models.")] = None,
    *,
    config: ConfigOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every 2 s, until Ctrl-C.")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show where every model stands: what Git wants, what is registered, what callers get.

    Exit code 0 when all are Synced and Healthy (or suspended with nothing held up), 2 when some are not, 1 when no
    service answers.
    """
    with command() as screen:
        from reconciler.cli.client import base_url, token_for  # noqa: PLC0415  pydantic and urllib: not for --help

        fetch = partial(_fetch, base_url(url, config), token_for(token_file, url, config), models)
        found = fetch()
        if watch:
            _watch(screen, fetch, output, found)
        else:
            _show(screen, found, output)
    finish(ExitCode.FINE if all(map(is_fine, found)) else ExitCode.FOUND)


def _fetch(address: str, token: str, models: Sequence[str] | None) -> list[Json]:
    from reconciler.cli.client import all_models, one_model, understood  # noqa: PLC0415  urllib: not for --help

    names = dict.fromkeys(models or ())
    found = [one_model(address, name, token) for name in names] if names else all_models(address, token)
    with understood(address):
        for model in found:
            check_shape(model)
        return sorted(found, key=_badness)


def check_shape(model: Json) -> None:
    """Touch everything of a status that is shown. Raises what `understood` explains when something is amiss."""
    for name in ("name", "git", "phase", "sync", "health"):
        if not isinstance(model[name], str):
            raise TypeError(f"{name} is no text")
    again = model["lookAgainAt"]
    if again and datetime.fromisoformat(again).tzinfo is None:
        raise ValueError("lookAgainAt has no zone")
    registry(model), live(model), why(model), needs_attention(model)


def _watch(screen: Screen, fetch: Callable[[], list[Json]], output: Format, found: list[Json]) -> None:
    """Show the status until Ctrl-C: on a terminal always anew, to a pipe when something changed."""
    try:
        _show(screen, found, output)
        while True:
            time.sleep(WATCH_SECONDS)
            newer = fetch()
            with command() as fresh:
                if fresh.watched:
                    fresh.out.clear()
                if fresh.watched or _moving(newer) != _moving(found):
                    _show(fresh, newer, output)
            found[:] = newer
    except KeyboardInterrupt:
        return


def _moving(found: list[Json]) -> list[Json]:
    """Return what is worth another line in a pipe: not that somebody looked again."""
    return [{key: value for key, value in model.items() if key not in ("updatedAt", "lookAgainAt")} for model in found]


def is_fine(model: Json) -> bool:
    """Return whether a model is as Git says, and well; one that is suspended while nothing is held up is."""
    at_rest = model["health"] == "Suspended" and not model["blockedBy"] and not model["waitsFor"]
    return bool(model["sync"] == "Synced" and (model["health"] == "Healthy" or at_rest))


def _badness(model: Json) -> tuple[int, bool, str]:
    health = model["health"]
    return (_WORST.index(health) if health in _WORST else 0, model["sync"] == "Synced", model["name"])


def _show(screen: Screen, found: list[Json], output: Format) -> None:
    if output is Format.JSON:
        screen.json({"items": found})
        return
    if not found:
        screen.say("No model is known yet. Is git.path right, and has the service read Git? /readyz says.")
        return
    columns = [Column("NAME"), Column("GIT"), Column("REGISTRY"), Column("LIVE"), Column("SYNC"), Column("HEALTH")]
    screen.table([*columns, Column("PHASE", wraps=True)], [_row(screen, model) for model in found])
    for line in _last_lines(found):
        screen.say(*line)


def _row(screen: Screen, model: Json) -> list[str | Cell]:
    state = [shown_status(model["sync"]), shown_status(model["health"])]
    return [model["name"], model["git"], registry(model), live(model), *state, _phase(screen, model)]


def registry(model: Json) -> str:
    """Write the versions worth knowing: those in a role, and those that were rejected."""
    found = [v for v in model["registry"] if v["note"] or v["role"] in ("Production", "Staging", "None")]
    shown = [f"{v['version']} {v['note'] or v['role']}" for v in found[:4]]
    return ", ".join(shown) or "-"


def live(model: Json) -> str:
    """Write what callers get, and what was asked for where that is something else."""
    shares = []
    for share in model["live"]:
        if not share["percent"] and not share["setPercent"]:
            continue
        asked = share["setPercent"]
        wanted = f" (set {asked} %)" if asked is not None and asked != share["percent"] else ""
        version = share["revision"] if share["version"] is None else share["version"]
        shares.append(f"{version} {share['percent']} %{wanted}")
    return ", ".join(shares) or "-"


def _phase(screen: Screen, model: Json) -> str:
    again = looks_again(screen, model)
    if paused_by(model):
        return phase(model)
    if (step := model.get("step")) and step["heldUntil"] and not model["blockedBy"] and not needs_attention(model):
        follows = "promotion" if step["number"] == step["of"] else "next step"
        return f"{phase(model)}, {follows} {when(screen, step['heldUntil'])}"
    return f"{phase(model)}, looks again {again}" if again and model["phase"] != "Idle" else phase(model)


def looks_again(screen: Screen, model: Json) -> str:
    """Write when a model is looked at again; "" while an action is under way, which is followed by a look at once."""
    return "" if model.get("nextAction") else when(screen, model["lookAgainAt"])


def phase(model: Mapping[str, Any]) -> str:
    """Write what is being done with a model, in which step, and who paused it."""
    step, by = model.get("step"), paused_by(model)
    where = f"{model['phase']} {step['number']}/{step['of']}" if step else str(model["phase"])
    return f"{where}, paused by {by}" if by else where


def when(screen: Screen, text: str | None) -> str:
    """Write a time of the API as the screen shows times."""
    return screen.when(datetime.fromisoformat(text)) if text else ""


def why(model: Json) -> str:
    """Return the one sentence that says what is wrong with a model, or what it waits for."""
    failed = [str(v["why"]) for v in model["verdicts"] if v.get("kind") == "check" and v["verdict"] == "fail"]
    stalled = model["conditions"]["stalled"]
    reasons = [*failed, stalled["message"] if stalled["status"] == "True" else "", model["blockedBy"]]
    waits = f"waits for {model['waitsFor']}" if model["waitsFor"] else ""
    ready = str(model["conditions"]["ready"]["message"]).removeprefix("because ")
    return next(filter(None, [*reasons, waits, ready]), "no reason is given")


def paused_by(model: Mapping[str, Any]) -> str:
    """Return who paused a rollout that can be resumed, "" for nobody: after an abort the pause means nothing."""
    paused = next((str(each["actor"]) for each in model.get("orders", ()) if each["order"] == "pause"), "")
    return paused if any(each["order"] == "resume" for each in model.get("orderable", ())) else ""


def needs_attention(model: Json) -> bool:
    """Return whether a person should look at a model."""
    bad = model["health"] in ("Degraded", "Unknown") or bool(paused_by(model))
    return bad or model["conditions"]["stalled"]["status"] == "True"


def _last_lines(found: list[Json]) -> list[tuple[str | Cell, ...]]:
    """Return why some models are not well, the worst last; or how many are on their way."""
    bad = [model for model in found if needs_attention(model)]
    lines: list[tuple[str | Cell, ...]] = []
    if len(bad) > MOST_REASONS:
        lines.append((f"! and {len(bad) - MOST_REASONS} more",))
    for model in reversed(bad[:MOST_REASONS]):
        name = model["name"]
        lines.append(
            (Cell(f"! {name}: ", Tone.BAD), f"{why(model)}. ", Cell(f"reconciler explain {name}", Tone.MOVING))
        )
    return lines or [(_calm(found),)]


def _calm(found: list[Json]) -> str:
    moving = [model for model in found if not is_fine(model)]
    all_of_them = "1 model" if len(found) == 1 else f"{len(found)} models"
    suspended = [model["name"] for model in found if model["health"] == "Suspended"]
    if not moving and suspended:
        return f"{all_of_them}, Synced; {SUSPENDED_IN_GIT} of {', '.join(suspended)}"
    if not moving:
        return f"{all_of_them}, Synced and Healthy"
    first = moving[0]
    name = first["name"]
    return f"{len(moving)} of {all_of_them} on the way; {name}: {why(first)}. reconciler explain {name}"
