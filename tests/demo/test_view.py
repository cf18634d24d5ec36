"""The live picture fits the terminal: nothing that names a model or its state is cut, the newest events are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from reconciler.analysis.finding import CheckVerdict, Finding, Verdict
from reconciler.demo.load import Seen
from reconciler.demo.view import LiveView, Picture, _bar
from reconciler.ports import Entry, Moment, Recorded
from reconciler.status import plain

AT = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = Finding("agreement with expected", 1.0, ">=", 0.9, "share", 40, stable=1.0)
LONG = "candidate version 3 to become ready: LatestDeploymentReady: PredictorConfigurationReady not ready"


def status(name: str, sync: str, health: str, shares: list[tuple[int, int]]) -> dict[str, Any]:
    live = [{"version": v, "revision": f"{name}-{v}", "setPercent": p, "percent": p} for v, p in shares]
    registry = [{"version": 3, "role": "Staging", "note": ""}, {"version": 2, "role": "Production", "note": ""}]
    return {
        "name": name, "sync": sync, "health": health, "phase": "Canary", "blockedBy": "", "waitsFor": LONG,
        "conditions": {"stalled": {"message": ""}}, "registry": registry, "live": live,
        "step": {"number": 1, "of": 2, "heldUntil": None},
    }  # fmt: skip


def entries() -> list[Entry]:
    shifts = [Entry(AT, Moment.INTENT, "iris", "ShiftTraffic", f"because of {n}: " + "words " * 40) for n in range(12)]
    checks = []
    for check in ("errors", "latency", "answers"):
        verdict = plain(CheckVerdict(check, Verdict.PASS, "", (FOUND,), 40, AT).as_json())
        after = {"release": "3-4f2c1ab09d", "step": 1, "verdict": verdict}
        checks.append(Entry(AT, Moment.OUTCOME, "iris", "Analyse", "", after=after))
    return [*shifts, *checks]


def drawn(width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture():
        live = Live(console=console, auto_refresh=False)
        view = LiveView(live)
        for number in range(8):
            view.say(f"Sentence {number}")
        for number, entry in enumerate(entries()):
            view.event(Recorded(number, entry, "", ""))
        statuses = {
            "iris": status("iris", "OutOfSync", "Progressing", [(3, 10), (2, 90)]),
            "diabetes": status("diabetes", "Synced", "Healthy", [(2, 100)]),
        }
        view.show(Picture(timedelta(seconds=90), statuses, {"iris": Seen(45.0), "diabetes": Seen(5.0)}))
    with console.capture() as captured:
        console.print(live.get_renderable())
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 40), (100, 30), (100, 45), (200, 60)])
def test_the_picture_fits(width: int, height: int) -> None:
    lines = drawn(width, height)
    text = "\n".join(lines)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "▶ Sentence 7" in text
    assert "because of 11" in text, "the newest event"
    for word in ("diabetes", "iris", "OutOfSync", "◌ Progressing", "Canary 1/2", "3 staging, 2 production", "VERDICT"):
        assert word in text, text
    for check in ("errors", "latency", "answers"):
        (row,) = (line for line in lines if line.startswith(f"  {check}: "))
        assert " ".join(row.split()[-10:]) == "100 % 100 % >= 90 % 40 ✔ pass"


def test_where_nothing_is_asked_for_a_revision_nothing_is_called_set() -> None:
    share = {"version": 3, "revision": "iris-3", "setPercent": None, "percent": 0}
    said = [str(cell) for cell in _bar(share, Seen(45.0)) if isinstance(cell, Text)]
    assert said[-1] == "0 %, callers see 0%"


def test_a_higher_terminal_shows_more() -> None:
    low, high = "\n".join(drawn(100, 24)), "\n".join(drawn(100, 60))
    assert low.count("because of") < high.count("because of") == 9
    assert low.count("Sentence") < high.count("Sentence") == 6
