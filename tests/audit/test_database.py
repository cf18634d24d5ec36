"""Opening: migrations run once, never backwards; errors say what to do and show no secret."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from reconciler.audit import tables
from reconciler.audit.database import Database, open_database, open_for_reading, revision_of
from reconciler.audit.migrations.versions import revision_0002
from reconciler.errors import ReconcilerError, SettingsError, Transient

SPAWN = multiprocessing.get_context("spawn")


def test_migrating_makes_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.read() as connection:
        assert revision_of(connection) == tables.REVISION == revision_0002.revision
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_the_database_is_durable_and_lets_readers_by(database: Database) -> None:
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def _open(url: str, gate: object) -> None:
    gate.wait()  # type: ignore[attr-defined]  # a multiprocessing.Barrier, which has no public class
    open_database(url).close()


def test_processes_that_start_together_migrate_once(path: Path) -> None:
    gate = SPAWN.Barrier(3)
    openers = [SPAWN.Process(target=_open, args=(f"sqlite:///{path}", gate)) for _ in range(3)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(120)
    assert [opener.exitcode for opener in openers] == [0, 0, 0]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM ledger_head").fetchone() == (1,)


@pytest.mark.parametrize("version", ["0003", "a-strange-one"])
def test_a_newer_or_strange_database_is_refused(version: str, path: Path) -> None:
    url = f"sqlite:///{path}"
    open_database(url).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    for opening in (open_database, open_for_reading):
        with pytest.raises(SettingsError, match=f"version {version}, this program knows 0002") as caught:
            opening(url)
        assert "newer" in caught.value.help


def test_alembic_is_loaded_only_where_there_is_something_to_migrate(path: Path) -> None:
    program = (
        "import json, sys; from reconciler.audit.database import open_database;"
        f"open_database('sqlite:///{path}').close(); print(json.dumps('alembic' in sys.modules))"
    )
    loaded = [
        json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
        for _ in range(2)
    ]
    assert loaded == [True, False]


def test_reading_creates_nothing(path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no ledger at") as caught:
        open_for_reading(f"sqlite:///{path}")
    assert "reconciler run" in caught.value.help
    assert not path.exists()


def test_an_empty_file_holds_no_ledger(path: Path) -> None:
    path.touch()
    with pytest.raises(SettingsError, match="there is no ledger in"):
        open_for_reading(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("nonsense", "no database address", id="nonsense"),
        pytest.param("oracle2://host/db", "no database address", id="an unknown database"),
        pytest.param("mysql://host/db", "cannot hold the ledger", id="a database that cannot hold the ledger"),
        pytest.param("sqlite://", "needs a file", id="SQLite in memory"),
        pytest.param("sqlite:///:memory:", "needs a file", id="SQLite in memory by name"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_an_example(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        open_database(url)
    assert "sqlite:///" in caught.value.help


def test_no_password_of_an_address_is_ever_shown() -> None:
    url = "postgresql://raj:hunter2@127.0.0.1:1/db?password=hunter3&connect_timeout=2"
    with pytest.raises(ReconcilerError) as caught:
        open_database(url)
    shown = caught.value.message + caught.value.help
    assert "hunter" not in shown


def test_a_file_that_is_something_else_is_said(path: Path) -> None:
    path.write_text("this is no database, it is a long enough text to be sure of it\n" * 50)
    for opening in (open_database, open_for_reading):
        with pytest.raises(Transient, match="not a database") as caught:
            opening(f"sqlite:///{path}")
        assert "restore a backup" in caught.value.help


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot create"):
        open_database(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_failed_migration_leaves_nothing_behind(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE claim (other TEXT)")
    with pytest.raises(Transient, match="already exists"):
        open_database(f"sqlite:///{path}")
    engine = sa.create_engine(f"sqlite:///{path}")
    assert sa.inspect(engine).get_table_names() == ["claim"]
    engine.dispose()


def test_a_database_of_the_version_before_keeps_what_it_holds(path: Path) -> None:
    url = f"sqlite:///{path}"
    open_database(url).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE acted_on")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.execute("INSERT INTO claim VALUES ('iris/k1/1', '2026-08-01')")
    open_database(url).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT key FROM claim").fetchall() == [("iris/k1/1",)]
        assert connection.execute("SELECT * FROM acted_on").fetchall() == []
