"""A local run on disk: everything known of it stands in one directory, so that any later process can read it.

    request.json   what was asked, when, and for how long; written before the directory gets its name
    package.yaml   the compiled pipeline
    lock           held by every process of the run, from before the first is started until the last has ended
    begun          present once the first process was started
    pid            of the first process, which leads the run's process group
    stop           present once somebody asked for the end
    result.json    how it ended, written by the run itself; absent when it was killed
    log.txt        everything that the run wrote

The lock is inherited, as standard input, by whatever the run starts. While it is held the process group is alive, so
its id cannot have gone to anybody else: neither a restart nor a recycled process id makes us take a stranger for a run.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.observed import RunState, TrainingRun
from reconciler.redaction import first_words
from reconciler.systems.training.failure import LIMIT

UNREADABLE = "ended with a result that nobody can read: something else wrote its result.json"
_LARGEST = 16 * 1024 * 1024
_MOST_PROCESSES = 2**22 + 1
_ENDS = (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)
KILLED = "ended without a result: killed, out of memory, or the machine went down"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The directory of one run."""

    path: Path

    @property
    def package(self) -> Path:
        """Return where the compiled pipeline stands."""
        return self.path / "package.yaml"

    @property
    def lock(self) -> Path:
        """Return where the lock stands."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """Return where everything that the run writes goes."""
        return self.path / "log.txt"

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Write a JSON file so that readers see all of it or nothing."""
        whole = self.path / name
        part = whole.with_name(f".{name}.{os.getpid()}")
        with part.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(whole)

    def read(self, name: str) -> dict[str, Any] | None:
        """Read a JSON file, None when there is none."""
        try:
            with (self.path / name).open("rb") as file:
                value = json.loads(file.read(_LARGEST))
        except (FileNotFoundError, ValueError, RecursionError):
            # A step runs as we do, and can write here what it likes.
            return None
        return value if isinstance(value, dict) else None

    def held(self) -> bool:
        """Tell whether any process of the run is alive."""
        try:
            file = self.lock.open("rb")
        except FileNotFoundError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def pid(self) -> int | None:
        """Return the process group's id, None before the run's first breath."""
        known = self.read("pid")
        pid = known.get("pid") if known else None
        # Never the groups 0 and 1, which are our own and everybody's.
        return pid if type(pid) is int and 1 < pid < _MOST_PROCESSES else None

    def begun(self) -> bool:
        """Tell whether any process of the run was started; not so where we died between naming it and starting it."""
        return any((self.path / sign).exists() for sign in ("begun", "pid", "stop", "result.json")) or self.held()

    def running(self) -> bool:
        """Tell whether the run has not ended."""
        return not (self.path / "result.json").exists() and self.held()

    def run(self) -> TrainingRun | None:
        """Return how the run stands, None when this is no run, or one that never began."""
        request = self.read("request.json")
        if request is None or not self.begun():
            return None
        key, attempt, created_at = request.get("key"), request.get("attempt"), _time(request.get("created_at"))
        if not isinstance(key, str) or type(attempt) is not int or created_at is None:
            return None
        state, finished_at, cause = self._state()
        return TrainingRun(
            key=key,
            attempt=attempt,
            run_id=self.path.name,
            state=state,
            created_at=created_at,
            finished_at=finished_at,
            cause=self._with_log(cause) if cause else None,
            url=self.log.as_uri(),
        )

    def _state(self) -> tuple[RunState, datetime | None, str | None]:
        result = self.read("result.json")
        if result is None and self.held():
            return (RunState.PENDING if self.pid() is None else RunState.RUNNING), None, None
        # It may have ended between the two looks.
        result = result or self.read("result.json")
        if result is not None:
            return self._result(result)
        if (self.path / "result.json").exists():
            return RunState.FAILED, self._last_sign(), UNREADABLE
        if (self.path / "stop").exists():
            return RunState.STOPPED, self._last_sign(), "stopped by the reconciler"
        return RunState.FAILED, self._last_sign(), KILLED

    def _result(self, result: Mapping[str, Any]) -> tuple[RunState, datetime | None, str | None]:
        finished_at, cause = _time(result.get("finished_at")), result.get("cause")
        state = next((state for state in _ENDS if state == result.get("state")), None)
        if state is None or finished_at is None or not isinstance(cause, str | None):
            return RunState.FAILED, self._last_sign(), UNREADABLE
        return state, finished_at, cause

    def _last_sign(self) -> datetime:
        seen = self.log if self.log.exists() else self.path
        return datetime.fromtimestamp(seen.stat().st_mtime, UTC)

    def _with_log(self, cause: str) -> str:
        where = f" (log: {self.log})"
        room = max(LIMIT - len(where), 80)
        return first_words(cause, room) + where


def _time(text: object) -> datetime | None:
    """Read a time with a zone, None for anything else."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
