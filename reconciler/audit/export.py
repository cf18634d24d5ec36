"""The ledger for other programs: JSON lines that can be verified again, and CSV for spreadsheets. Pure, streaming."""

from __future__ import annotations

import csv
import io
import json
import re
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
        # What we sealed is ASCII; a body that somebody else wrote must not steer a terminal or begin a second line.
        yield f'{escaped(link.body[:-1])},"hash":"{escaped(link.hash)}"}}\n'


def csv_lines(links: Iterable[Link]) -> Iterator[str]:
    """Yield a header and one row an entry; no cell is taken for a formula."""
    yield _row(CSV_COLUMNS)
    for link in links:
        fields = {**_sealed(link), "seq": link.seq, "hash": link.hash}
        yield _row(_cell(fields.get(name)) for name in CSV_COLUMNS)


def _sealed(link: Link) -> dict[str, Any]:
    """Return the entry and what it follows; of a body that is no entry, the text where the reason would stand."""
    try:
        sealed = json.loads(link.body)
        return {**sealed["entry"], "previous": sealed["previous"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"reason": f"no sealed entry: {link.body[:200]}"}


_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\U0010ffff]")
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def escaped(text: str, unsafe: re.Pattern[str] = _NOT_PRINTED) -> str:
    """Write characters as JSON's escapes, by default all but printable ASCII."""
    return unsafe.sub(lambda found: json.dumps(found[0])[1:-1].replace("\x7f", "\\u007f"), text)


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
            return guard(escaped(str(value), _UNSAFE))


# Excel, LibreOffice and Google Sheets evaluate a cell that begins so, some after white space, some in full width.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def guard(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    begins = text.lstrip()
    risky = begins.startswith(_FORMULA) or text[:1] in ("\t", "\r", "\n")
    return "'" + text if risky else text
