"""`reconciler audit`: read, verify and export the ledger."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    rfc3339,
    status,
    to_json,
)
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.audit.chain import Anchor, Verification
    from reconciler.audit.ledger import LedgerReader
    from reconciler.audit.selection import Selection
    from reconciler.ports import Recorded

app = typer.Typer(
    name="audit",
    no_args_is_help=True,
    help="Read, verify and export the ledger: what was done, when, why and on what evidence.",
)

_TIME_HELP = "2026-08-20T09:31Z, 2026-08-20, or how long ago: 90s, 10m, 2h, 7d."
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")]
ActionOption = Annotated[list[str] | None, typer.Option("--action", "-a", help="Only this action; may be repeated.")]
SinceOption = Annotated[str | None, typer.Option(help=f"From this time on: {_TIME_HELP}")]
UntilOption = Annotated[str | None, typer.Option(help=f"Before this time: {_TIME_HELP}")]


class ExportFormat(StrEnum):
    """What an export is written as."""

    JSON = "json"
    CSV = "csv"


@contextmanager
def open_ledger(config: Path | None) -> Iterator[LedgerReader]:
    """Open the ledger that the settings name, for reading."""
    from reconciler.audit.database import open_for_reading  # noqa: PLC0415  SQLAlchemy: not for --help
    from reconciler.audit.ledger import LedgerReader  # noqa: PLC0415  SQLAlchemy: not for --help
    from reconciler.settings import load_settings  # noqa: PLC0415  pydantic: not for --help

    database = open_for_reading(load_settings(config, os.environ).database_url)
    try:
        yield LedgerReader(database)
    finally:
        database.close()


def record_to_json(record: Recorded) -> dict[str, Any]:
    """Return an entry in the shape that an export has."""
    from reconciler.audit.record import entry_to_json  # noqa: PLC0415  pydantic: not for --help

    entry = entry_to_json(record.entry)
    return {"entry": entry, "previous": record.previous, "seq": record.seq, "hash": record.hash}


@app.command("list")
def list_entries(
    *,
    config: ConfigOption = None,
    model: ModelOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="The newest so many.")] = 50,
    output: FormatOption = Format.TEXT,
) -> None:
    """List entries, the newest last.

    Example: reconciler audit list --model iris --action Promote --since 30d
    """
    with command() as screen:
        wanted = _selection(screen.now, model, action, since, until)
        with open_ledger(config) as ledger:
            found = ledger.entries(
                model=wanted.model, actions=wanted.actions, since=wanted.since, until=wanted.until, limit=limit
            )
        if output is Format.JSON:
            screen.json([record_to_json(record) for record in found])
            return
        _list(screen, found)
        if len(found) == limit:
            screen.note(f"The newest {limit}; more with --limit, all with `reconciler audit export`.")


def _list(screen: Screen, found: Sequence[Recorded]) -> None:
    if not found:
        screen.note("No entry matches.")
        return
    columns = [Column("SEQ", right=True), Column("WHEN"), Column("MOMENT"), Column("MODEL"), Column("ACTION")]
    columns += [Column("RESULT"), Column("BY"), Column("REASON", wraps=True)]
    screen.table(columns, [_row(screen, record) for record in found])


def _row(screen: Screen, record: Recorded) -> list[str | Cell]:
    entry = record.entry
    ended = status(entry.result.value) if entry.moment.value == "outcome" else ""
    by = entry.author.split(" <")[0]
    when = screen.date(entry.at)
    return [str(record.seq), when, entry.moment.value, entry.model, entry.action, ended, by, entry.reason]


@app.command("show")
def show_entry(
    seq: Annotated[int, typer.Argument(min=1, help="The entry's number.")],
    config: ConfigOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show one entry in full: its reason, what was seen, before and after."""
    with command() as screen:
        with open_ledger(config) as ledger:
            record = ledger.get(seq)
            if record is None:
                raise Refused(f"the ledger has no entry {seq}", help="`reconciler audit list` shows the newest")
            ended = _outcome(ledger, record)
        if output is Format.JSON:
            screen.json(record_to_json(record))
        else:
            _show(screen, record, ended)


def _outcome(ledger: LedgerReader, record: Recorded) -> Recorded | None:
    from reconciler.audit.selection import Selection  # noqa: PLC0415  pydantic: not for --help

    if record.entry.moment.value != "intent":
        return None
    later = ledger.stream(Selection(model=record.entry.model, actions=(record.entry.action,), after_seq=record.seq))
    return next((other for other in later if other.entry.attempt_of == record.seq), None)


def _show(screen: Screen, record: Recorded, ended: Recorded | None) -> None:
    entry = record.entry
    took = "" if entry.duration_ms is None else f"{entry.duration_ms} ms"
    facts = {
        "Entry": f"{record.seq} ({entry.moment.value})",
        "When": rfc3339(entry.at),
        "Model": entry.model,
        "Action": entry.action,
        "Reason": entry.reason,
        "Result": entry.result.value if entry.moment.value != "intent" else "",
        "Took": took,
        "Commit": entry.commit,
        "Author": entry.author,
        "Outcome of": "" if entry.attempt_of is None else f"entry {entry.attempt_of}",
        "Ended": "" if ended is None else f"entry {ended.seq}: {ended.entry.result.value}, {ended.entry.reason}",
    }
    for name, value in facts.items():
        if value:
            screen.say(Cell(f"{name:<11}", Tone.FAINT), value)
    for name, seen in (("Evidence", entry.evidence), ("Before", entry.before), ("After", entry.after)):
        if seen:
            screen.say(Cell(name, Tone.FAINT))
            screen.say("\n".join("  " + line for line in to_json(seen).splitlines()))
    screen.say(Cell(f"{'Previous':<11}", Tone.FAINT), record.previous)
    screen.say(Cell(f"{'Hash':<11}", Tone.FAINT), record.hash)


@app.command("verify")
def verify_chain(
    config: ConfigOption = None,
    since: SinceOption = None,
    anchor: Annotated[
        list[str] | None, typer.Option(help="SEQ:HASH, noted earlier outside the database; may be repeated.")
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Verify that no entry was edited, removed, inserted or reordered, and say what that does not cover.

    Exit code 0 when the ledger is valid, 2 when it is not.

    Keep the printed head somewhere else, and hand it back with --anchor: only that shows a rewritten end.
    """
    with command() as screen:
        anchors = [_anchor(text) for text in anchor or ()]
        begin = _when(since, screen.now)
        with open_ledger(config) as ledger:
            verification = ledger.verify(since=begin, anchors=anchors)
        if output is Format.JSON:
            screen.json(verification_to_json(verification))
        else:
            _report(screen, verification, begin)
    finish(ExitCode.FINE if verification.ok else ExitCode.FOUND)


def verification_to_json(verification: Verification) -> dict[str, Any]:
    """Return what a verifier found, in the schema of `audit verify -o json`."""
    v = verification
    return {
        "valid": v.ok,
        "first": v.first,
        "last": v.last,
        "entries": v.entries,
        "faulty": v.faulty,
        "problems": [{"what": p.wrong, "first": p.first, "last": p.last, "detail": p.detail} for p in v.problems],
        "moreProblems": v.more_problems,
        "head": v.head,
        "anchoredTo": v.covered_to,
        "notCovered": list(v.not_covered),
    }


def _report(screen: Screen, v: Verification, since: datetime | None) -> None:
    gaps = "" if any(p.wrong == "missing" for p in v.problems) else " without a gap"
    entries = f"{v.first}..{v.last}{gaps}, {v.entries - v.faulty} of {v.entries} entries valid"
    lines = {
        "Requested": f"{screen.date(since) if since else 'the beginning'} .. now",
        "Found": entries if v.entries else "no entries",
        "Anchored": f"to {v.covered_to}" if v.covered_to else "to nothing",
        "Head": f"{v.head.seq}:{v.head.hash}" if v.head else "none",
    }
    for name, value in lines.items():
        screen.say(Cell(f"{name:<12}", Tone.FAINT), value)
    for text in v.not_covered:
        screen.say(Cell(f"{'Not covered':<12}", Tone.FAINT), text)
    for problem in v.problems:
        screen.say(Cell("✖ ", Tone.BAD), str(problem))
    _judge(screen, v)


def _judge(screen: Screen, v: Verification) -> None:
    count = len(v.problems) + v.more_problems
    if not v.ok:
        hidden = f" ({v.more_problems} not shown)" if v.more_problems else ""
        screen.say(Cell(f"NOT VALID: {count} {'problem' if count == 1 else 'problems'}{hidden}", Tone.BAD))
        return
    screen.say(Cell(f"VALID to {v.covered_to}" if v.covered_to else "VALID, not anchored", Tone.GOOD))
    if v.head and v.head.seq > v.covered_to:
        screen.note(f"Note the head elsewhere; next time: reconciler audit verify --anchor {v.head.seq}:{v.head.hash}")


@app.command("export")
def export_entries(
    *,
    config: ConfigOption = None,
    model: ModelOption = None,
    action: ActionOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: Annotated[
        ExportFormat, typer.Option("--output", "-o", help="json (one entry a line, with its hash) or csv.")
    ] = ExportFormat.JSON,
) -> None:
    """Write entries to stdout as JSON lines or CSV, oldest first.

    Example: reconciler audit export --since 2026-07-01 -o csv > july.csv
    """
    from reconciler.audit.export import csv_lines, json_lines  # noqa: PLC0415  pydantic: not for --help

    with command() as screen, open_ledger(config) as ledger:
        links = ledger.links(_selection(screen.now, model, action, since, until))
        sys.stdout.writelines(csv_lines(links) if output is ExportFormat.CSV else json_lines(links))


def _selection(
    now: datetime, model: str | None, actions: list[str] | None, since: str | None, until: str | None
) -> Selection:
    from reconciler.audit.selection import Selection  # noqa: PLC0415  pydantic: not for --help

    return Selection(model, tuple(actions or ()), _when(since, now), _when(until, now))


def _when(text: str | None, now: datetime) -> datetime | None:
    from reconciler.audit.selection import parse_when  # noqa: PLC0415  pydantic: not for --help

    return None if text is None else parse_when(text, now)


def _anchor(text: str) -> Anchor:
    from reconciler.audit.chain import Anchor  # noqa: PLC0415  pydantic: not for --help

    seq, _, noted = text.partition(":")
    if not seq.isdigit() or len(noted) != 64:
        raise Refused(f"not an anchor: {text!r}", help="write SEQ:HASH, as `reconciler audit verify` printed the head")
    return Anchor(int(seq), noted.lower())
