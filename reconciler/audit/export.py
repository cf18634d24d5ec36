"""The ledger for other programs: JSON lines that can be verified again, and CSV for spreadsheets. Pure, streaming."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.audit.chain import Link
from reconciler.audit.record import canonical

CSV_COLUMNS = (
    "seq", "at", "moment", "model", "action", "result", "reason", "commit", "author", "attemptOf", "durationMs",
    "before", "after", "evidence", "previous", "hash",
)  # fmt: skip


def json_lines(links: Iterable[Link]) -> Iterator[str]:
    """Yield one line an entry: the sealed text as it stands, with its hash as the last key."""
    for link in links:
        yield f'{link.body[:-1]},"hash":"{link.hash}"}}\n'


def csv_lines(links: Iterable[Link]) -> Iterator[str]:
    """Yield a header and one row an entry; no cell is taken for a formula."""
    yield _row(CSV_COLUMNS)
    for link in links:
        sealed = json.loads(link.body)
        fields = {**sealed["entry"], "seq": link.seq, "previous": sealed["previous"], "hash": link.hash}
        yield _row(_cell(fields.get(name)) for name in CSV_COLUMNS)


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case Mapping() | list():
            return canonical(value)
        case _:
            return guard(str(value))


# Excel, LibreOffice and Google Sheets evaluate a cell that begins so, some after white space, some in full width.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guard(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    begins = text.lstrip()
    risky = begins.startswith(_FORMULA) or text[:1] in ("\t", "\r", "\n")
    return "'" + text if risky else text
