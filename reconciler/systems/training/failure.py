"""The cause of a failed local run, dug out of its log: KFP's own error names the step, but not the reason."""

from __future__ import annotations

import re

from reconciler.redaction import first_words

LIMIT = 500
_TRACEBACK = re.compile(r"^(\s*)Traceback \(most recent call last\):\s*$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"^[0-9:.]+ - INFO - Executing task '([^']+)'")
_OWN = re.compile(r"^([0-9:.]+ - [A-Z]+ - |-{20,}$)")


def cause_in(log: str) -> str:
    """Return the step that ran last and the exception that ended it, in at most 500 characters."""
    lines = _COLOUR.sub("", log).splitlines()
    step = next((m.group(1) for line in reversed(lines) if (m := _STEP.match(line))), None)
    reason = _last_exception(lines) or _last_words(lines)
    return bounded(f"step {step}: {reason}" if step else reason)


def bounded(text: str) -> str:
    """Cut a text to the length that fits a status."""
    return first_words(text, LIMIT)


def _last_exception(lines: list[str]) -> str | None:
    for start in range(len(lines) - 1, -1, -1):
        if match := _TRACEBACK.match(lines[start]):
            return _exception_after(lines[start + 1 :], match.group(1))
    return None


def _exception_after(lines: list[str], indent: str) -> str | None:
    """Return the first line that is indented as the traceback's own head: the exception; frames stand deeper."""
    for line in lines:
        if line.startswith(indent) and line[len(indent) :].strip() and not line[len(indent) :].startswith(" "):
            return line.strip()
    return None


def _last_words(lines: list[str]) -> str:
    words = [line.strip() for line in lines if line.strip() and not _OWN.match(line)]
    if not words:
        return "ended without a word, as when the system kills it for lack of memory"
    return f"ended without an exception; its last words: {words[-1]}"
