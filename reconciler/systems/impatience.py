"""Work of a library that may never end: done in a thread of its own, which whoever asked for it can leave behind.

Libraries run programs, such as plugins for credentials, and ask servers without a time-out. A thread cannot be ended
from outside, but the programs that it waits for can be, and then it ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
# What waits for a server that vanished cannot be ended: each attempt may leave a thread behind.
PAUSE_SECONDS = 600.0


class Impatient(Generic[T]):
    """Does one piece of work again and again, one attempt at a time, each for so many seconds at most."""

    def __init__(self, work: Callable[[], T], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._lock = threading.Lock()
        self._attempt: _Attempt[T] | None = None

    def __call__(self) -> T:
        """Return what the work returns, or raise what it raises; who asks meanwhile gets the same.

        Raises TimeoutError where it does not end; then what it started is ended.
        """
        with self._lock:
            attempt = self._attempt
            if attempt is None or attempt.over():
                attempt = self._attempt = _Attempt(self._work)
        wait([attempt.future], max(0.0, attempt.began + self._seconds - time.monotonic()))
        if not attempt.future.done():
            attempt.end_programs()
            raise TimeoutError(f"it did not end within {self._seconds:g} s")
        return attempt.future.result()


class _Attempt(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self.began = time.monotonic()
        self.future: Future[T] = Future()
        self._thread = threading.Thread(target=self._run, args=(work,), name="impatient", daemon=True)
        self._thread.start()

    def over(self) -> bool:
        """Return whether another attempt may be made."""
        return self.future.done() or time.monotonic() - self.began > PAUSE_SECONDS

    def end_programs(self) -> None:
        """End every program that this attempt started, where the system tells which these are."""
        if self._thread.native_id is not None and not self.future.done():
            for program in list(_below(f"/proc/self/task/{self._thread.native_id}")):
                with contextlib.suppress(OSError):
                    os.kill(program, signal.SIGKILL)

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self.future.set_result(work())
        except BaseException as error:  # noqa: BLE001  whoever asked is told
            self.future.set_exception(error)


def _below(thread: str) -> Iterator[int]:
    """Yield the programs that a thread of a process started, and those that these started."""
    with contextlib.suppress(OSError, ValueError):
        for program in map(int, Path(thread, "children").read_text(encoding="ascii").split()):
            yield program
            for each in Path(f"/proc/{program}/task").iterdir():
                yield from _below(str(each))
