"""Verdicts are shown as the ledger tells them: each check's numbers, at once, and tidy on a narrow terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from reconciler.analysis.finding import CheckVerdict, Finding, Verdict
from reconciler.demo.verdicts import Verdicts
from reconciler.ports import Entry, Moment
from reconciler.status import plain

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATENCY = Finding("latency p95", 0.126, "<=", 1.0, "s", 39, stable=0.058)
ERRORS = Finding("error rate", 0.2, "<=", 0.01, "share", 40, stable=0.0)


def measured(verdict: CheckVerdict, step: int = 1, release: str = "2-4f2c1ab09d") -> Entry:
    after: dict[str, Any] = {"release": release, "step": step, "verdict": plain(verdict.as_json())}
    return Entry(AT, Moment.OUTCOME, "iris", "Analyse", "", after=after)


def said(check: str, verdict: Verdict, *findings: Finding) -> CheckVerdict:
    return CheckVerdict(check, verdict, f"{check} says {verdict.value}", findings, 39, AT)


def drawn(verdicts: Verdicts, width: int) -> list[str]:
    table = verdicts.table("iris")
    assert table is not None
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().splitlines()


def test_a_verdict_is_told_once_a_step_and_again_when_it_changes() -> None:
    verdicts = Verdicts()
    passing, failing = said("latency", Verdict.PASS, LATENCY), said("latency", Verdict.FAIL, LATENCY)
    assert verdicts.take(measured(passing)) == "iris: check latency ✔ pass, latency says pass"
    assert verdicts.take(measured(passing)) is None
    assert verdicts.take(measured(failing)) == "iris: check latency ✖ fail, latency says fail"
    assert verdicts.take(measured(failing, step=2)) is not None
    assert verdicts.take(measured(failing, step=2, release="3-4f2c1ab09d")) is not None


def test_what_is_no_measurement_says_nothing() -> None:
    verdicts = Verdicts()
    entry = measured(said("latency", Verdict.PASS, LATENCY))
    assert verdicts.take(replace(entry, moment=Moment.INTENT)) is None
    assert verdicts.take(replace(entry, action="ShiftTraffic")) is None
    assert verdicts.take(replace(entry, after={})) is None
    assert verdicts.table("iris") is None


@pytest.mark.parametrize("width", [100, 80])
def test_a_row_has_both_values_limit_samples_and_verdict(width: int) -> None:
    verdicts = Verdicts()
    verdicts.take(measured(said("latency", Verdict.PASS, LATENCY)))
    head, row = drawn(verdicts, width)
    assert " ".join(head.split()) == "CHECKS OF VERSION 2, STEP 1 CANDIDATE STABLE LIMIT SAMPLES VERDICT"
    assert row.split("  ")[1] == "latency: latency p95"
    assert " ".join(row.split()[3:]) == "126 ms 58 ms <= 1000 ms 39 ✔ pass"
    assert len(row) <= width


def test_of_a_check_that_fails_the_limit_that_is_broken_fails() -> None:
    verdicts = Verdicts()
    verdicts.take(measured(said("answers", Verdict.FAIL, ERRORS, LATENCY)))
    _, errors, latency = drawn(verdicts, 100)
    assert errors.rstrip().endswith("✖ fail")
    assert latency.rstrip().endswith("✔ pass")


def test_a_check_without_findings_says_why() -> None:
    verdicts = Verdicts()
    verdicts.take(measured(said("latency", Verdict.INCONCLUSIVE)))
    assert "latency: latency says inconclusive" in drawn(verdicts, 100)[1]


def test_another_step_begins_with_an_empty_table() -> None:
    verdicts = Verdicts()
    verdicts.take(measured(said("latency", Verdict.PASS, LATENCY)))
    verdicts.take(measured(said("errors", Verdict.PASS, ERRORS), step=2))
    head, *rows = drawn(verdicts, 100)
    assert "STEP 2" in head
    assert [row.split(":")[0].strip() for row in rows] == ["errors"]
