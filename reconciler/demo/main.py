"""Run the demo: start the stack, tell both stories, check their end, and go on until Ctrl-C."""

from __future__ import annotations

import fcntl
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from reconciler.audit.database import open_for_reading
from reconciler.audit.ledger import LedgerReader
from reconciler.demo.checks import CANDIDATE, Check, end_checks
from reconciler.demo.ending import verdict, where_to_look
from reconciler.demo.load import Caller, Seen, caller_of, load
from reconciler.demo.repository import Mode
from reconciler.demo.stack import Folders, Stack, running_stack
from reconciler.demo.story import CHAPTERS, Statuses, Story
from reconciler.demo.view import Picture, View, open_view
from reconciler.errors import Refused, Terminal

TICK = 0.25
STORY_SECONDS = 600.0
MOST_CALLS_BEFORE_CHECKS = 25
MARK = ".model-reconciler-demo"


@dataclass(frozen=True, slots=True)
class Options:
    """Where the demo lives, what it does (`then` is "exit" or "stay"), and in which of KServe's modes."""

    directory: Path
    mode: Mode
    then: str
    reset: bool


def run_demo(options: Options) -> int:
    """Run the demo; return 0 when every end state was as it must be."""
    console = Console(highlight=False)
    root = options.directory.resolve()
    started = time.monotonic()
    with _alone(root):
        if options.reset:
            reset(root)
        keep_mode(root, options.mode)
        known = _newest_entry(root)
        with (
            _interruptible(),
            open_view(console) as view,
            running_stack(root, options.mode, view.say) as stack,
            load(stack.ingress_url, _callers(stack)) as seen,
            _watcher(stack, view, seen, known, started) as watcher,
        ):
            checks = _tell(stack, watcher)
            _report(console, view, checks, stack, options)
            if options.then == "stay":
                _stay(watcher)
    return 0 if all(check.holds for check in checks) else 1


def _callers(stack: Stack) -> tuple[Caller, ...]:
    repository = stack.folders.repository
    return (
        caller_of(repository, CANDIDATE, per_second=45, tolerance=0.0),
        caller_of(repository, "diabetes", per_second=5, tolerance=0.25),
    )


def reset(root: Path) -> None:
    """Remove what an earlier demo left; the folder is known to be a demo's and nobody else's at this moment."""
    for left in root.iterdir():
        if left.name == MARK:
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the folder for this demo alone. Raises Refused when another runs in it, or when no demo made it."""
    if root.exists() and any(root.iterdir()) and not (root / MARK).exists():
        raise Refused(f"{root} holds something else than a demo", help="choose another --dir")
    root.mkdir(parents=True, exist_ok=True)
    with (root / MARK).open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another demo runs in {root}", help="end that one, or choose another --dir") from None
        yield


def keep_mode(root: Path, mode: Mode) -> None:
    """Raise Refused where another mode was begun: KServe changes no service from one to the other."""
    folders = Folders(root)
    begun = folders.mode.read_text(encoding="utf-8") if folders.mode.exists() else "Knative"
    if folders.repository.exists() and begun != mode:
        raise Refused(f"{root} holds a demo in {begun} mode", help="choose another --dir, or begin anew with --reset")
    folders.mode.write_text(mode, encoding="utf-8")


def _newest_entry(root: Path) -> int:
    """Return the number of the last entry of an earlier demo: what it did is not told again."""
    ledger = Folders(root).ledger
    if not ledger.exists():
        return 0
    with closing(open_for_reading(f"sqlite:///{ledger}")) as database:
        newest = LedgerReader(database).entries(limit=1)
    return newest[-1].seq if newest else 0


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
    """Polls the reconciler's API and its ledger, and shows what it finds."""

    stack: Stack
    view: View
    seen: Mapping[str, Seen]
    client: httpx.Client
    ledger: LedgerReader
    told_to: int
    started: float

    def look(self) -> Statuses:
        """Look once and show it. Raises Terminal when the reconciler is gone."""
        statuses = self._statuses()
        for recorded in self.ledger.entries(after_seq=self.told_to):
            self.told_to = recorded.seq
            self.view.event(recorded)
        elapsed = timedelta(seconds=time.monotonic() - self.started)
        self.view.show(Picture(elapsed, statuses, self.seen))
        return statuses

    def _statuses(self) -> Statuses:
        if self.stack.reconciler.poll() is not None:
            log = self.stack.folders.logs / "reconciler.log"
            raise Terminal(f"the reconciler ended with code {self.stack.reconciler.returncode}", help=f"see {log}")
        try:
            answer: dict[str, Any] = self.client.get("/api/v1/models").raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return {model["name"]: model for model in answer["items"]}


@contextmanager
def _watcher(stack: Stack, view: View, seen: Mapping[str, Seen], told_to: int, started: float) -> Iterator[Watcher]:
    headers = {"authorization": f"Bearer {stack.folders.own_token.read_text(encoding='utf-8').strip()}"}
    with (
        closing(open_for_reading(f"sqlite:///{stack.folders.ledger}")) as database,
        httpx.Client(base_url=stack.reconciler_url, headers=headers, timeout=10, trust_env=False) as client,
    ):
        yield Watcher(stack, view, seen, client, LedgerReader(database), told_to, started)


def _tell(stack: Stack, watcher: Watcher) -> tuple[Check, ...]:
    """Tell the story to its end, then check it. Raises Terminal when it takes far too long."""
    story = Story.open(stack.repository, stack.folders.root / "story.json")
    ends = time.monotonic() + STORY_SECONDS
    begun = ""
    spoilt_before: int | None = None
    while story.chapter is not None or not _called_enough(watcher.seen):
        chapter = story.chapter
        if chapter is not None and chapter.name != begun:
            begun = chapter.name
            if chapter.candidate_is_bad:
                spoilt_before = watcher.seen[CANDIDATE].bad
            watcher.view.say(chapter.title)
        statuses = watcher.look()
        story.advance(statuses)
        if time.monotonic() > ends:
            what = f"the chapter {begun or 'of callers'} did not end in time: {_where(statuses)}"
            raise Terminal(what, help=f"see {stack.folders.logs}")
        time.sleep(TICK)
    watcher.look()
    return end_checks(stack, watcher.seen, spoilt_before)


def _called_enough(seen: Mapping[str, Seen]) -> bool:
    return all(calls.sent >= MOST_CALLS_BEFORE_CHECKS for calls in seen.values())


def _where(statuses: Statuses) -> str:
    return "; ".join(f"{name} is in phase {s['phase']}, waits for {s['waitsFor']}" for name, s in statuses.items())


def _report(console: Console, view: View, checks: tuple[Check, ...], stack: Stack, options: Options) -> None:
    view.say("Both stories are told. The end states were checked in the systems themselves:")
    for check in checks:
        mark, style = ("✔", "green") if check.holds else ("✖", "bold red")
        console.print(Text.assemble((f"  {mark} ", style), check.what, (f"  {check.seen}", "dim")), soft_wrap=True)
    beyond = stack.repository.beyond(chapter.message for chapter in CHAPTERS)
    for line in (*where_to_look(stack, options), *verdict(checks, beyond, options)):
        console.print(Text(line), soft_wrap=True)


def _stay(watcher: Watcher) -> None:
    try:
        while True:
            watcher.look()
            time.sleep(TICK)
    except KeyboardInterrupt:
        watcher.view.say("Stopping; the next demo goes on from here")
