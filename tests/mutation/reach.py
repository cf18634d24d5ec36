"""Which test reaches which line, and how long it takes; recorded once."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any


@dataclass(slots=True)
class Reach:
    """The tests by the lines that they reach: for each file and line the numbers of tests."""

    files: frozenset[str]
    tests: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def record(self, number: int, run: Callable[[], object]) -> None:
        """Run a test twice: once for its time, once for its lines."""
        started = time.process_time()
        run()
        self.seconds[number] = time.process_time() - started
        lines = _lines_of(run, self.files)
        for place in lines:
            self.tests.setdefault(place, set()).add(number)

    def reaching(self, file: str, first: int, last: int) -> set[int]:
        """Return the tests that reach one of these lines; all tests for what is read without running a line."""
        if first == 0:
            return set(self.seconds)
        return set().union(*(self.tests.get((file, line), set()) for line in range(first, last + 1)))

    def fastest_first(self, tests: Iterable[int], last_resort: frozenset[int]) -> list[int]:
        """Return tests in the order in which they are tried."""
        return sorted(tests, key=lambda number: (number in last_resort, self.seconds[number], number))


def _lines_of(run: Callable[[], object], files: frozenset[str]) -> set[tuple[str, int]]:
    reached: set[tuple[str, int]] = set()
    left: dict[CodeType, set[int]] = {}

    def called(frame: FrameType, _event: str, _arg: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in files:
            return None
        if code not in left:
            left[code] = {line for _, _, line in code.co_lines() if line is not None}
        if not left[code]:
            return None  # all of it was seen already
        return stepped

    def stepped(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            reached.add((frame.f_code.co_filename, frame.f_lineno))
            left[frame.f_code].discard(frame.f_lineno)
        return stepped

    before = sys.gettrace()
    sys.settrace(called)
    try:
        run()
    finally:
        sys.settrace(before)
    return reached
