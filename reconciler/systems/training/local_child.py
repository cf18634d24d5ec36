"""The process of one local run.

KFP's local runner is one global without time-out or cancel; in a process of its own it can be given both. The process
leads its own group, outlives the reconciler, keeps the time-out itself and writes how it ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.observed import RunState
from reconciler.systems.training.failure import bounded, cause_in
from reconciler.systems.training.run_directory import RunDirectory

_TAIL = 256 * 1024


class Ending:
    """Writes the result once: whichever of the pipeline and the time-out is first."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def write(self, state: RunState, cause: str | None) -> None:
        """Write the result, or wait for ever when another thread has written it and ends the process."""
        self._lock.acquire()  # never released: there is one end
        finished = datetime.now(UTC).isoformat()
        self._directory.write("result.json", {"state": state.value, "finished_at": finished, "cause": cause})


def main(path: Path) -> None:
    """Run the pipeline of a run directory to its end."""
    directory = RunDirectory(path)
    directory.write("pid", {"pid": os.getpid()})
    if (path / "stop").exists():
        return
    request = directory.read("request.json")
    if request is None:
        raise SystemExit(f"{path} holds no request.json")
    ending = Ending(directory)
    _watch(ending, float(request["timeout_seconds"]))
    _prepare(path)
    try:
        run_pipeline(directory, request["arguments"])
    except BaseException as error:  # noqa: BLE001  the process's edge: whatever ended the run is its result
        cause = _cause(directory, error)
        traceback.print_exc()
        ending.write(RunState.FAILED, cause)
    else:
        ending.write(RunState.SUCCEEDED, None)
        for name in ("outputs", "tmp"):
            shutil.rmtree(path / name, ignore_errors=True)


def _watch(ending: Ending, seconds: float) -> None:
    def end() -> None:
        ending.write(RunState.FAILED, f"timed out after {seconds:g} s")
        os.killpg(0, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _prepare(path: Path) -> None:
    os.chdir(path)
    (path / "tmp").mkdir(exist_ok=True)
    # The steps unpack their code into temporary folders that KFP never removes.
    os.environ["TMPDIR"] = str(path / "tmp")


def run_pipeline(directory: RunDirectory, arguments: dict[str, Any]) -> None:
    """Run a compiled pipeline with KFP's local runner; raises RuntimeError when a step fails."""
    from kfp import components, local  # noqa: PLC0415  a second that a stopped run need not spend

    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(directory.path / "outputs"),
        workspace_root=str(directory.path / "workspace"),
        raise_on_error=True,
    )
    components.load_component_from_file(str(directory.package))(**arguments)


def _cause(directory: RunDirectory, error: BaseException) -> str:
    if "Inner task failed" not in str(error):
        return bounded(f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    with directory.log.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
        return cause_in(log.read().decode("utf-8", errors="replace"))
