"""Two processes on one state: the second is told who the first one is, and does nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.audit.one_writer import only_writer
from reconciler.errors import Refused, SettingsError

_HOLD = """
import sys
from pathlib import Path
from reconciler.audit.one_writer import only_writer
with only_writer(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


@contextmanager
def another_process(state: Path, ledger: str) -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the state until the block ends."""
    command = [sys.executable, "-c", _HOLD, str(state), ledger]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_on_the_state_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    with (
        another_process(tmp_path, url(tmp_path)) as first,
        pytest.raises(Refused, match=rf"^process {first.pid} already reconciles from the state in {tmp_path}: "),
        only_writer(tmp_path, url(tmp_path)),
    ):
        pytest.fail("two hold the state")


def test_two_states_cannot_share_a_ledger_file(tmp_path: Path) -> None:
    ledger = url(tmp_path / "shared")
    with (
        another_process(tmp_path / "a", ledger) as first,
        pytest.raises(Refused, match=rf"^process {first.pid} already reconciles from the ledger {tmp_path}/shared/"),
        only_writer(tmp_path / "b", ledger),
    ):
        pytest.fail("two hold the ledger")


def test_a_process_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with another_process(tmp_path, url(tmp_path)) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        with only_writer(tmp_path, url(tmp_path)):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_one_process_after_the_other_is_fine_and_so_are_two_with_nothing_in_common(tmp_path: Path) -> None:
    for _ in range(2):
        with only_writer(tmp_path / "a", url(tmp_path / "a")), only_writer(tmp_path / "b", url(tmp_path / "b")):
            pass


def test_a_state_that_cannot_be_written_is_an_error_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(SettingsError, match="cannot use the state in"), only_writer(tmp_path, url(tmp_path)):
        pytest.fail("there is no lock")
