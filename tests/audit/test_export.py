"""Exports: lines that can be verified again, cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from reconciler.audit.chain import GENESIS, Anchor, Link, digest, verify
from reconciler.audit.export import CSV_COLUMNS, csv_lines, guard, json_lines
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.record import canonical
from reconciler.audit.selection import Selection
from tests.audit.conftest import note


def test_an_exported_line_carries_all_that_verifying_needs(ten: SqlLedger) -> None:
    links = []
    for line in json_lines(ten.links(Selection(after_seq=3))):
        value = json.loads(line)
        hashed = value.pop("hash")
        links.append(Link(value["seq"], hashed, canonical(value)))
        assert digest(canonical(value)) == hashed
    third = ten.get(3)
    assert third is not None
    verification = verify(links, None, after=Anchor(3, third.hash))
    assert [problem.wrong for problem in verification.problems] == ["head does not match"]
    assert verification.entries == 7


def test_lines_hold_the_entry_as_recorded(ledger: SqlLedger) -> None:
    ledger.append(note(1, reason="näh\x1b\n"))
    (line,) = json_lines(ledger.links(Selection()))
    assert line.isascii()
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    value = json.loads(line)
    assert value["previous"] == GENESIS
    assert value["entry"]["reason"] == "näh\x1b\n"
    assert value["entry"]["evidence"] == {"samples": 1}


def test_csv_has_a_header_and_a_row_an_entry(ten: SqlLedger) -> None:
    text = "".join(csv_lines(ten.links(Selection(model="iris"))))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["seq"] for row in rows] == ["2", "4", "6", "8", "10"]
    assert rows[0]["at"] == "2026-08-01T12:02:00.000000Z"
    assert rows[0]["evidence"] == '{"samples":2}'
    assert rows[0]["attemptOf"] == ""


def test_an_empty_csv_still_has_its_header(ledger: SqlLedger) -> None:
    assert "".join(csv_lines(ledger.links(Selection()))) == ",".join(CSV_COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        pytest.param("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0", id="a formula"),
        pytest.param("+1+1", "'+1+1", id="a plus"),
        pytest.param("-2+3", "'-2+3", id="a minus"),
        pytest.param("@SUM(1)", "'@SUM(1)", id="a macro"),
        pytest.param(" \t=1", "' \t=1", id="a formula after white space"),
        pytest.param("\tx", "'\tx", id="a tab"),
        pytest.param("\rx", "'\rx", id="a carriage return"),
        pytest.param("\uff1d1", "'\uff1d1", id="a full-width equals sign"),
        pytest.param("step 2 of 3 = fine", "step 2 of 3 = fine", id="ordinary text"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_no_cell_is_taken_for_a_formula(text: str, cell: str) -> None:
    assert guard(text) == cell


def test_untrusted_fields_of_an_entry_are_guarded(ledger: SqlLedger) -> None:
    ledger.append(note(1, author="=HYPERLINK(1)", reason='a "quoted", long\nreason'))
    (row,) = csv.DictReader(io.StringIO("".join(csv_lines(ledger.links(Selection())))))
    assert row["author"] == "'=HYPERLINK(1)"
    assert row["reason"] == 'a "quoted", long\nreason'
