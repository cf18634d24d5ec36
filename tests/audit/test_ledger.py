"""The ledger records durably, never forks, and refuses to be changed."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from reconciler.audit.database import Database, open_database
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.selection import Selection
from reconciler.errors import Transient
from reconciler.ports import Entry, Moment, Result
from tests.audit.conftest import BEGAN, Tamper, note

SPAWN = multiprocessing.get_context("spawn")


def test_what_is_appended_comes_back_as_it_was(ledger: SqlLedger) -> None:
    intent = Entry(BEGAN, Moment.INTENT, "iris", "Promote", "it passed", "4f2c1ab", "Ana <ana@example.com>")
    first = ledger.append(intent)
    second = ledger.append(note(2, attempt_of=first.seq, result=Result.FAILED, before={"a": [1, None, "é\x00"]}))
    assert (first.seq, second.seq, second.previous) == (1, 2, first.hash)
    assert ledger.entries() == [first, second]
    assert first.entry == intent
    assert second.entry.before == {"a": [1, None, "é\x00"]}
    assert ledger.get(2) == second
    assert ledger.get(3) is None


def test_metrics_that_json_lacks_are_recorded_as_words(ledger: SqlLedger) -> None:
    kept = ledger.append(note(1, evidence={"m": [math.nan, math.inf, -math.inf, 0.1]}))
    assert kept.entry.evidence == {"m": ["NaN", "Infinity", "-Infinity", 0.1]}
    assert ledger.verify().ok


def test_a_time_is_kept_in_utc_and_one_without_a_zone_is_refused(ledger: SqlLedger) -> None:
    kept = ledger.append(note(1, at=datetime(2026, 8, 1, 14, tzinfo=timezone(timedelta(hours=2)))))
    assert kept.entry.at == datetime(2026, 8, 1, 12, tzinfo=UTC)
    with pytest.raises(ValueError, match="needs a zone"):
        ledger.append(note(1, at=datetime(2026, 8, 1)))  # noqa: DTZ001  the very case
    assert len(ledger.entries()) == 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param(Selection(), list(range(1, 11)), id="everything"),
        pytest.param(Selection(model="iris"), [2, 4, 6, 8, 10], id="one model"),
        pytest.param(Selection(model="other"), [], id="a model that nobody knows"),
        pytest.param(Selection(actions=("ShiftTraffic",)), list(range(1, 11)), id="an action"),
        pytest.param(Selection(actions=("Promote", "Deploy")), [], id="other actions"),
        pytest.param(Selection(since=note(8).at), [8, 9, 10], id="from a time on, that time included"),
        pytest.param(Selection(until=note(3).at), [1, 2], id="before a time, that time excluded"),
        pytest.param(Selection(after_seq=8), [9, 10], id="after a number"),
        pytest.param(Selection("iris", (), note(3).at, note(8).at), [4, 6], id="a model within a time"),
    ],
)
def test_filters(ten: SqlLedger, wanted: Selection, found: list[int]) -> None:
    assert [record.seq for record in ten.stream(wanted)] == found
    listed = ten.entries(
        model=wanted.model,
        actions=wanted.actions,
        since=wanted.since,
        until=wanted.until,
        after_seq=wanted.after_seq,
    )
    assert [record.seq for record in listed] == found


def test_a_limit_keeps_the_newest_in_order(ten: SqlLedger) -> None:
    assert [record.seq for record in ten.entries(model="iris", limit=2)] == [8, 10]


def test_reading_by_pages_loses_nothing(ledger: SqlLedger) -> None:
    for number in range(1, 1002):
        ledger.append(note(number))
    assert [link.seq for link in ledger.links(Selection())] == list(range(1, 1002))
    assert ledger.verify().entries == 1001


def test_entries_are_redacted_before_they_are_hashed(database: Database, path: Path) -> None:
    def redact(value: dict[str, object]) -> dict[str, object]:
        return {**value, "reason": "***"}

    ledger = SqlLedger(database, redact)
    assert ledger.append(note(1, reason="hunter2")).entry.reason == "***"
    assert ledger.verify().ok
    database.close()
    assert b"hunter2" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.usefixtures("ten")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET model = 'x' WHERE seq = 3",
        "DELETE FROM ledger_entry WHERE seq = 10",
        "DELETE FROM ledger_head",
        "UPDATE ledger_head SET seq = 9",
        "UPDATE ledger_head SET hash = 'x'",
    ],
)
def test_the_database_itself_refuses(statement: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="the ledger"):
        connection.execute(statement)


def test_nothing_can_be_recorded_after_the_head_is_lost(ten: SqlLedger, tamper: Tamper) -> None:
    tamper("DELETE FROM ledger_head")
    with pytest.raises(Exception, match="lost its head"):
        ten.append(note(11))
    assert len(ten.entries()) == 10


def _append_many(url: str, count: int, gate: object) -> None:
    database = open_database(url)
    ledger = SqlLedger(database, lambda value: value)
    gate.wait()  # type: ignore[attr-defined]  # a multiprocessing.Barrier, which has no public class
    for number in range(count):
        ledger.append(note(number, author=str(os.getpid())))
    database.close()


def test_two_processes_that_append_at_once_never_fork_the_chain(path: Path) -> None:
    """Both open the missing database at the same time, too."""
    url = f"sqlite:///{path}"
    gate = SPAWN.Barrier(2)
    writers = [SPAWN.Process(target=_append_many, args=(url, 150, gate)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    database = open_database(url)
    ledger = SqlLedger(database, lambda value: value)
    verification = ledger.verify()
    authors = [record.entry.author for record in ledger.entries()]
    database.close()
    assert verification.ok
    assert verification.entries == 300
    assert {authors.count(author) for author in authors} == {150}


def _append_and_tell(url: str, told: int) -> None:
    ledger = SqlLedger(open_database(url), lambda value: value)
    for number in range(10_000):
        recorded = ledger.append(note(number))
        os.write(told, recorded.seq.to_bytes(8, "big"))


def test_a_process_killed_between_or_inside_appends_loses_nothing_that_it_was_told(path: Path) -> None:
    url = f"sqlite:///{path}"
    open_database(url).close()
    acknowledged = 0
    for kill_after in range(1, 31):
        acknowledged = _killed_after(url, kill_after)
        database = open_database(url)
        verification = SqlLedger(database, lambda value: value).verify()
        database.close()
        assert verification.ok, verification.problems
        assert verification.last - acknowledged in (0, 1)
    assert acknowledged > 30


def _killed_after(url: str, appends: int) -> int:
    """Fork a writer, kill it once it told of so many appends, return the last number that it told of."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _append_and_tell(url, writing)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb", buffering=0) as told:
            for _ in range(appends):
                last = told.read(8)
            os.kill(child, signal.SIGKILL)
            while more := told.read(8):
                last = more
    finally:
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return int.from_bytes(last, "big")


def _fill(ledger: SqlLedger) -> None:
    for number in range(1_000):
        ledger.append(note(number, evidence={"blob": "x" * 4_000}))


def test_a_full_disk_is_said_and_leaves_the_ledger_whole(ledger: SqlLedger, database: Database) -> None:
    """SQLite's own page limit gives the very error that a full disk gives."""
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(Transient, match="database or disk is full") as caught:
        _fill(ledger)
    assert "free space" in caught.value.help
    assert "INSERT" not in caught.value.message
    assert ledger.verify().ok
    recorded = len(ledger.entries())
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    assert ledger.append(note(1)).seq == recorded + 1


def test_a_locked_ledger_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.audit.database.BUSY_TIMEOUT_SECONDS", 0.1)
    database = open_database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="database is locked") as caught:
            SqlLedger(database, lambda value: value).append(note(1))
    database.close()
    assert "another process" in caught.value.help


def test_readers_do_not_wait_for_a_writer(ten: SqlLedger, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert len(ten.entries()) == 10
        assert ten.verify().ok
