"""Fetching with a deadline and bounds: in a process that can be killed, because libgit2 cannot be told to stop."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from reconciler.errors import ReconcilerError, Refused, Terminal, Transient
from reconciler.source.fetch_child import Fetched, Job

_ROOT = Path(__file__).parents[2]
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from reconciler.source.fetch_child import main; main()"
_ERRORS: dict[str, type[ReconcilerError]] = {each.__name__: each for each in (Transient, Terminal, Refused)}
# What ends by itself at the deadline is given so much longer before it is killed.
_GRACE_SECONDS = 1.0
# A reference is locked for the moment of one write; a pack is written as long as a fetch takes.
_LOCK_SECONDS = 10.0


def fetch(job: Job) -> str:
    """Fetch what the job follows, and return its id. Raises Transient, Refused or Terminal."""
    _clear(Path(job.mirror), job.seconds)
    # `-P`: a folder that the service is started in must not be able to stand for our own code.
    command = [sys.executable, "-P", "-c", _CHILD, str(_ROOT)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asdict(job)).encode(),
            capture_output=True,
            timeout=job.seconds + _GRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _late(job) from None
    except OSError as error:
        raise Transient(f"cannot start a process to fetch {job.ref}: {error.strerror}") from None
    return _result(job, done)


def _result(job: Job, done: subprocess.CompletedProcess[bytes]) -> str:
    try:
        fetched = Fetched(**json.loads(done.stdout))
    except (ValueError, TypeError, RecursionError):
        if -done.returncode == signal.SIGALRM:
            raise _late(job) from None
        raise Transient(
            f"cannot fetch {job.ref} from {job.shown}: the fetch ended without a word (exit code {done.returncode})",
            help="the server sent more than git.mostMebibytes, or this machine lacks memory or room on its disk",
        ) from None
    if fetched.error:
        raise _ERRORS.get(fetched.error, Transient)(fetched.message, help=fetched.help)
    return fetched.tip


def _late(job: Job) -> Transient:
    return Transient(
        f"cannot fetch {job.ref} from {job.shown}: it did not end within {job.seconds:g} s",
        help="it is tried again; a large repository or a slow line needs a longer git.deadline",
    )


def _clear(mirror: Path, seconds: float) -> None:
    """Remove what a killed process left in the mirror: its locks would keep every later one out."""
    for pattern, age in (
        ("refs/**/*.lock", _LOCK_SECONDS),
        ("*.lock", _LOCK_SECONDS),
        ("objects/pack/*_git2_*", seconds),
    ):
        for left in mirror.glob(pattern):
            try:
                if time.time() - left.stat().st_mtime > age:
                    left.unlink()
            except OSError:
                continue  # somebody else was faster
