"""A ledger without room: nothing is done that cannot be recorded, and once there is room all goes on."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.conftest import LONG, Calm, MakeRig, Rig
from tests.chaos.ending import check_intents, ending, entries
from tests.chaos.judge import Reached
from tests.chaos.story import CHAPTERS, ask, ended, keep_up_until, tell

# Room for the story: SQLite lets its log grow to 4 MB before it takes it back.
SMALL = "12m"
NO_ROOM = "cannot write the ledger"


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a small tmpfs; skips where that is not allowed."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"this machine does not let us mount a tmpfs: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Leave no room."""
    with (path / "ballast").open("ab", buffering=0) as ballast:
        for size in (65536, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


def world_of(rig: Rig) -> str:
    """Return everything that an action could change."""
    spec = (rig.world.service() or {}).get("spec")
    return json.dumps([rig.world.registered(), spec, len(rig.world.trainer.runs)], sort_keys=True)


def ledger_fails(rig: Rig) -> bool:
    """Ask the service whether it can record."""
    found = {each["name"]: each for each in ask(rig.world, "systems").get("items", [])}
    return not found.get("ledger", {}).get("ok", True)


FULL = {
    "before anything was trained": (0, "Train: recorded"),
    "with a candidate staged": (1, "StageCandidate: recorded"),
    "between the intent to cut traffic and its outcome": (2, "CutTraffic: intended"),
}


@pytest.mark.parametrize("when", FULL if LONG else list(FULL)[-1:])
def test_nothing_is_done_while_the_ledger_has_no_room(when: str, rigs: MakeRig, calm: Calm, tmp_path: Path) -> None:
    number, gap = FULL[when]
    with small_disk(tmp_path / "disk") as disk, rigs() as rig:
        settings = json.loads(rig.world.settings.read_text(encoding="utf-8"))
        settings["ledgerUrl"] = f"sqlite:///{disk / 'ledger.db'}"
        rig.world.settings.write_text(json.dumps(settings), encoding="utf-8")
        endings = tell(rig.service, CHAPTERS[:number])
        full = threading.Event()

        def fill_once(reached: Reached) -> None:
            if reached.gap == gap and not full.is_set():
                full.set()
                fill(disk)

        rig.judge.verdict = fill_once
        chapter = CHAPTERS[number]
        rig.world.want(chapter.level, wrong=chapter.wrong)
        keep_up_until(rig.service, lambda: full.is_set() and ledger_fails(rig))
        before, tries = world_of(rig), rig.service.log().count(NO_ROOM)
        keep_up_until(rig.service, lambda: rig.service.log().count(NO_ROOM) >= tries + 3)
        assert world_of(rig) == before, "something was done without a record"
        (disk / "ballast").unlink()
        keep_up_until(rig.service, lambda: ended(rig.world, chapter))
        endings.append(ending(rig.world))
        endings += tell(rig.service, CHAPTERS[number + 1 :])
        assert rig.service.end() == 0
        assert rig.service.codes == [0], "it ended by itself"
        assert endings == calm.endings
        # An outcome that found no room is like one that a crash took.
        check_intents(entries(disk / "ledger.db"), crashes=1)
