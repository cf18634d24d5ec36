"""The threads that take models from the queue, and those that read whole systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread

from reconciler.logs import get_logger
from reconciler.scheduler.queue import Monotonic, WorkQueue

_log = get_logger(__name__)


class Workers:
    """A fixed number of threads, each handling one model at a time. `handle` must not raise."""

    def __init__(self, queue: WorkQueue, handle: Callable[[str], None], count: int) -> None:
        self._queue = queue
        self._handle = handle
        # Daemons: a call that hangs beyond the shutdown's deadline must not keep the process alive.
        self.threads = [Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(1, count + 1)]

    def start(self) -> None:
        """Start taking models."""
        for thread in self.threads:
            thread.start()

    def alive(self) -> bool:
        """Tell whether every worker still runs."""
        return all(thread.is_alive() for thread in self.threads)

    def _work(self) -> None:
        while (name := self._queue.take()) is not None:
            try:
                self._handle(name)
            finally:
                self._queue.done(name)


class Reader:
    """A thread that reads one whole system when asked; asking during a read leads to exactly one more."""

    def __init__(self, name: str, read: Callable[[], None]) -> None:
        self._read = read
        self._asked = Event()
        self._stopped = Event()
        self.thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start, with a first read at once."""
        self._asked.set()
        self.thread.start()

    def ask(self) -> None:
        """Ask for a read; returns at once."""
        self._asked.set()

    def stop(self) -> None:
        """Begin no more reads."""
        self._stopped.set()
        self._asked.set()

    def _run(self) -> None:
        while self._asked.wait() and not self._stopped.is_set():
            self._asked.clear()
            try:
                self._read()
            except Exception:  # noqa: BLE001  the edge of this thread: one failed read must not end all later ones
                _log.exception("a read failed in a way nobody expected; it is tried again at its interval")


def join_all(threads: Iterable[Thread], timeout: float, monotonic: Monotonic) -> tuple[str, ...]:
    """Wait for threads to end, `timeout` seconds in all; return the names of those that still run."""
    deadline = monotonic() + timeout
    threads = list(threads)
    for thread in threads:
        thread.join(max(deadline - monotonic(), 0.0))
    return tuple(thread.name for thread in threads if thread.is_alive())
