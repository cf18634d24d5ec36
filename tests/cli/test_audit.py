"""`reconciler audit` and `reconciler history` as people and scripts see them."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from reconciler.audit.database import open_database
from reconciler.audit.ledger import SqlLedger
from reconciler.cli import audit
from reconciler.cli.history import history
from reconciler.ports import Entry, Moment
from reconciler.ports import Result as Ended

BEGAN = datetime(2026, 8, 1, 12, tzinfo=UTC)


def app() -> typer.Typer:
    """Mount both as the lead command does."""
    mounted = typer.Typer()
    mounted.add_typer(audit.app)
    mounted.command("history")(history)
    return mounted


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write settings that name a ledger with two actions of iris and a note on churn."""
    path = tmp_path / "settings.yaml"
    path.write_text(f"stateDir: {tmp_path / 'state'}\n")
    database = open_database(f"sqlite:///{tmp_path / 'state' / 'ledger.db'}")
    ledger = SqlLedger(database, lambda value: value)
    actions: list[tuple[str, dict[str, object]]] = [
        ("Deploy", {"release": "1-aaaa"}),
        ("Analyse", {"step": 1}),
        ("Promote", {"version": 1}),
    ]
    for number, (action, after) in enumerate(actions):
        at = BEGAN + timedelta(minutes=number)
        intent = Entry(at, Moment.INTENT, "iris", action, f"why {action}", "4f2c1ab09d", "Ana <a@b>", after=after)
        seq = ledger.append(intent).seq
        outcome = Entry(
            at, Moment.OUTCOME, "iris", action, "done", "4f2c1ab09d", "Ana <a@b>", Ended.DONE, attempt_of=seq
        )
        ledger.append(outcome)
    ledger.append(Entry(BEGAN + timedelta(days=1), Moment.NOTE, "churn", "Note", "odd \x1b[31mtext", author="=cmd()"))
    database.close()
    return path


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app(), list(arguments), env={"RECONCILER_CONFIG": str(config), "FORCE_COLOR": ""})


def spoil(config: Path) -> None:
    with closing(sqlite3.connect(config.parent / "state" / "ledger.db")) as connection, connection:
        connection.execute("DROP TRIGGER ledger_entry_no_update")
        connection.execute("UPDATE ledger_entry SET model = 'other' WHERE seq = 3")


def test_list_is_plain_and_in_utc_for_a_pipe(config: Path) -> None:
    result = run(config, "audit", "list", "--model", "iris", "--action", "Promote")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "SEQ  WHEN                  MOMENT   MODEL  ACTION   RESULT  BY   REASON",
        "  5  2026-08-01T12:02:00Z  intent   iris   Promote          Ana  why Promote",
        "  6  2026-08-01T12:02:00Z  outcome  iris   Promote  Done    Ana  done",
    ]


def test_list_shows_no_escape_sequence_of_others(config: Path) -> None:
    result = run(config, "audit", "list", "--model", "churn")
    assert "odd \\x1b[31mtext" in result.stdout
    assert "\x1b" not in result.stdout


def test_list_says_when_nothing_matches_on_stderr(config: Path) -> None:
    result = run(config, "audit", "list", "--until", "2020-01-01")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No entry matches.\n"


def test_list_as_json_has_the_shape_of_an_export(config: Path) -> None:
    listed = json.loads(run(config, "audit", "list", "-n", "2", "-o", "json").stdout)
    exported = [json.loads(line) for line in run(config, "audit", "export").stdout.splitlines()]
    assert listed == exported[-2:]


def test_show_tells_everything_and_how_it_ended(config: Path) -> None:
    shown = run(config, "audit", "show", "1").stdout
    for said in (
        "1 (intent)",
        "2026-08-01T12:00:00Z",
        "why Deploy",
        "Ana <a@b>",
        '"release": "1-aaaa"',
        "entry 2: Done, done",
    ):
        assert said in shown
    assert json.loads(run(config, "audit", "show", "1", "-o", "json").stdout)["entry"]["action"] == "Deploy"


def test_show_of_no_entry_could_not(config: Path) -> None:
    result = run(config, "audit", "show", "99")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error[refused]: the ledger has no entry 99\nhelp: " in result.stderr


def test_verify_says_what_it_covers_and_what_not(config: Path) -> None:
    result = run(config, "audit", "verify")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert "Found       1..7 without a gap, 7 of 7 entries valid" in lines
    assert any(line.startswith("Not covered 1..7: ") for line in lines)
    assert lines[-1] == "VALID, not anchored"
    assert "--anchor 7:" in result.stderr


def test_verify_against_the_head_noted_before(config: Path) -> None:
    head = json.loads(run(config, "audit", "verify", "-o", "json").stdout)["head"]
    anchor = f"{head['seq']}:{head['hash']}"
    assert run(config, "audit", "verify", "--anchor", anchor).stdout.splitlines()[-1] == "VALID to 7"
    wrong = run(config, "audit", "verify", "--anchor", f"7:{'0' * 64}")
    assert wrong.exit_code == 2
    assert "anchor does not match" in wrong.stdout


def test_verify_ends_with_2_and_names_the_entry_when_it_finds_something(config: Path) -> None:
    spoil(config)
    result = run(config, "audit", "verify")
    assert result.exit_code == 2
    assert "✖ 3 edited: the column model says 'other', the entry 'iris'" in result.stdout
    assert result.stdout.splitlines()[-1] == "NOT VALID: 1 problem"
    found = run(config, "audit", "verify", "-o", "json")
    assert found.exit_code == 2
    assert json.loads(found.stdout)["problems"][0]["first"] == 3


@pytest.mark.parametrize("anchor", ["x", "7", "7:abc", ":" + "0" * 64])
def test_verify_refuses_what_is_no_anchor(config: Path, anchor: str) -> None:
    result = run(config, "audit", "verify", "--anchor", anchor)
    assert result.exit_code == 1
    assert "SEQ:HASH" in result.stderr


def test_export_as_csv_guards_cells(config: Path) -> None:
    result = run(config, "audit", "export", "-o", "csv", "--since", "2026-08-02")
    (row,) = csv.DictReader(result.stdout.splitlines())
    assert (row["seq"], row["author"]) == ("7", "'=cmd()")


def test_a_time_that_is_none_could_not(config: Path) -> None:
    result = run(config, "audit", "export", "--since", "yesterday")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not a time" in result.stderr


def test_no_ledger_is_said_and_none_is_made(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"stateDir: {tmp_path / 'nowhere'}\n")
    result = run(config, "audit", "list")
    assert result.exit_code == 1
    assert "there is no ledger at" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_history_joins_intents_with_outcomes_and_hides_routine(config: Path) -> None:
    result = run(config, "history", "iris")
    assert result.stdout.splitlines() == [
        "SEQ  WHEN                  ACTION   VERSION  BY   COMMIT   RESULT  REASON",
        "  1  2026-08-01T12:00:00Z  Deploy   1        Ana  4f2c1ab  Done    why Deploy",
        "  5  2026-08-01T12:02:00Z  Promote  1        Ana  4f2c1ab  Done    why Promote",
    ]
    assert "1 more" in result.stderr
    assert "Analyse" in run(config, "history", "iris", "--routine").stdout


def test_history_of_an_unknown_model_says_so(config: Path) -> None:
    result = run(config, "history", "nobody")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing is on record for nobody" in result.stderr


def test_history_answers_what_was_serving_at_a_time(config: Path) -> None:
    before = run(config, "history", "iris", "--at", "2026-07-01")
    assert "nothing was served yet" in before.stdout
    after = run(config, "history", "iris", "--at", "2026-08-01T13:00Z")
    assert after.stdout.startswith("iris at 2026-08-01T13:00:00Z: version 1, all traffic\n")
    assert "by Ana, entry 5" in after.stdout
    answer = json.loads(run(config, "history", "iris", "--at", "2026-08-01T13:00Z", "-o", "json").stdout)
    assert (answer["version"], answer["since"]) == (1, "2026-08-01T12:00:00Z")


def test_history_tells_of_each_of_two_versions_since_when_and_by_whom(config: Path) -> None:
    database = open_database(f"sqlite:///{config.parent / 'state' / 'ledger.db'}")
    ledger, at = SqlLedger(database, lambda value: value), BEGAN + timedelta(hours=1)
    after = {"release": "2-aaaa"}
    intent = Entry(at, Moment.INTENT, "iris", "StartCanary", "why", "9be0d13aa", "Raj <r@b>", after=after)
    seq = ledger.append(intent).seq
    ledger.append(Entry(at, Moment.OUTCOME, "iris", "StartCanary", "done", result=Ended.DONE, attempt_of=seq))
    database.close()
    said = run(config, "history", "iris", "--at", "2026-08-01T14:00Z").stdout.splitlines()
    assert said == [
        "iris at 2026-08-01T14:00:00Z: version 1, 100 %, and version 2 on trial, 0 %",
        "version 1 since 2026-08-01T12:00:00Z, commit 4f2c1ab by Ana, entry 5",
        f"version 2 since 2026-08-01T13:00:00Z, commit 9be0d13 by Raj, entry {seq}",
    ]
    answer = json.loads(run(config, "history", "iris", "--at", "2026-08-01T14:00Z", "-o", "json").stdout)
    assert (answer["since"], answer["candidateSince"]) == ("2026-08-01T12:00:00Z", "2026-08-01T13:00:00Z")
    assert (answer["candidateSeq"], answer["candidateCommit"], answer["candidateAuthor"]) == (
        seq, "9be0d13aa", "Raj <r@b>",
    )  # fmt: skip


def test_history_refuses_a_time_that_is_yet_to_come(config: Path) -> None:
    result = run(config, "history", "iris", "--at", "2126-08-01")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "2126-08-01T00:00:00Z is yet to come" in result.stderr


def test_as_a_process_it_ends_with_2_and_keeps_data_and_messages_apart(config: Path) -> None:
    spoil(config)
    program = "from reconciler.cli.audit import app; app()"
    arguments = [sys.executable, "-c", program, "verify", "--config", str(config)]
    ended = subprocess.run(
        arguments, check=False, capture_output=True, text=True, env={**os.environ, "LANG": "C", "FORCE_COLOR": ""}
    )
    assert ended.returncode == 2
    assert "NOT VALID: 1 problem" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert ended.stderr == ""


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; import reconciler.cli.audit, reconciler.cli.history;"
        "print([m for m in ('sqlalchemy', 'alembic', 'pydantic', 'rich.console') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ended.stdout == "[]\n"
