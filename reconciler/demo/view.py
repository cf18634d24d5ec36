"""What the demo shows: on a terminal one live picture, in a pipe one line an event."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reconciler.cli.present import clean, one_line, span
from reconciler.cli.status import phase
from reconciler.demo.load import Seen
from reconciler.demo.verdicts import Verdicts
from reconciler.ports import Moment, Recorded, Result
from reconciler.status import timestamp

BAR = 30
EVENTS, FEWEST_EVENTS, SENTENCES = 9, 2, 6
# The title, and above and below the events.
FRAME = 4
GLYPHS = {"Healthy": "✔", "Progressing": "◌", "Degraded": "✖", "Suspended": "॥", "Missing": "∅", "Unknown": "?"}
STYLES = {"Healthy": "green", "Progressing": "cyan", "Degraded": "bold red"}


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is shown at one moment."""

    elapsed: timedelta
    statuses: Mapping[str, Mapping[str, Any]]
    seen: Mapping[str, Seen]


class View(Protocol):
    """Shows the demo."""

    def say(self, text: str) -> None:
        """Tell one sentence of the story."""

    def event(self, recorded: Recorded) -> None:
        """Show one entry of the ledger."""

    def show(self, picture: Picture) -> None:
        """Show the moment."""


@contextmanager
def open_view(console: Console) -> Iterator[View]:
    """Open the view that fits where the output goes."""
    if not console.is_terminal:
        yield LineView(console)
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield LiveView(live)


def describe_event(recorded: Recorded) -> str | None:
    """Say what an entry records, None for what is not worth a line."""
    entry = recorded.entry
    if entry.moment is Moment.INTENT and entry.action != "Analyse":
        return f"{entry.model}: {entry.action}, {one_line(entry.reason)}"
    if entry.result in (Result.FAILED, Result.UNKNOWN):
        return f"{entry.model}: {entry.action} {entry.result.value.lower()}: {one_line(entry.reason)}"
    return None


@dataclass(slots=True)
class LineView:
    """One line an event, for logs and CI."""

    console: Console
    verdicts: Verdicts = field(default_factory=Verdicts)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self.console.print(Text(f"== {clean(text)}"), soft_wrap=True)

    def event(self, recorded: Recorded) -> None:
        """Print an entry."""
        if text := self.verdicts.take(recorded.entry) or describe_event(recorded):
            self.console.print(Text(f"   {timestamp(recorded.entry.at)} {text}"), soft_wrap=True)

    def show(self, picture: Picture) -> None:
        """Print nothing: events tell enough."""


@dataclass(slots=True)
class LiveView:
    """The whole picture, redrawn in place."""

    live: Live
    sentences: deque[str] = field(default_factory=lambda: deque(maxlen=SENTENCES))
    events: deque[Text] = field(default_factory=lambda: deque(maxlen=EVENTS))
    verdicts: Verdicts = field(default_factory=Verdicts)

    def say(self, text: str) -> None:
        """Add a sentence to the story."""
        self.sentences.append(text)
        self.live.update(self._story(), refresh=True)

    def event(self, recorded: Recorded) -> None:
        """Add an entry to the log."""
        self.verdicts.take(recorded.entry)
        if text := describe_event(recorded):
            at = f"{recorded.entry.at:%H:%M:%S} "
            self.events.append(Text.assemble((at, "dim"), text, overflow="ellipsis", no_wrap=True))

    def show(self, picture: Picture) -> None:
        """Draw everything."""
        title = Text.assemble(("model-reconciler demo  ", "bold"), (span(picture.elapsed), "dim"))
        rest = Group(Text(), _table(picture.statuses), Text(), *_traffic(picture, self.verdicts), Text())
        room = self.live.console.height - len(self.live.console.render_lines(rest)) - FRAME
        story = max(1, min(SENTENCES, room - EVENTS))
        events = list(self.events)[-max(FEWEST_EVENTS, room - story) :]
        log = Group(*events) if events else Text("nothing yet", style="dim")
        panel = Panel(log, title="what it did, and why (the ledger)", title_align="left", border_style="dim")
        self.live.update(Group(title, self._story(story), rest, panel))

    def _story(self, most: int = SENTENCES) -> RenderableType:
        sentences = list(self.sentences)[-most:]
        lines = [Text(clean(s), style="dim") for s in sentences[:-1]]
        newest = [Text(f"▶ {clean(sentences[-1])}", style="bold")] if sentences else []
        return Group(*lines, *newest)


def _table(statuses: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for name in ("NAME", "REGISTRY", "SYNC", "HEALTH", "PHASE"):
        table.add_column(name, no_wrap=True)
    table.add_column("WAITS FOR", overflow="ellipsis", no_wrap=True, ratio=1)
    for name, status in sorted(statuses.items()):
        health = str(status["health"])
        waits = status["blockedBy"] or status["waitsFor"] or status["conditions"]["stalled"]["message"]
        table.add_row(
            one_line(name),
            _registry(status),
            str(status["sync"]),
            Text(f"{GLYPHS.get(health, '')} {health}", style=STYLES.get(health, "yellow")),
            phase(status),
            Text(one_line(str(waits)), style="dim"),
        )
    return table


def _registry(status: Mapping[str, Any]) -> str:
    words = [f"{v['version']} {v['note'] or v['role'].lower()}" for v in status["registry"]]
    return ", ".join(words[:4]) or "nothing"


def _traffic(picture: Picture, verdicts: Verdicts) -> Iterator[RenderableType]:
    for name, status in sorted(picture.statuses.items()):
        seen = picture.seen.get(name, Seen())
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
        for share in status["live"] or ():
            table.add_row(*_bar(share, seen))
        failed = Text(f"{seen.failed} failed", style="bold red" if seen.failed else "green")
        odd = f", {seen.unexpected} unexpected answers" if seen.unexpected else ""
        yield Text.assemble(
            (f"{one_line(name)}  ", "bold"), f"{seen.sent:,} requests, {seen.per_second:g} a second, ", failed, odd
        )
        yield table if status["live"] else Text("  nothing is served yet", style="dim")
        if checks := verdicts.table(name):
            yield checks


def _bar(share: Mapping[str, Any], seen: Seen) -> tuple[RenderableType, ...]:
    observed = seen.share(str(share["revision"]))
    filled = round(observed * BAR)
    asked = f"{share['percent']} %" if share["setPercent"] is None else f"set {share['setPercent']} %"
    bar = Text.assemble(("█" * filled, "cyan"), ("░" * (BAR - filled), "dim"))
    version = f"  version {share['version']}" if share["version"] else "  version ?"
    return Text(version), bar, Text(f"{asked}, callers see {observed:.0%}")
