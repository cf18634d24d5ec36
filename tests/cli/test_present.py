"""What every command has in common on a terminal and in a pipe."""

import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.cli.present import (
    Cell,
    Column,
    Screen,
    Tone,
    clean,
    one_line,
    open_screen,
    relative,
    rfc3339,
    span,
    status,
    to_json,
)
from reconciler.desired.state import Diagnostic
from reconciler.errors import SettingsError

NOW = datetime(2026, 8, 20, 9, 31, tzinfo=UTC)
TERMINAL = {"TERM": "xterm-256color", "FORCE_COLOR": "1", "COLUMNS": "60"}


def piped() -> Screen:
    return open_screen(io.StringIO(), io.StringIO(), {}, NOW)


def terminal(**environ: str) -> Screen:
    return open_screen(io.StringIO(), io.StringIO(), {**TERMINAL, **environ}, NOW)


def written(screen: Screen) -> str:
    assert isinstance(screen.out.file, io.StringIO)
    return screen.out.file.getvalue()


def messages(screen: Screen) -> str:
    assert isinstance(screen.err.file, io.StringIO)
    return screen.err.file.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b[31mred", "\\x1b[31mred", id="a colour sequence"),
        pytest.param("\x1b]0;owned\x07", "\\x1b]0;owned\\x07", id="a title sequence"),
        pytest.param("\x9b31m", "\\x9b31m", id="an eight-bit CSI"),
        pytest.param("fine\rbad", "fine\\x0dbad", id="a carriage return that would overwrite the line"),
        pytest.param("ab\x08c", "ab\\x08c", id="a backspace"),
        pytest.param("evil\u202egpj", "evil\\u202egpj", id="a right-to-left override"),
        pytest.param("caf\udce9", "caf\\udce9", id="a lone surrogate"),
        pytest.param("a\r\nb", "a\nb", id="Windows line ends"),
        pytest.param("Zoë 你好 ✔\tx", "Zoë 你好 ✔\tx", id="ordinary text of any script"),
    ],
)
def test_what_would_steer_a_terminal_becomes_visible(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_cell_is_one_line() -> None:
    assert one_line("a\n  b\tc\x1b") == "a b c\\x1b"


def test_times_are_utc_for_programs_and_relative_for_people() -> None:
    assert rfc3339(NOW) == "2026-08-20T09:31:00Z"
    assert rfc3339(NOW.replace(microsecond=1500)) == "2026-08-20T09:31:00.001Z"
    assert relative(NOW - timedelta(hours=2, minutes=9), NOW) == "2h ago"
    assert relative(NOW + timedelta(minutes=4), NOW) == "in 4m"
    assert relative(NOW, NOW) == "now"
    assert span(timedelta(days=3, hours=2)) == "3d"
    assert piped().when(NOW) == "2026-08-20T09:31:00Z"
    assert terminal().when(NOW - timedelta(seconds=5)) == "5s ago"
    assert terminal().when(None) == ""


def test_a_piped_table_is_aligned_and_never_cut() -> None:
    screen = piped()
    long = "x" * 300
    screen.table([Column("NAME"), Column("N", right=True), Column("WHY")], [["a", "1", long], ["你好", "10", "b"]])
    assert written(screen) == f"NAME   N  WHY\na      1  {long}\n你好  10  b\n"


def test_a_table_on_a_terminal_wraps_inside_its_column() -> None:
    screen = terminal(NO_COLOR="1")
    screen.table([Column("NAME"), Column("WHY", wraps=True)], [["churn", "word " * 20]])
    assert all(len(line) <= 60 for line in written(screen).splitlines())
    assert written(screen).count("word") == 20


WIDE: dict[str, tuple[list[Column], list[list[str | Cell]]]] = {
    "status": (
        [*map(Column, ("NAME", "GIT", "REGISTRY", "LIVE", "SYNC", "HEALTH")), Column("PHASE", wraps=True)],
        [
            ["churn", "44", "44 rejected, 43 Production", "43 100 %", "OutOfSync", status("Degraded"), "RollingBack"],
            ["fraud-eu", "auto", "13 Staging, 12 Production", "12 90 %, 13 10 % (set 25 %)", "Synced",
             status("Progressing"), "Canary, looks again in 4m"],
        ],
    ),
    "history": (
        [Column("SEQ", right=True), *map(Column, ("WHEN", "ACTION", "VERSION", "BY", "COMMIT", "RESULT")),
         Column("REASON", wraps=True)],
        [["118", "2026-08-20 09:31Z", "FinishRollback", "43 -> 44", "Ana Example", "4f2c1ab", status("Failed"),
          "p95 212 ms > 180 ms, 5 of 5 checks, of https://models.example.com/v2/models/churn"]],
    ),
    "config": (
        [Column("SETTING"), Column("TYPE", wraps=True), Column("DEFAULT"), Column("MEANING", wraps=True)],
        [["mlflow.artifactDestinations", "mapping", "", "Where KServe finds what MLflow proxies, so that it is found"],
         ["kubernetes.serviceUrl", "text", "http://{service}.{namespace}.svc.cluster.local", "Address of a Service"]],
    ),
    "config show": (
        [Column("SETTING"), Column("VALUE", wraps=True), Column("FROM")],
        [["mlflow.trackingUri", "https://mlflow.example.com/a/rather/long/prefix", "RECONCILER_MLFLOW__TRACKING_URI"]],
    ),
    "no rows": ([Column("NAME"), Column("WHY", wraps=True)], []),
    "lists": ([Column("NAME"), Column("VERSIONS")], [["你好", "1 Archived, 2 Archived, 3 Production, 4 rejected"]]),
}  # fmt: skip


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("case", WIDE)
def test_no_word_or_number_of_a_table_is_cut_however_narrow_the_terminal_is(case: str, columns: int) -> None:
    head, rows = WIDE[case]
    screen = terminal(NO_COLOR="1", COLUMNS=str(columns))
    screen.table(head, rows)
    found = written(screen)
    assert all(len(line) <= columns for line in found.splitlines())
    texts = [cell.text if isinstance(cell, Cell) else cell for row in rows for cell in row]
    names = [column.name for column in head] if rows else []
    assert {word for text in (*texts, *names) for word in text.split()} <= set(found.split())


def test_a_list_is_broken_after_its_commas_alone() -> None:
    screen = terminal(NO_COLOR="1", COLUMNS="80")
    screen.table(*WIDE["status"])
    assert re.search(r"13 Staging, +12 90 %, +Synced +◌ Progressing *\n", written(screen))
    assert re.search(r"12 Production +13 10 % \(set 25 %\)", written(screen))


def test_a_sentence_that_does_not_fit_beside_its_row_stands_beneath_it() -> None:
    screen = terminal(NO_COLOR="1", COLUMNS="100")
    screen.table(*WIDE["history"])
    lines = [line.rstrip() for line in written(screen).splitlines()]
    assert lines[0].split() == ["SEQ", "WHEN", "ACTION", "VERSION", "BY", "COMMIT", "RESULT"]
    assert lines[1] == "    REASON"
    assert lines[2].startswith("118  2026-08-20 09:31Z  FinishRollback  43 -> 44  Ana Example  4f2c1ab  Failed")
    assert lines[3].startswith("    p95 212 ms > 180 ms")


def test_where_not_even_names_and_numbers_fit_each_row_is_a_block() -> None:
    screen = terminal(NO_COLOR="1")
    screen.table(*WIDE["history"])
    lines = [line.rstrip() for line in written(screen).splitlines()]
    assert lines[:3] == ["SEQ      118", "WHEN     2026-08-20 09:31Z", "ACTION   FinishRollback"]


def test_untrusted_text_in_a_table_is_neither_markup_nor_escape() -> None:
    for screen in (piped(), terminal(NO_COLOR="1")):
        screen.table([Column("NAME")], [["[red]x[/red]\x1b[2J"]])
        assert "[red]x[/red]\\x1b[2J" in written(screen)
        assert "\x1b" not in written(screen)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "TERM=dumb"])
def test_no_escape_sequence_is_written_when_colour_is_unwanted(environ: dict[str, str]) -> None:
    screen = terminal(**environ)
    screen.say(Cell("bad", Tone.BAD))
    assert written(screen) == "bad\n"


def test_a_terminal_gets_colour_and_a_pipe_does_not() -> None:
    coloured, plain = terminal(), piped()
    for screen in (coloured, plain):
        screen.say(status("Degraded"))
    assert "\x1b[" in written(coloured)
    assert written(plain) == "✖ Degraded\n"


def test_json_is_stable_and_safe_on_a_terminal() -> None:
    text = to_json({"at": NOW, "cell": Cell("é\x9b\x1b", Tone.BAD), "set": frozenset({"b", "a"})})
    assert json.loads(text) == {
        "at": "2026-08-20T09:31:00Z",
        "cell": {"text": "é\x9b\x1b", "tone": "bold red"},
        "set": ["a", "b"],
    }
    assert "\x9b" not in text
    assert "\x1b" not in text
    assert "é" in text


def test_an_error_shows_its_code_and_what_to_do_on_stderr() -> None:
    screen = piped()
    screen.error(SettingsError("setting git.url: no such\x1bfolder", help="set RECONCILER_GIT__URL"))
    assert written(screen) == ""
    assert messages(screen) == (
        "error[settings-error]: setting git.url: no such\\x1bfolder\nhelp: set RECONCILER_GIT__URL\n"
    )


def test_a_diagnostic_points_at_the_place() -> None:
    screen = piped()
    screen.diagnostic(
        Diagnostic(
            code="rollout-steps",
            message="canary steps must increase",
            path="models/fraud.yaml",
            line=18,
            column=10,
            source="steps: [{traffic: 25}]",
            length=7,
            help="order the steps",
        )
    )
    assert messages(screen).splitlines() == [
        "error[rollout-steps]: canary steps must increase",
        "  --> models/fraud.yaml:18:10",
        "   |",
        "18 | steps: [{traffic: 25}]",
        "   |          ^^^^^^^",
        "help: order the steps",
        "",
    ]


def test_a_name_that_the_terminal_cannot_encode_does_not_end_the_command() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    open_screen(stream, io.StringIO(), {}, NOW).say("Zoë")
    assert raw.getvalue() == b"Zo\\xeb\n"
