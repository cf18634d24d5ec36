"""Two processes on one ledger in PostgreSQL: the second is told who the first one is, and a lost hold is noticed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.audit.database import Database, open_database
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.one_writer import only_writer
from reconciler.errors import Refused, Transient
from tests.audit.conftest import note
from tests.audit.postgresql import Server
from tests.audit.test_one_writer import another_process

HOST = socket.gethostname()


@dataclass(frozen=True, slots=True)
class Holder:
    """A ledger that is written to while it is held."""

    database: Database
    ledger: SqlLedger

    def lose(self) -> None:
        """Let the server end the session that holds, as an administrator or a restart does."""
        end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
        with self.database.engine.begin() as connection:
            assert connection.exec_driver_sql(end).scalars().all() == [True]


@contextmanager
def holding(state: Path, url: str) -> Iterator[Holder]:
    with ExitStack() as stack:
        guard = stack.enter_context(only_writer(state, url))
        database = open_database(url, guard)
        stack.callback(database.close)
        yield Holder(database, SqlLedger(database, lambda value: value))


@pytest.fixture
def held(tmp_path: Path, postgres_url: str) -> Iterator[Holder]:
    with holding(tmp_path / "a", postgres_url) as made:
        yield made


def test_a_second_process_is_refused_by_name_and_host_of_the_first(tmp_path: Path, postgres_url: str) -> None:
    with (
        another_process(tmp_path / "a", postgres_url) as first,
        pytest.raises(
            Refused, match=rf"^process {first.pid} on {HOST} already reconciles from the ledger in "
        ) as caught,
        only_writer(tmp_path / "b", postgres_url),
    ):
        pytest.fail("two hold the ledger")
    assert caught.value.message.endswith(": two would fight")
    assert "ledgerUrl" in caught.value.help


@pytest.mark.parametrize("command", [("run",), ("apply", "--yes")], ids=" ".join)
def test_a_second_service_ends_and_says_why(tmp_path: Path, postgres_url: str, command: tuple[str, ...]) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({"stateDir": str(tmp_path / "b"), "ledgerUrl": postgres_url}))
    with another_process(tmp_path / "a", postgres_url) as first:
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *command, "--config", str(settings)],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=120,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"process {first.pid} on {HOST} already reconciles from the ledger" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path, postgres_url: str) -> None:
    with another_process(tmp_path / "a", postgres_url) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
    with holding(tmp_path / "b", postgres_url) as second:
        assert second.ledger.append(note(1)).seq == 1


def test_one_after_the_other_is_fine_and_so_are_two_databases_of_one_server(tmp_path: Path, server: Server) -> None:
    one, two = server.new("one"), server.new("two")
    for _ in range(2):
        with only_writer(tmp_path / "a", one), only_writer(tmp_path / "b", two):
            pass


def test_two_schemas_of_a_database_are_two_ledgers(tmp_path: Path, postgres: Database, postgres_url: str) -> None:
    with postgres.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA theirs")
    theirs = f"{postgres_url}&options=-c%20search_path%3Dtheirs"
    with holding(tmp_path / "a", postgres_url) as first, holding(tmp_path / "b", theirs) as second:
        assert [first.ledger.append(note(1)).seq, second.ledger.append(note(1)).seq] == [1, 1]


def test_a_hold_that_was_lost_is_taken_again_before_the_next_write(
    held: Holder, tmp_path: Path, postgres_url: str
) -> None:
    held.ledger.append(note(1))
    held.lose()
    held.ledger.append(note(2))
    with (
        pytest.raises(Refused, match=f"process {os.getpid()} on {HOST} already reconciles"),
        only_writer(tmp_path / "b", postgres_url),
    ):
        pytest.fail("two hold the ledger")
    assert held.ledger.verify().entries == 2


def test_while_another_process_has_it_nothing_is_written(held: Holder, tmp_path: Path, postgres_url: str) -> None:
    first = held.ledger.append(note(1))
    held.lose()
    with another_process(tmp_path / "b", postgres_url) as second:
        for _ in range(2):
            with pytest.raises(Transient, match=rf"^process {second.pid} on {HOST} already reconciles"):
                held.ledger.append(note(2))
        assert held.ledger.entries() == [first], "reading goes on"
    held.ledger.append(note(2))
    assert held.ledger.verify().entries == 2


def test_where_another_process_wrote_meanwhile_this_one_has_to_begin_anew(
    held: Holder, tmp_path: Path, postgres_url: str
) -> None:
    held.lose()
    with holding(tmp_path / "b", postgres_url) as second:
        for number in (1, 2):
            second.ledger.append(note(number))
    for _ in range(2):
        with pytest.raises(Refused, match="another process wrote to the ledger"):
            held.ledger.append(note(3))
    assert held.ledger.verify().entries == 2
    with holding(tmp_path / "c", postgres_url) as anew:
        assert anew.ledger.append(note(3)).seq == 3


def test_a_server_that_is_away_is_no_refusal(tmp_path: Path) -> None:
    away = "postgresql://raj:hunter2@127.0.0.1:1/ledger?connect_timeout=2"
    with pytest.raises(Transient, match="cannot hold the ledger in ") as caught, only_writer(tmp_path, away):
        pytest.fail("there is no server")
    assert "hunter2" not in caught.value.message
