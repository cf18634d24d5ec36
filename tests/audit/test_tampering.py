"""Whatever is done to the ledger's file afterwards, verifying tells, and tells where."""

# ruff: noqa: S608  tampering is done in plain SQL, with values of our own

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.audit.chain import GENESIS, Anchor, Head, Link, Verification, Wrong, digest, seal, verify
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.record import canonical, entry_to_json
from tests.audit.conftest import Tamper, note


def found(verification: Verification) -> list[tuple[Wrong, str]]:
    return [(problem.wrong, problem.where) for problem in verification.problems]


def stored(path: Path, seq: int) -> tuple[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        row: tuple[str, str] = connection.execute(
            "SELECT hash, body FROM ledger_entry WHERE seq = ?", (seq,)
        ).fetchone()
    return row


def insert(link: Link) -> str:
    values = ", ".join(
        f"'{value}'" for value in (link.indexed["at"], link.indexed["model"], link.indexed["action"], link.hash)
    )
    return f"INSERT INTO ledger_entry (seq, at, model, action, hash, body) VALUES ({link.seq}, {values}, '{link.body}')"


SWAP = (
    "UPDATE ledger_entry SET seq = -4 WHERE seq = 4",
    "UPDATE ledger_entry SET seq = 4 WHERE seq = 7",
    "UPDATE ledger_entry SET seq = 7 WHERE seq = -4",
)
SHIFT_FROM_5 = (
    "UPDATE ledger_entry SET seq = -seq - 1 WHERE seq >= 5",
    "UPDATE ledger_entry SET seq = -seq WHERE seq < 0",
)

CASES: dict[str, tuple[tuple[str, ...], list[tuple[Wrong, str]]]] = {
    "nothing is done": ((), []),
    "the reason of one entry is edited": (
        ("""UPDATE ledger_entry SET body = replace(body, '"step 5"', '"step 6"') WHERE seq = 5""",),
        [(Wrong.EDITED, "5")],
    ),
    "one character of white space is added": (
        ("UPDATE ledger_entry SET body = body || ' ' WHERE seq = 5",),
        [(Wrong.EDITED, "5")],
    ),
    "a hash is edited": (
        (f"UPDATE ledger_entry SET hash = '{'a' * 64}' WHERE seq = 5",),
        [(Wrong.EDITED, "5")],
    ),
    "the copy that filters look at is edited": (
        ("UPDATE ledger_entry SET model = 'other' WHERE seq = 5",),
        [(Wrong.EDITED, "5")],
    ),
    "two entries are edited": (
        ("UPDATE ledger_entry SET body = body || ' ' WHERE seq IN (3, 8)",),
        [(Wrong.EDITED, "3"), (Wrong.EDITED, "8")],
    ),
    "the first is removed": (("DELETE FROM ledger_entry WHERE seq = 1",), [(Wrong.MISSING, "1")]),
    "one in the middle is removed": (("DELETE FROM ledger_entry WHERE seq = 5",), [(Wrong.MISSING, "5")]),
    "three in the middle are removed": (
        ("DELETE FROM ledger_entry WHERE seq BETWEEN 5 AND 7",),
        [(Wrong.MISSING, "5..7")],
    ),
    "the last is removed": (("DELETE FROM ledger_entry WHERE seq = 10",), [(Wrong.MISSING, "10")]),
    "the last is removed and the head's number follows": (
        ("DELETE FROM ledger_entry WHERE seq = 10", "UPDATE ledger_head SET seq = 9, entries = 9"),
        [(Wrong.HEAD, "9")],
    ),
    "all are removed": (("DELETE FROM ledger_entry",), [(Wrong.MISSING, "1..10")]),
    "two are swapped": (SWAP, [(Wrong.OUT_OF_ORDER, "4"), (Wrong.OUT_OF_ORDER, "7")]),
    "the head's hash is edited": ((f"UPDATE ledger_head SET hash = '{'b' * 64}'",), [(Wrong.HEAD, "10")]),
    "the head's count is edited": (("UPDATE ledger_head SET entries = 9",), [(Wrong.HEAD, "10")]),
    "the head's number is edited": (("UPDATE ledger_head SET seq = 9",), [(Wrong.INSERTED, "10")]),
    "the head is removed": (("DELETE FROM ledger_head",), [(Wrong.HEAD, "10")]),
    "a body becomes something else": (
        ("UPDATE ledger_entry SET body = 'x' WHERE seq = 5",),
        [(Wrong.EDITED, "5")],
    ),
    "later entries are renumbered over a removed one": (
        (
            "DELETE FROM ledger_entry WHERE seq = 5",
            "UPDATE ledger_entry SET seq = -seq + 1 WHERE seq > 5",
            "UPDATE ledger_entry SET seq = -seq WHERE seq < 0",
        ),
        [(Wrong.OUT_OF_ORDER, "5..9"), (Wrong.MISSING, "10")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verify_names_what_is_wrong_when(case: str, ten: SqlLedger, tamper: Tamper) -> None:
    statements, problems = CASES[case]
    tamper(*statements)
    verification = ten.verify()
    assert found(verification) == problems
    assert verification.ok == (not problems)


def test_an_entry_inserted_with_its_own_right_hash_is_named(ten: SqlLedger, tamper: Tamper, path: Path) -> None:
    forged = seal(5, stored(path, 4)[0], entry_to_json(note(99)))
    tamper(*SHIFT_FROM_5, insert(forged))
    assert found(ten.verify()) == [
        (Wrong.INSERTED, "5"),
        (Wrong.OUT_OF_ORDER, "6..11"),
        (Wrong.INSERTED, "11"),
    ]


def test_an_entry_appended_behind_the_ledgers_back_is_named(ten: SqlLedger, tamper: Tamper, path: Path) -> None:
    tamper(insert(seal(11, stored(path, 10)[0], entry_to_json(note(11)))))
    assert found(ten.verify()) == [(Wrong.INSERTED, "11")]


def test_an_entry_replaced_by_one_with_a_right_hash_breaks_the_chain_after_it(
    ten: SqlLedger, tamper: Tamper, path: Path
) -> None:
    forged = seal(5, stored(path, 4)[0], entry_to_json(note(5, reason="all was well")))
    tamper("DELETE FROM ledger_entry WHERE seq = 5", insert(forged))
    verification = ten.verify()
    assert found(verification) == [(Wrong.DOES_NOT_FOLLOW, "6")]
    assert "5 is" in verification.problems[0].detail


def test_a_chain_rewritten_to_its_end_with_its_head_shows_only_against_an_anchor(
    ten: SqlLedger, tamper: Tamper, path: Path
) -> None:
    anchor = Anchor(8, stored(path, 8)[0])
    previous, statements = stored(path, 4)[0], ["DELETE FROM ledger_entry WHERE seq >= 5"]
    for seq in range(5, 11):
        forged = seal(seq, previous, entry_to_json(note(seq, reason="all was well")))
        statements.append(insert(forged))
        previous = forged.hash
    tamper(*statements, f"UPDATE ledger_head SET hash = '{previous}'")
    alone = ten.verify()
    assert alone.ok
    assert alone.covered_to == 0
    assert "would not show" in " ".join(alone.not_covered)
    assert found(ten.verify(anchors=[anchor])) == [(Wrong.ANCHOR, "8")]


def test_a_cut_end_with_its_head_shows_only_against_an_anchor(ten: SqlLedger, tamper: Tamper, path: Path) -> None:
    anchor = Anchor(10, stored(path, 10)[0])
    tamper(
        "DELETE FROM ledger_entry WHERE seq > 7",
        f"UPDATE ledger_head SET seq = 7, entries = 7, hash = '{stored(path, 7)[0]}'",
    )
    assert ten.verify().ok
    assert found(ten.verify(anchors=[anchor])) == [(Wrong.ANCHOR, "10")]


def test_an_anchor_covers_everything_up_to_it(ten: SqlLedger, path: Path) -> None:
    verification = ten.verify(anchors=[Anchor(8, stored(path, 8)[0])])
    assert verification.ok
    assert verification.covered_to == 8
    assert [text.split(":")[0] for text in verification.not_covered] == ["9..10"]


def test_a_problem_after_the_anchor_leaves_what_is_before_it_covered(
    ten: SqlLedger, tamper: Tamper, path: Path
) -> None:
    anchor = Anchor(6, stored(path, 6)[0])
    tamper("UPDATE ledger_entry SET body = body || ' ' WHERE seq = 9")
    verification = ten.verify(anchors=[anchor])
    assert found(verification) == [(Wrong.EDITED, "9")]
    assert verification.covered_to == 6


def test_verifying_from_a_time_on_says_what_it_took_on_trust(ten: SqlLedger, tamper: Tamper) -> None:
    tamper("UPDATE ledger_entry SET body = body || ' ' WHERE seq = 2")
    verification = ten.verify(since=note(5).at)
    assert verification.ok
    assert (verification.first, verification.last, verification.entries) == (5, 10, 6)
    assert verification.not_covered[0] == "1..4: not asked for"


def test_a_ledger_that_never_recorded_anything_is_fine(ledger: SqlLedger) -> None:
    verification = ledger.verify()
    assert verification.ok
    assert verification.entries == 0


@pytest.mark.usefixtures("ten")
def test_the_hash_is_the_plain_sha256_of_the_body(path: Path) -> None:
    hashed, body = stored(path, 1)
    assert digest(body) == hashed
    assert json.loads(body)["previous"] == GENESIS
    assert canonical(json.loads(body)) == body


def test_links_in_the_wrong_order_and_twice_are_named() -> None:
    """What a database cannot return, an export can hold."""
    chain = [seal(1, GENESIS, entry_to_json(note(1)))]
    for seq in (2, 3):
        chain.append(seal(seq, chain[-1].hash, entry_to_json(note(seq))))
    head = Head(3, chain[-1].hash, 3)
    assert verify(chain, head).ok
    assert (Wrong.OUT_OF_ORDER, "2") in found(verify([chain[0], chain[2], chain[1]], head))
    assert (Wrong.INSERTED, "2") in found(verify([chain[0], chain[1], chain[1], chain[2]], head))


def test_a_wholly_broken_ledger_is_reported_in_constant_memory() -> None:
    broken = (Link(seq, "0" * 64, "{}") for seq in range(1, 3001))
    verification = verify(broken, None)
    assert len(verification.problems) == 1_000
    assert verification.more_problems == 2_001
    assert verification.faulty == 3_000
