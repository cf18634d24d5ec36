"""The ledger in SQL: entries are only ever added, each with the head in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from reconciler.audit.chain import START, Anchor, Head, Link, Verification, Verifier, seal
from reconciler.audit.database import Database
from reconciler.audit.record import entry_from_json, entry_to_json, format_time
from reconciler.audit.selection import Selection
from reconciler.audit.tables import entry as entries_table
from reconciler.audit.tables import head as head_table
from reconciler.errors import Terminal
from reconciler.ports import Entry, Recorded

Redact = Callable[[Any], Any]
Appended = Callable[[Entry], None]
"""Takes the secrets out of a JSON value."""

_PAGE = 500


class LedgerReader:
    """Reads the ledger; can change nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(
        self,
        *,
        model: str | None = None,
        actions: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = 0,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        """Return entries in order of their sequence number; with `limit`, the newest so many."""
        wanted = _where(Selection(model, tuple(actions), since, until, after_seq))
        query = sa.select(entries_table.c.seq, entries_table.c.hash, entries_table.c.body).where(*wanted)
        query = query.order_by(entries_table.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return [_recorded(seq, digest, body) for seq, digest, body in reversed(found)]

    def get(self, seq: int) -> Recorded | None:
        """Return one entry, None when there is no such."""
        query = sa.select(entries_table).where(entries_table.c.seq == seq)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _recorded(row.seq, row.hash, row.body)

    def stream(self, selection: Selection) -> Iterator[Recorded]:
        """Yield entries in order, in constant memory."""
        for link in self.links(selection):
            yield _recorded(link.seq, link.hash, link.body)

    def links(self, selection: Selection) -> Iterator[Link]:
        """Yield entries as they are stored, in order, in constant memory and short transactions."""
        for page, _ in self._pages(selection):
            yield from page

    def verify(self, *, since: datetime | None = None, anchors: Sequence[Anchor] = ()) -> Verification:
        """Verify the chain, from the first entry at or after `since` on, up to what is there now."""
        start = START if since is None else self._before(since)
        verifier = Verifier(start, anchors)
        newest = None
        for page, head in self._pages(Selection(after_seq=start.seq)):
            newest = head
            for link in page:
                verifier.step(link)
        return verifier.finish(newest)

    def _pages(self, selection: Selection) -> Iterator[tuple[list[Link], Head | None]]:
        """Yield entries by pages, each with the head of that moment: writers go on meanwhile."""
        after, wanted = selection.after_seq, _where(selection)
        query = sa.select(entries_table).order_by(entries_table.c.seq).limit(_PAGE)
        while True:
            with self._database.read() as connection:
                rows = connection.execute(query.where(*wanted, entries_table.c.seq > after)).all()
                head = _head(connection.execute(_SELECT_HEAD).one_or_none())
            yield [_link(row) for row in rows], head
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq

    def _before(self, since: datetime) -> Anchor:
        """Return the entry right before the first one at or after `since`."""
        columns = entries_table.c
        first = sa.select(sa.func.min(columns.seq)).where(columns.at >= format_time(since))
        with self._database.read() as connection:
            seq = connection.execute(first).scalar_one()
            wanted = [columns.seq < seq] if seq is not None else []
            before = sa.select(columns.seq, columns.hash).where(*wanted).order_by(columns.seq.desc()).limit(1)
            row = connection.execute(before).one_or_none()
        return START if row is None else Anchor(row.seq, row.hash)


class SqlLedger(LedgerReader):
    """The ledger's port on a database; `redact` is applied to every entry before it is hashed.

    `appended` is told each entry that was recorded, so that somebody can count them.
    """

    def __init__(self, database: Database, redact: Redact, appended: Appended = lambda _: None) -> None:
        super().__init__(database)
        self._redact = redact
        self._appended = appended

    def append(self, entry: Entry) -> Recorded:
        """Record an entry durably before returning. Raises Transient when it cannot: then nothing may be done."""
        value = self._redact(entry_to_json(entry))
        with self._database.write() as connection:
            head = _head_for_update(connection)
            link = seal(head.seq + 1, head.hash, value)
            connection.execute(entries_table.insert(), _row(link))
            moved = {"seq": link.seq, "hash": link.hash, "entries": head.entries + 1}
            connection.execute(head_table.update().where(head_table.c.id == 1), moved)
        self._appended(entry)
        return Recorded(link.seq, entry_from_json(value), head.hash, link.hash)


_SELECT_HEAD = sa.select(head_table.c.seq, head_table.c.hash, head_table.c.entries).where(head_table.c.id == 1)


def _head_for_update(connection: Connection) -> Head:
    # PostgreSQL lets the second writer wait here and then read anew; SQLite's lock was taken by BEGIN IMMEDIATE.
    head = _head(connection.execute(_SELECT_HEAD.with_for_update()).one_or_none())
    if head is None:
        raise Terminal(
            "the ledger has lost its head: nothing can be recorded after it",
            help="`reconciler audit verify` tells what is there; restore a backup, or name a new ledgerUrl",
        )
    return head


def _head(row: Any) -> Head | None:
    return None if row is None else Head(row.seq, row.hash, row.entries)


def _where(selection: Selection) -> list[sa.ColumnElement[bool]]:
    columns = entries_table.c
    wanted: list[sa.ColumnElement[bool]] = [columns.seq > selection.after_seq]
    if selection.model is not None:
        wanted.append(columns.model == selection.model)
    if selection.actions:
        wanted.append(columns.action.in_(selection.actions))
    if selection.since is not None:
        wanted.append(columns.at >= format_time(selection.since))
    if selection.until is not None:
        wanted.append(columns.at < format_time(selection.until))
    return wanted


def _row(link: Link) -> dict[str, Any]:
    return {"seq": link.seq, "hash": link.hash, "body": link.body, **link.indexed}


def _link(row: Any) -> Link:
    return Link(row.seq, row.hash, row.body, {"at": row.at, "model": row.model, "action": row.action})


def _recorded(seq: int, digest: str, body: str) -> Recorded:
    try:
        sealed = json.loads(body)
        return Recorded(seq, entry_from_json(sealed["entry"]), sealed["previous"], digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Terminal(f"entry {seq} of the ledger cannot be read", help="`reconciler audit verify`") from error
