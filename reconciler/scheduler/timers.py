"""What happens at intervals. Home of APScheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, timedelta

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler


@dataclass(frozen=True, slots=True)
class Timer:
    """A call to be made at an interval; it must return at once."""

    name: str
    every: timedelta
    call: Callable[[], None]


class Timers:
    """Runs timers in one thread; runs that were missed are made up for by one."""

    def __init__(self, timers: Iterable[Timer]) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            daemon=True,
            # Calls in the scheduler's own thread: they only ask others to work, so a pool of threads would idle.
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for timer in timers:
            self._scheduler.add_job(timer.call, "interval", seconds=timer.every.total_seconds(), id=timer.name)

    def start(self) -> None:
        """Start; the first calls come after one interval."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop, and wait for the call that runs. Stopped already is success."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
