"""Diagnostics as text for people and as JSON for machines. Plain: styling is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reconciler.desired.state import Diagnostic, Severity

_WIDEST = 160

Style = Callable[[str, str], str]
"""Decorates a text by its role: error, warning, help, place, marker or source."""


def plain(_role: str, text: str) -> str:
    """Leave a text as it is."""
    return text


def render(diagnostic: Diagnostic, *, style: Style = plain, prefix: str = "") -> str:
    """Write a diagnostic in several lines; `prefix` is put before its path, so that a terminal can open it."""
    head = style(diagnostic.severity.value, f"{diagnostic.severity.value}[{diagnostic.code}]")
    lines = [f"{head}: {diagnostic.message}"]
    if diagnostic.source:
        number = str(diagnostic.line)
        margin = " " * len(number)
        source, start = _window(diagnostic)
        marker = " " * start + "^" * _marked(diagnostic, source, start)
        label = f" {diagnostic.label}" if diagnostic.label else ""
        lines += [
            f"{margin}--> {style('place', prefix + _place(diagnostic))}",
            f"{margin} |",
            f"{number} | {style('source', source)}".rstrip(),
            f"{margin} | {style('marker', marker + label)}",
        ]
    else:
        lines.append(f" --> {style('place', prefix + _place(diagnostic))}")
    if diagnostic.help:
        lines.append(f"{style('help', 'help')}: {diagnostic.help}")
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic], *, style: Style = plain, prefix: str = "") -> str:
    """Write diagnostics one after the other, and last a line that counts them; "" when there are none."""
    found = list(diagnostics)
    if not found:
        return ""
    blocks = [render(diagnostic, style=style, prefix=prefix) for diagnostic in found]
    return "\n\n".join([*blocks, count(found)])


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """Count errors and warnings in one line."""
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counted = [(severities.count(severity), severity.value) for severity in Severity]
    return "Found " + " and ".join(f"{n} {word}{'s' if n != 1 else ''}" for n, word in counted if n)


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as a JSON object; line and column are null where there is no place."""
    return {
        "severity": diagnostic.severity.value,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "path": diagnostic.path,
        "line": diagnostic.line or None,
        "column": diagnostic.column or None,
        "length": diagnostic.length,
        "field": diagnostic.field,
        "label": diagnostic.label,
        "help": diagnostic.help,
    }


def _place(diagnostic: Diagnostic) -> str:
    if not diagnostic.line:
        return diagnostic.path
    return f"{diagnostic.path}:{diagnostic.line}:{diagnostic.column}"


def _window(diagnostic: Diagnostic) -> tuple[str, int]:
    """Return the part of the line worth showing, and where in it the marker begins."""
    source = "".join(c if c.isprintable() else " " for c in diagnostic.source)
    start = max(0, diagnostic.column - 1)
    if len(source) <= _WIDEST:
        return source, min(start, len(source))
    begin = max(0, min(start, len(source)) - _WIDEST // 2)
    return source[begin : begin + _WIDEST], min(start, len(source)) - begin


def _marked(diagnostic: Diagnostic, source: str, start: int) -> int:
    return max(1, min(diagnostic.length, len(source) - start))
