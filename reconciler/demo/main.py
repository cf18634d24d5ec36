"""Run the demo: start the stack, tell both stories, check their end, and go on until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from reconciler.audit.database import Database, open_for_reading
from reconciler.audit.ledger import LedgerReader
from reconciler.demo.checks import Check, end_checks
from reconciler.demo.load import Seen, caller_of, load
from reconciler.demo.stack import Stack, running_stack
from reconciler.demo.story import Statuses, Story
from reconciler.demo.view import Picture, View, open_view
from reconciler.errors import Refused, Terminal

TICK = 0.25
STORY_SECONDS = 600.0
MOST_CALLS_BEFORE_CHECKS = 25
MARK = ".model-reconciler-demo"


@dataclass(frozen=True, slots=True)
class Options:
    """Where the demo lives, and what it does: `then` is "exit" or "stay"."""

    directory: Path
    then: str
    reset: bool


def run_demo(options: Options) -> int:
    """Run the demo; return 0 when every end state was as it must be."""
    console = Console(highlight=False)
    root = options.directory.resolve()
    if options.reset:
        reset(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARK).touch()
    started = time.monotonic()
    with (
        _interruptible(),
        open_view(console) as view,
        running_stack(root, lambda what: view.say(f"Starting {what}")) as stack,
    ):
        callers = [
            caller_of(stack.folders.repository, "iris", per_second=20, tolerance=0.0),
            caller_of(stack.folders.repository, "diabetes", per_second=5, tolerance=0.25),
        ]
        with load(stack.ingress_url, callers) as seen:
            checks = _tell(stack, view, seen, started)
            _report(console, view, checks, stack, options)
            if options.then == "stay":
                _stay(stack, view, seen, started)
    return 0 if all(check.holds for check in checks) else 1


def reset(root: Path) -> None:
    """Remove what an earlier demo left. Raises Refused for a folder that no demo made."""
    if not root.exists():
        return
    if not (root / MARK).exists():
        raise Refused(f"{root} was not made by the demo, so it is not removed", help="choose another --dir")
    shutil.rmtree(root)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn SIGTERM into the exception that Ctrl-C raises, so that everything is stopped the same way."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(slots=True)
class Watcher:
    """Polls the reconciler's API and its ledger."""

    stack: Stack
    client: httpx.Client
    database: Database
    seen_to: int = 0

    def statuses(self) -> Statuses:
        """Return every model's status by name. Raises Terminal when the reconciler is gone."""
        if self.stack.reconciler.poll() is not None:
            log = self.stack.folders.logs / "reconciler.log"
            raise Terminal(f"the reconciler ended with code {self.stack.reconciler.returncode}", help=f"see {log}")
        try:
            answer: dict[str, Any] = self.client.get("/api/v1/models").raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return {model["name"]: model for model in answer["items"]}

    def tell_events(self, view: View) -> None:
        """Show what was recorded since the last time."""
        for recorded in LedgerReader(self.database).entries(after_seq=self.seen_to):
            self.seen_to = recorded.seq
            view.event(recorded)


@contextmanager
def _watcher(stack: Stack) -> Iterator[Watcher]:
    database = open_for_reading(f"sqlite:///{stack.folders.state / 'ledger.db'}")
    try:
        with httpx.Client(base_url=stack.reconciler_url, timeout=10, trust_env=False) as client:
            yield Watcher(stack, client, database)
    finally:
        database.close()


def _tell(stack: Stack, view: View, seen: Mapping[str, Seen], started: float) -> tuple[Check, ...]:
    """Tell the story to its end, then check it. Raises Terminal when it takes far too long."""
    story = Story.open(stack.repository, stack.folders.root / "story.json")
    ends = time.monotonic() + STORY_SECONDS
    begun = ""
    with _watcher(stack) as watcher:
        while story.chapter is not None or not _called_enough(seen):
            chapter = story.chapter
            if chapter is not None and chapter.name != begun:
                begun = chapter.name
                view.say(chapter.title)
            statuses = _look(watcher, view, seen, started)
            story.advance(statuses)
            if time.monotonic() > ends:
                name = chapter.name if chapter else "last"
                raise Terminal(
                    f"the {name} chapter did not end in time: {_where(statuses)}", help=f"see {stack.folders.logs}"
                )
            time.sleep(TICK)
        _look(watcher, view, seen, started)
    return end_checks(stack, seen)


def _look(watcher: Watcher, view: View, seen: Mapping[str, Seen], started: float) -> Statuses:
    statuses = watcher.statuses()
    watcher.tell_events(view)
    view.show(Picture(timedelta(seconds=time.monotonic() - started), "", statuses, seen))
    return statuses


def _called_enough(seen: Mapping[str, Seen]) -> bool:
    return all(calls.sent >= MOST_CALLS_BEFORE_CHECKS for calls in seen.values())


def _where(statuses: Statuses) -> str:
    return "; ".join(f"{name} is in phase {s['phase']}, waits for {s['waitsFor']}" for name, s in statuses.items())


def _report(console: Console, view: View, checks: tuple[Check, ...], stack: Stack, options: Options) -> None:
    view.say("Both stories are told. The end states were checked in the systems themselves:")
    for check in checks:
        mark, style = ("✔", "green") if check.holds else ("✖", "bold red")
        console.print(Text.assemble((f"  {mark} ", style), check.what, (f"  {check.seen}", "dim")), soft_wrap=True)
    for line in where_to_look(stack, options):
        console.print(Text(line), soft_wrap=True)


def where_to_look(stack: Stack, options: Options) -> Iterator[str]:
    """Say where everything is and what to try next."""
    folders = stack.folders
    config = f"--config {_short(folders.settings)}"
    yield ""
    yield "Where to look"
    yield f"  specs in Git       {_short(folders.repository)}"
    yield f"  MLflow             {stack.mlflow_url}"
    yield f"  reconciler         {stack.reconciler_url}/api/v1/models"
    yield f"  cluster            kubectl --kubeconfig {_short(folders.kubeconfig)} -n models get inferenceservices"
    yield f"  logs               {_short(folders.logs)}"
    yield "What to ask"
    for command in ("status", "explain iris", "history iris", "audit verify"):
        yield f"  {_reconciler()} {command} {config}"
    yield "What to try"
    yield f"  edit {_short(folders.repository)}/models/iris.yaml: unit: mm -> unit: cm"
    yield f"  git -C {_short(folders.repository)} commit -am 'Back to centimetres'"
    if options.then == "stay":
        yield "and watch. Ctrl-C ends the demo; the next one goes on from here."


def _reconciler() -> str:
    return _short(Path(sys.executable).with_name("reconciler"))


def _short(path: Path) -> str:
    """Write a path as seen from here, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _stay(stack: Stack, view: View, seen: Mapping[str, Seen], started: float) -> None:
    try:
        with _watcher(stack) as watcher:
            while True:
                _look(watcher, view, seen, started)
                time.sleep(TICK)
    except KeyboardInterrupt:
        view.say("Stopping; the next demo goes on from here")
