"""What the demo says at its end: where everything is, what to try next, and last which end states do not hold."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.demo.checks import Check

if TYPE_CHECKING:
    from reconciler.demo.main import Options
    from reconciler.demo.repository import Mode
    from reconciler.demo.stack import Stack


def usual_directory(mode: Mode) -> Path:
    """Return where a demo in a mode lies if nobody says otherwise."""
    return Path(".demo-standard" if mode == "Standard" else ".demo")


def again(options: Options, *more: str) -> str:
    """Return the command that starts this demo again, in its mode and folder."""
    words = [*(["--standard"] if options.mode == "Standard" else []), *more]
    if options.directory.resolve() != usual_directory(options.mode).resolve():
        words += ["--dir", str(options.directory)]
    return "make demo" + (f" ARGS={shlex.quote(shlex.join(words))}" if words else "")


def where_to_look(stack: Stack, options: Options) -> Iterator[str]:
    """Say where everything is and what to try next; what needs the running stack only while it runs."""
    folders = stack.folders
    running = options.then == "stay"
    yield ""
    yield "Where to look"
    yield f"  specs in Git       {short(folders.repository)}"
    yield f"  logs               {short(folders.logs)}"
    if running:
        yield f"  MLflow             {stack.mlflow_url}"
        if stack.prometheus_url:
            yield f"  Prometheus         {stack.prometheus_url}"
        yield f"  reconciler         {stack.reconciler_url}/api/v1/models"
        yield f"  its token          {short(folders.own_token)} (`reconciler status` sends it; else a 401)"
        yield f"  cluster            kubectl --kubeconfig {short(folders.kubeconfig)} -n models get inferenceservices"
    yield "What to ask"
    for command in (*(("status", "explain iris") if running else ()), "history iris", "audit verify"):
        yield f"  {_reconciler()} {command} --config {short(folders.settings)}"
    if not running:
        yield f"The stack is stopped; `{again(options)}` starts it again from here, and keeps it running."
        return
    yield "What to try"
    yield f"  edit {short(folders.repository)}/models/iris.yaml: unit: mm -> unit: cm"
    yield f"  git -C {short(folders.repository)} commit -am 'Back to centimetres'"
    yield f"  {_reconciler()} pause iris --reason 'let me look' --config {short(folders.settings)}"
    yield f"and watch. Ctrl-C ends the demo; `{again(options)}` goes on from here."


def verdict(checks: Sequence[Check], beyond: Sequence[str], options: Options) -> Iterator[str]:
    """Say last how many end states hold, and which do not; `beyond` are the commits that no story made."""
    broken = [check for check in checks if not check.holds]
    yield ""
    if beyond:
        commits = "1 commit" if len(beyond) == 1 else f"{len(beyond)} commits"
        yield f"The repository has {commits} beyond the stories, the newest: {beyond[0]}."
        yield f"The end states are those of the stories alone; `{again(options, '--reset')}` tells them anew."
    if not broken:
        yield f"All {len(checks)} end states hold."
        return
    yield f"{len(broken)} of {len(checks)} end states {'does' if len(broken) == 1 else 'do'} not hold:"
    for check in broken:
        yield f"  ✖ {check.what}  {check.seen}"


def _reconciler() -> str:
    return short(Path(sys.executable).with_name("reconciler"))


def short(path: Path) -> str:
    """Write a path as seen from here, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
