"""Diagnostics as people and machines see them."""

from __future__ import annotations

import json

from reconciler.desired.render import as_json, render, render_all
from reconciler.desired.state import Diagnostic, Severity

PLACED = Diagnostic(
    "x", "it is wrong", "m.yaml", 120, 3, "spec.a", "do so", "  a: bad", 1, label="this one", severity=Severity.WARNING
)


def test_place_line_marker_label_and_help() -> None:
    assert render(PLACED, prefix="repo/") == (
        "warning[x]: it is wrong\n   --> repo/m.yaml:120:3\n    |\n120 |   a: bad\n    |   ^ this one\nhelp: do so"
    )


def test_problem_of_a_whole_file_has_no_line() -> None:
    assert render(Diagnostic("x", "it is wrong", "m.yaml")) == "error[x]: it is wrong\n --> m.yaml"


def test_last_line_counts() -> None:
    error = Diagnostic("x", "y", "z")
    assert render_all([error, error, PLACED]).endswith("\n\nFound 2 errors and 1 warning")
    assert render_all([]) == ""


def test_long_line_is_cut_around_the_marker() -> None:
    text = render(Diagnostic("x", "y", "m.yaml", 1, 300, source="a" * 299 + "b" + "c" * 99))
    _, _, _, source, marker = text.split("\n")
    assert len(source) < 180
    assert source[marker.index("^")] == "b"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in render(Diagnostic("x", "y", "m.yaml", 1, 1, source="\x1b[31mred"))


def test_style_decorates_by_role() -> None:
    assert render(PLACED, style=lambda role, text: f"<{role}>{text}</>").startswith("<warning>warning[x]</>: it")


def test_json_form_has_every_part() -> None:
    value = json.loads(json.dumps(as_json(PLACED)))
    assert value["severity"] == "warning"
    assert (value["line"], value["column"], value["field"]) == (120, 3, "spec.a")
    assert as_json(Diagnostic("x", "y", "z"))["line"] is None
