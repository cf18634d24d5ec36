"""The same ledger on a real PostgreSQL server, where one and its driver are installed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from reconciler.audit.database import Database, open_database, open_for_reading
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.memory import SqlMemory
from reconciler.errors import Transient
from reconciler.observed import Release, ReleaseRecord
from tests.audit.conftest import note
from tests.audit.test_memory import decode, desired, encode

NOW = datetime(2026, 8, 1, tzinfo=UTC)
BINARIES = Path(os.path.realpath(shutil.which("pg_ctl") or "/nowhere/pg_ctl")).parent


def _missing() -> str:
    if not (BINARIES / "initdb").exists():
        return "no PostgreSQL server (initdb, pg_ctl) is installed"
    if importlib.util.find_spec("psycopg") is None:
        return "the driver psycopg is not installed"
    if os.geteuid() == 0 and not _unprivileged():
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return ""


def _unprivileged() -> pwd.struct_passwd | None:
    return next((user for user in pwd.getpwall() if user.pw_name == "postgres"), None)


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing() or "all is there")


def _run(*command: str) -> None:
    user = _unprivileged() if os.geteuid() == 0 else None
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()} if user else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **who)  # type: ignore[call-overload]  # user and group by name


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run a server on a socket in a folder of its own; give the start of its addresses."""
    # Not in pytest's own folder: only its owner may enter that, and a socket's path is at most 107 bytes long.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        user = _unprivileged() if os.geteuid() == 0 else None
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data, control = f"{folder}/data", str(BINARIES / "pg_ctl")
        _run(str(BINARIES / "initdb"), "-D", data, "-U", "ledger", "-A", "trust", "--locale=C", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        _run(control, "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://ledger@/{{database}}?host={folder}"
        finally:
            _run(control, "-D", data, "-w", "-m", "immediate", "stop")


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    name = f"t{abs(hash(request.node.name))}"
    folder = server.split("host=")[1]
    _run(str(BINARIES / "createdb"), "-h", folder, "-U", "ledger", name)
    return server.format(database=name)


@pytest.fixture
def postgres(url: str) -> Iterator[Database]:
    database = open_database(url)
    yield database
    database.close()


@pytest.fixture
def on_postgres(postgres: Database) -> SqlLedger:
    return SqlLedger(postgres, lambda value: value)


def test_entries_are_recorded_and_verified(on_postgres: SqlLedger, url: str) -> None:
    first = on_postgres.append(note(1, reason="näh\x00 \ud800"))
    second = on_postgres.append(note(2))
    assert on_postgres.entries() == [first, second]
    assert on_postgres.entries(model="iris", since=note(2).at, limit=5) == [second]
    assert on_postgres.verify().ok
    database = open_for_reading(url)
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


def test_writers_with_connections_of_their_own_never_fork_the_chain(url: str) -> None:
    """They open the empty database at once, too: each stands for a process."""
    gate = threading.Barrier(4)

    def work() -> None:
        gate.wait()
        database = open_database(url)
        for number in range(50):
            SqlLedger(database, lambda value: value).append(note(number))
        database.close()

    writers = [threading.Thread(target=work) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    database = open_database(url)
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
