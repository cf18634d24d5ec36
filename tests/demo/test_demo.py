"""The demo itself, as a newcomer runs it: both stories, end states checked, nothing left behind."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

MINUTES = 8


def of_demo(folder: Path) -> list[str]:
    """Return the command lines of processes that belong to this demo."""
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        command = " ".join(process.info["cmdline"] or ())
        if str(folder) in command and process.pid != os.getpid():
            found.append(command)
    return found


def run_demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler", "demo", "--exit", "--dir", str(folder), *options]
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=MINUTES * 60, check=False
    )


@pytest.mark.timeout(2 * MINUTES * 60)
@pytest.mark.parametrize("options", [[], ["--standard"]], ids=["Knative", "Standard"])
def test_the_demo_tells_both_stories_checks_their_end_and_a_second_run_goes_on_from_there(
    options: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    first = run_demo(folder, *options)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "\n  ✖ " not in first.stdout
    assert re.search(r"\nAll \d+ end states hold\.\n$", first.stdout)
    assert f"`make demo ARGS='{shlex.join([*options, '--dir', str(folder)])}'` starts it again" in first.stdout
    for model, rate in (("iris", 45), ("diabetes", 5)):
        assert re.search(rf"✔ {model}: no caller's request failed  0 of [\d,]+ requests failed, bound 0;", first.stdout)
        assert f"✔ {model}: {rate} requests a second all the while" in first.stdout
    assert "bound 22: 10 % of 45 a second in 5s" in first.stdout
    assert "version 3 is marked rejected" in first.stdout
    assert "iris: check answers ✖ fail, agreement with expected" in first.stdout
    if shutil.which("prometheus"):
        assert "iris: check errors ✔ pass, error rate" in first.stdout
        assert "iris: check latency ✔ pass, latency p95" in first.stdout
    assert of_demo(folder) == []
    commits = subprocess.run(
        ["git", "-C", str(folder / "repo"), "log", "--oneline"], capture_output=True, text=True, check=True
    )
    second = run_demo(folder, *options)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "because" not in second.stdout, "the second run changed something"
    again = subprocess.run(
        ["git", "-C", str(folder / "repo"), "log", "--oneline"], capture_output=True, text=True, check=True
    )
    assert again.stdout == commits.stdout
    assert of_demo(folder) == []
