"""A ledger in a file or on a server of its own, entries for it, and a way to tamper with the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.audit.database import Database, open_database
from reconciler.audit.ledger import SqlLedger
from reconciler.ports import Entry, Moment, Result
from tests.audit.postgresql import Server, missing, running

BEGAN = datetime(2026, 8, 1, 12, tzinfo=UTC)

Tamper = Callable[..., None]


def note(number: int, **changes: object) -> Entry:
    """Return the entry with this number: one a minute, models taking turns."""
    entry = Entry(
        at=BEGAN + timedelta(minutes=number),
        moment=Moment.OUTCOME,
        model=("iris", "churn")[number % 2],
        action="ShiftTraffic",
        reason=f"step {number}",
        commit="4f2c1ab09d",
        author="Ana <ana@example.com>",
        result=Result.DONE,
        evidence={"samples": number},
        duration_ms=12,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def ledger(database: Database) -> SqlLedger:
    return SqlLedger(database, lambda value: value)


@pytest.fixture
def ten(ledger: SqlLedger) -> SqlLedger:
    for number in range(1, 11):
        ledger.append(note(number))
    return ledger


@pytest.fixture
def tamper(path: Path) -> Tamper:
    """Run statements on the file as somebody would who may write to it, its triggers dropped first."""

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                connection.execute(statement)

    return run


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    if why := missing():
        pytest.skip(why)
    with running() as made:
        yield made


@pytest.fixture
def postgres_url(server: Server, request: pytest.FixtureRequest) -> str:
    return server.new(f"t{abs(hash(request.node.nodeid))}")


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    database = open_database(postgres_url)
    yield database
    database.close()


@pytest.fixture
def on_postgres(postgres: Database) -> SqlLedger:
    return SqlLedger(postgres, lambda value: value)
