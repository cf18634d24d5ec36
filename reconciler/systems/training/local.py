"""Training by KFP's local runner: each run is a process of its own with a directory of its own.

A run outlives the reconciler: the next one finds its directory and goes on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.breakpoints import reached
from reconciler.errors import Refused, Transient, UnknownOutcome
from reconciler.observed import Package, PipelineVersion, TrainingRequest, TrainingRun
from reconciler.ports import Clock
from reconciler.systems.training.package import arguments, read_package
from reconciler.systems.training.run_directory import RunDirectory

_ROOT = Path(__file__).parents[3]
_CHILD = (
    "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
    "from reconciler.systems.training.local_child import main; main(Path(sys.argv[2]))"
)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
_PATIENCE = 5.0
_GRACE = 3.0


def child_environment(environ: Mapping[str, str], tracking_uri: str) -> dict[str, str]:
    """Return what a run may see of our environment: everything but our own settings, and where MLflow is."""
    own = {name: value for name, value in environ.items() if not name.startswith("RECONCILER_")}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "GIT_PYTHON_REFRESH": "quiet"}
    return {**quiet, **own, "MLFLOW_TRACKING_URI": tracking_uri}


class LocalTraining:
    """Runs compiled pipelines on this machine, `parallel` at a time; `environment` is all that a run sees of ours."""

    def __init__(
        self, runs_dir: Path, *, tracking_uri: str, environment: Mapping[str, str], parallel: int, clock: Clock
    ) -> None:
        self._runs_dir = runs_dir.absolute()
        self._tracking_uri = tracking_uri
        self._environment = dict(environment)
        self._parallel = parallel
        self.settle_seconds = 0.0  # the claim is a directory: a request either made it or did not
        self._clock = clock
        self._lock = threading.Lock()
        self._children: set[int] = set()

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        """Return the model's runs, oldest first, as their directories tell."""
        self._reap()
        with _as_transient(f"reading the runs of {model}"):
            found = [run for each in _directories(self._runs_dir / _safe(model)) if (run := each.run())]
        return tuple(sorted(found, key=lambda run: (run.created_at, run.attempt)))

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        """Start the run of this key and attempt, or return the one that exists.

        Raises Transient while as many run as may, and Refused when the pipeline or its parameters cannot be run.
        """
        self._reap()
        directory = self._directory(request.model, f"{request.key}-{request.attempt}")
        with self._lock, _as_transient(f"starting the training of {request.model}"):
            if existing := directory.run():
                return existing
            self._check_room()
            self._start(directory, request)
            return _started(directory)

    def ensure_stopped(self, model: str, run_id: str) -> None:
        """End every process of a run; ended already, or never begun, is success."""
        self._reap()
        directory = self._directory(model, run_id)
        with _as_transient(f"stopping run {run_id} of {model}"):
            if directory.running():
                directory.write("stop", {"at": self._clock().isoformat()})
                self._end(directory)

    def stop_all(self) -> None:
        """End every run of every model: nothing outlives this call."""
        for directory in self._running():
            self.ensure_stopped(directory.path.parent.name, directory.path.name)

    def _directory(self, model: str, run_id: str) -> RunDirectory:
        return RunDirectory(self._runs_dir / _safe(model) / _safe(run_id))

    def _running(self) -> list[RunDirectory]:
        if not self._runs_dir.is_dir():
            return []
        models = sorted(path for path in self._runs_dir.iterdir() if path.is_dir())
        return [each for model in models for each in _directories(model) if each.running()]

    def _check_room(self) -> None:
        running = len(self._running())
        if running >= self._parallel:
            raise Transient(
                f"{running} trainings run on this machine, and {self._parallel} may",
                help="it starts when one of them has ended",
                retry_after=5,
            )

    def _start(self, directory: RunDirectory, request: TrainingRequest) -> None:
        record, package = self._asked(request)
        new = RunDirectory(directory.path.with_name(f".new-{directory.path.name}"))
        shutil.rmtree(new.path, ignore_errors=True)
        new.path.mkdir(parents=True, mode=0o700)
        new.package.write_bytes(package.content)
        new.write("request.json", record)
        with locked(new.lock) as lock:
            _clear(directory)
            # The claim: a name that exists is not taken over, and whoever sees the name sees it held.
            new.path.rename(directory.path)
            reached("run named")
            try:
                self._spawn(directory, lock)
            except OSError:
                shutil.rmtree(directory.path, ignore_errors=True)
                raise

    def _asked(self, request: TrainingRequest) -> tuple[dict[str, Any], Package]:
        match request.pipeline:
            case Package() as package:
                given = arguments(read_package(package), request, self._tracking_uri)
            case PipelineVersion(name, version):
                raise Refused(
                    f"pipeline {name} {version} is known to a KFP API, and trainings run locally here",
                    help="name a compiled package of the repository, or set training.backend to kfp",
                )
        record = {
            "model": request.model,
            "key": request.key,
            "attempt": request.attempt,
            "package": package.path,
            "arguments": given,
            "timeout_seconds": request.timeout.total_seconds(),
            "created_at": self._clock().isoformat(),
        }
        return record, package

    def _spawn(self, directory: RunDirectory, lock: int) -> None:
        write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-u", "-c", _CHILD, str(_ROOT), str(directory.path)],
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, lock, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(directory.log), write, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
        )
        self._children.add(pid)
        reached("run begun")
        directory.write("begun", {"pid": pid})

    def _reap(self) -> None:
        for pid in tuple(self._children):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            self._children.discard(pid)

    def _end(self, directory: RunDirectory) -> None:
        if not _wait(lambda: directory.pid() is not None or not directory.held(), _PATIENCE):
            raise UnknownOutcome(f"{directory.path.name} has not said its process id; looking again")
        for sign, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _PATIENCE)):
            group = directory.pid()
            if group is not None and directory.held():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, sign)
            if _wait(lambda: not directory.held(), patience):
                self._reap()
                return
        raise UnknownOutcome(f"run {directory.path.name} still has processes in group {directory.pid()}")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold a lock file; a process that inherits the descriptor goes on holding it afterwards."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file.fileno()


def _started(directory: RunDirectory) -> TrainingRun:
    run = directory.run()
    if run is None:
        raise UnknownOutcome(f"{directory.path} vanished while its run started; looking again")
    return run


def _clear(directory: RunDirectory) -> None:
    """Put a directory aside whose run never began: whoever named it died before starting anything."""
    if directory.path.exists() and not directory.begun():
        aside = directory.path.with_name(f".dead-{directory.path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        directory.path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _directories(parent: Path) -> list[RunDirectory]:
    try:
        names = sorted(path for path in parent.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    return [RunDirectory(path) for path in names if path.is_dir()]


def _safe(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise Refused(
            f"{name!r} cannot name a directory: letters, digits and ._:- are allowed, a letter or digit first"
        )
    return name


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def _as_transient(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Transient(f"{doing}: {error.strerror or error} ({error.filename})") from error
