"""The other end of `reconciler.breakpoints`: sees every place that is reached, and may end the process there."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reached:
    """One thread of one process, standing still. `gap` names the place: the action, and what it has just done.

    An action of one kind has the same gaps, whichever version it is about.
    """

    pid: int
    gap: str
    action: str


Verdict = Callable[[Reached], None]
"""Looks at where the process stands, and may end it or change the world; the thread goes on when this returns."""


@dataclass
class Judge:
    """Lets everything pass until told otherwise."""

    path: Path
    verdict: Verdict = lambda _: None
    seen: list[str] = field(default_factory=list)
    _actions: dict[tuple[int, int], str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, line: str) -> None:
        """Take one message of a process that stands still."""
        pid, thread, place = line.split(" ", 2)
        with self._lock:
            reached = self._named(int(pid), int(thread), place)
            self.seen.append(reached.gap)
            # One at a time: two threads that both were killed would count as two crashes.
            self.verdict(reached)

    def _named(self, pid: int, thread: int, place: str) -> Reached:
        verb, _, rest = place.partition(" ")
        if verb == "intended":
            self._actions[pid, thread] = rest.partition(" ")[2]
            place = verb
        action = self._actions.get((pid, thread), "outside")
        return Reached(pid, f"{action}: {place}", action)


@contextmanager
def judging() -> Iterator[Judge]:
    """Listen on a socket of the file system until the block ends."""
    # The path of a socket may have 108 characters, fewer than pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="judge-"))
    judge = Judge(folder / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(judge.path))
        listener.listen(64)
        threading.Thread(target=_accept, args=(listener, judge), daemon=True).start()
        try:
            yield judge
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            shutil.rmtree(folder)


def _accept(listener: socket.socket, judge: Judge) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_hear, args=(connection, judge), daemon=True).start()


def _hear(connection: socket.socket, judge: Judge) -> None:
    with connection, contextlib.suppress(OSError):
        line = connection.makefile(encoding="utf-8").readline().rstrip("\n")
        if line:
            judge.hear(line)
        connection.sendall(b".")
