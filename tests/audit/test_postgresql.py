"""The same ledger on a real PostgreSQL server, where one and its driver are installed."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from reconciler.audit.database import _MIGRATION_LOCK, Database, open_database, open_for_reading
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.memory import SqlMemory
from reconciler.errors import Transient
from reconciler.observed import Release, ReleaseRecord
from tests.audit.conftest import note
from tests.audit.test_memory import decode, desired, encode

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def test_entries_are_recorded_and_verified(on_postgres: SqlLedger, postgres_url: str) -> None:
    first = on_postgres.append(note(1, reason="näh\x00 \ud800"))
    second = on_postgres.append(note(2))
    assert on_postgres.entries() == [first, second]
    assert on_postgres.entries(model="iris", since=note(2).at, limit=5) == [second]
    assert on_postgres.verify().ok
    database = open_for_reading(postgres_url)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET model = 'x'",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "DELETE FROM ledger_head",
        "UPDATE ledger_head SET seq = 0",
    ],
)
def test_the_server_itself_refuses(on_postgres: SqlLedger, postgres: Database, statement: str) -> None:
    on_postgres.append(note(1))
    with pytest.raises(DBAPIError, match="the ledger"), postgres.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert on_postgres.verify().entries == 1


def test_writers_with_connections_of_their_own_never_fork_the_chain(postgres_url: str) -> None:
    """They open the empty database at once, too: each stands for a process."""
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait()
        database = open_database(postgres_url)
        for number in range(50):
            SqlLedger(database, lambda value: value).append(note(number))
        database.close()

    writers = [threading.Thread(target=work) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    database = open_database(postgres_url)
    verification = SqlLedger(database, lambda value: value).verify()
    database.close()
    assert verification.ok
    assert verification.entries == 200


def test_memory_survives(postgres: Database) -> None:
    memory, restarted = (SqlMemory(postgres, encode, decode) for _ in range(2))
    record = ReleaseRecord(Release(1, "aaaa"), "s3://models/1", {"predictor": {}})
    memory.remember([desired("iris"), desired("churn")])
    memory.remember([desired("iris", suspend=True)])
    memory.keep_release("iris", record)
    assert memory.claim("key", NOW)
    assert not restarted.claim("key", NOW)
    assert restarted.last_good()["iris"].spec.suspend
    assert restarted.releases("iris") == {record.release: record}
    memory.forget("iris")
    restarted.reload()
    assert list(restarted.last_good()) == ["churn"]


def test_a_server_that_does_not_answer_is_said_without_its_password() -> None:
    with pytest.raises(Transient) as caught:
        open_database("postgresql://raj:hunter2@127.0.0.1:1/ledger?connect_timeout=2")
    assert "hunter2" not in caught.value.message
    assert "database server" in caught.value.help


@pytest.mark.parametrize("limit", ["15s", "700ms"])
def test_a_statement_ends_when_the_address_says_or_in_time_anyway(postgres_url: str, limit: str) -> None:
    address = postgres_url if limit == "15s" else f"{postgres_url}&options=-c%20statement_timeout%3D{limit}"
    database = open_database(address)
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == limit
    database.close()


def test_what_another_session_holds_is_not_waited_for_and_nothing_is_lost(
    postgres: Database, on_postgres: SqlLedger, postgres_url: str
) -> None:
    first = on_postgres.append(note(1))
    hasty = open_database(f"{postgres_url}&options=-c%20statement_timeout%3D300ms")
    ledger = SqlLedger(hasty, lambda value: value)
    with postgres.engine.begin() as other:
        other.exec_driver_sql("SELECT 1 FROM ledger_head FOR UPDATE")
        with pytest.raises(Transient, match=r"cannot write the ledger in .*: canceling statement due to statement"):
            ledger.append(note(2))
        assert ledger.entries() == [first], "what only reads goes on"
    with postgres.engine.begin() as other:
        other.exec_driver_sql("LOCK TABLE ledger_entry")
        with pytest.raises(Transient, match="cannot read the ledger in ") as caught:
            ledger.entries()
    assert "pg_locks" in caught.value.help
    second = ledger.append(note(2))
    assert ledger.entries() == [first, second]
    assert ledger.verify().ok
    hasty.close()


def test_a_migration_that_another_process_never_ends_is_not_waited_for(postgres_url: str) -> None:
    hasty = f"{postgres_url}&options=-c%20statement_timeout%3D300ms"
    migrated = open_database(postgres_url)
    with migrated.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with migrated.engine.begin() as other:
        other.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        with pytest.raises(Transient, match="statement timeout"):
            open_database(hasty)
    migrated.close()


def test_a_server_that_accepts_and_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Transient, match=r"cannot read the ledger in .*timeout"):
            open_database(f"postgresql://raj@127.0.0.1:{port}/ledger?connect_timeout=2")
