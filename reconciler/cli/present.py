"""How every command speaks: data on stdout, messages on stderr, rich for people and plain for pipes.

Text that comes from outside (Git, MLflow, Kubernetes, the ledger) passes `clean` before it reaches a terminal; nothing
is ever read as rich markup. rich itself is imported when the first line is shown, so that `--help` stays quick.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, TextIO

import typer

from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from reconciler.desired.state import Diagnostic


class ExitCode(IntEnum):
    """What a command tells the script that called it."""

    FINE = 0
    COULD_NOT = 1
    FOUND = 2


class Format(StrEnum):
    """How a command writes its data."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--output", "-o", help="text for people, json for programs.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="RECONCILER_CONFIG", help="Settings file; see `reconciler config`."),
]


class Tone(StrEnum):
    """What a piece of text means; never the only carrier of it. The value is rich's style."""

    PLAIN = ""
    STRONG = "bold"
    FAINT = "dim"
    GOOD = "green"
    MOVING = "cyan"
    WARNING = "yellow"
    BAD = "bold red"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with a tone."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; on a narrow terminal one that `wraps` is broken between words, a list after its commas."""

    name: str
    right: bool = False
    wraps: bool = False


_STATUS = {
    "Healthy": ("✔ ", Tone.GOOD),
    "Progressing": ("◌ ", Tone.MOVING),
    "Degraded": ("✖ ", Tone.BAD),
    "Suspended": ("॥ ", Tone.WARNING),
    "Missing": ("∅ ", Tone.WARNING),
    "Unknown": ("? ", Tone.WARNING),
    "Synced": ("", Tone.PLAIN),
    "OutOfSync": ("", Tone.WARNING),
    "Done": ("", Tone.GOOD),
    "Failed": ("", Tone.BAD),
}


def status(word: str) -> Cell:
    """Return a status word with its glyph and tone."""
    glyph, tone = _STATUS.get(word, ("", Tone.PLAIN))
    return Cell(glyph + word, tone)


# Controls move the cursor, recolour or retitle a terminal; bidirectional marks reorder what is read; surrogates
# cannot be written at all.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def clean(text: str) -> str:
    r"""Make characters visible that would steer a terminal: ESC becomes \x1b. Line feeds and tabs stay."""
    return _UNSAFE.sub(lambda found: _visible(ord(found[0])), text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Clean a text and fold its white space, for a cell of a table."""
    return " ".join(clean(text).split())


def _visible(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def rfc3339(at: datetime) -> str:
    """Write a time in UTC, to the millisecond where it has such."""
    at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def span(length: timedelta) -> str:
    """Write a length of time in its largest unit, such as 4m or 3d."""
    seconds = max(0, int(length.total_seconds()))
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds // size}{unit}"


def relative(at: datetime, now: datetime) -> str:
    """Write a time as people read it: `2h ago`, `in 4m`, `now`."""
    if abs(at - now) < timedelta(seconds=1):
        return "now"
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def to_json(value: object) -> str:
    """Write a value as JSON for people and programs: dataclasses by field, times as RFC 3339, one stable order."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> Any:
    match value:
        case datetime():
            return rfc3339(value)
        case timedelta():
            return value.total_seconds()
        case set() | frozenset():
            return sorted(value)
        case Mapping():
            return dict(value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        case _:
            return str(value)


_NARROWEST = 24

Redact = Callable[[str], str]


class _Hiding:
    """A stream before which secrets are taken out."""

    def __init__(self, stream: IO[str], redact: Redact) -> None:
        self._stream = stream
        self._redact = redact

    def write(self, text: str) -> int:
        return self._stream.write(self._redact(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a command writes. `watched` tells whether a person looks at stdout."""

    out: Console
    err: Console
    now: datetime

    def hide(self, redact: Redact) -> None:
        """Let everything that is written from now on pass `redact`: what systems say may hold what they were sent."""
        for console in (self.out, self.err):
            console.file = _Hiding(console.file, redact)  # type: ignore[assignment]  # all but `write` is the stream's

    @property
    def watched(self) -> bool:
        """Return whether stdout is a terminal."""
        return self.out.is_terminal

    def say(self, *parts: str | Cell) -> None:
        """Write one line (or several) of data."""
        self.out.print(_text(parts), soft_wrap=True)

    def hang(self, head: str | Cell, *parts: str | Cell) -> None:
        """Write one line of data; on a terminal what does not fit goes on below, indented as far as `head` is wide."""
        first, rest = _text([head]), _text(parts)
        if not self.watched:
            self.out.print(first + rest, soft_wrap=True)
            return
        indent = first.cell_len
        for line in rest.wrap(self.out, max(_NARROWEST, self.out.width - indent)):
            line.rstrip()
            self.out.print(first + line, soft_wrap=True)
            first = _text([" " * indent])

    def note(self, *parts: str | Cell) -> None:
        """Write a message to stderr."""
        self.err.print(_text(parts), soft_wrap=True)

    def show(self, renderable: RenderableType) -> None:
        """Write anything of rich's that was built from cleaned text."""
        self.out.print(renderable)

    def json(self, value: object) -> None:
        """Write the data for programs."""
        self.out.file.write(to_json(value) + "\n")

    def when(self, at: datetime | None) -> str:
        """Write a time: relative for a person, RFC 3339 UTC for a pipe, nothing for none."""
        if at is None:
            return ""
        return relative(at, self.now) if self.watched else rfc3339(at)

    def date(self, at: datetime) -> str:
        """Write a date and time of day: to the minute, UTC, for a person; RFC 3339 UTC for a pipe."""
        return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if self.watched else rfc3339(at)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]]) -> None:
        """Write an aligned table. A pipe gets one line a row; a terminal what fits: no word or number is ever cut."""
        from reconciler.cli.tables import drawn, plain  # noqa: PLC0415  rich: only what is drawn

        cells = [[_cell(value) for value in row] for row in rows]
        if self.watched:
            for part in drawn(columns, cells, self.out.width):
                self.out.print(part)
            return
        for line in plain(columns, cells):
            self.out.file.write(line + "\n")

    def error(self, error: ReconcilerError) -> None:
        """Show an error with its code and what to do next, on stderr."""
        self.note(Cell(f"error[{_code(error)}]", Tone.BAD), Cell(f": {error.message}", Tone.STRONG))
        if error.help:
            self.note(Cell("help", Tone.GOOD), f": {error.help}")

    def diagnostic(self, problem: Diagnostic) -> None:
        """Show a problem in a file with its line and a marker, on stderr."""
        self.note(*diagnostic_parts(problem))


def _code(error: ReconcilerError) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()


def diagnostic_parts(problem: Diagnostic) -> list[str | Cell]:
    """Return a problem as compilers show it: code, sentence, place, line with a marker, help."""
    tone = Tone.BAD if problem.severity == "error" else Tone.WARNING
    parts: list[str | Cell] = [
        Cell(f"{problem.severity}[{problem.code}]", tone),
        Cell(f": {problem.message}\n", Tone.STRONG),
    ]
    place = ":".join([problem.path, *(str(n) for n in (problem.line, problem.column) if n)])
    gutter = " " * len(str(problem.line or 0))
    parts.append(f"{gutter}--> {place}\n")
    if problem.line and problem.source:
        # One character a column, so that the marker stands below what it means.
        source = problem.source.expandtabs(1)
        marker = " " * max(0, problem.column - 1) + "^" * max(1, problem.length)
        parts += [f"{gutter} |\n{problem.line} | {source}\n{gutter} | ", Cell(f"{marker}\n", tone)]
    if problem.help:
        parts += [Cell("help", Tone.GOOD), f": {problem.help}\n"]
    return parts


@contextmanager
def command() -> Iterator[Screen]:
    """Open the screen for one command; an error raised on purpose is shown and ends it with COULD_NOT."""
    screen = open_screen(sys.stdout, sys.stderr, os.environ, datetime.now(UTC))
    try:
        yield screen
    except ReconcilerError as error:
        screen.error(error)
        raise typer.Exit(ExitCode.COULD_NOT) from error


def finish(code: ExitCode) -> None:
    """End the command with this code."""
    if code is not ExitCode.FINE:
        raise typer.Exit(code)


def open_screen(out: TextIO, err: TextIO, environ: Mapping[str, str], now: datetime) -> Screen:
    """Return a screen on these two streams, honouring NO_COLOR, TERM=dumb and FORCE_COLOR."""
    return Screen(_console(out, environ), _console(err, environ), now)


def _console(stream: TextIO, environ: Mapping[str, str]) -> Console:
    from rich.console import Console  # noqa: PLC0415  40 ms that `--help` need not pay

    # A name that the terminal's encoding lacks must not end a command.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    bare = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return Console(
        file=stream,
        color_system=None if bare else "auto",
        highlight=False,
        markup=False,
        emoji=False,
        _environ=environ,
    )


def _cell(value: str | Cell) -> Cell:
    return Cell(one_line(value.text), value.tone) if isinstance(value, Cell) else Cell(one_line(value))


def _text(parts: Sequence[str | Cell]) -> Text:
    from rich.text import Text  # noqa: PLC0415  rich: only what is drawn

    text = Text()
    for part in parts:
        cell = part if isinstance(part, Cell) else Cell(part)
        text.append(clean(cell.text), style=cell.tone.value)
    return text
