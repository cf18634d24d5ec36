"""Git that hangs, breaks off, is gone or is moved away: what was wanted last stays in force."""

from __future__ import annotations

from itertools import cycle

import pytest

from tests.chaos.conftest import Calm, MakeRig, Rig
from tests.chaos.ending import check, ending
from tests.chaos.proxy import Cut, Down, Hang, Mood
from tests.chaos.story import CHAPTERS, PATIENCE_SECONDS, ask, keep_up_until, metrics, status, tell
from tests.chaos.weather import AWAY_SECONDS, Weather
from tests.chaos.world import git_by_http


@pytest.mark.timeout(1800)
def test_git_hangs_breaks_and_is_gone_before_each_commit_is_seen(rigs: MakeRig, calm: Calm) -> None:
    with rigs() as rig:
        git_by_http(rig.world)
        weather = Weather(rig, [])
        moods: tuple[Mood, ...] = (Hang(), Cut(300), Down())
        endings = []
        for chapter, mood in zip(CHAPTERS, cycle(moods), strict=False):
            weather.strike("git", mood)
            endings += tell(rig.service, (chapter,), patience=PATIENCE_SECONDS + 2 * AWAY_SECONDS)
            weather.clear()
        assert rig.service.end() == 0
        assert endings == calm.endings
        check(rig.world, crashes=0)


def test_a_repository_that_is_moved_away_changes_nothing_until_it_is_back(rigs: MakeRig) -> None:
    first, second = CHAPTERS[:2]
    with rigs() as rig:
        tell(rig.service, (first,))
        before = ending(rig.world)
        here, away = rig.world.origin.path, rig.world.folder / "away"
        here.rename(away)
        keep_up_until(rig.service, lambda: not git_answers(rig))
        rig.service.end()
        rig.service.start()
        # Also a start without Git goes on with what was wanted last, and takes nothing down.
        keep_up_until(rig.service, lambda: not git_answers(rig) and status(rig.world).get("phase") == "Idle")
        looked = passes(rig)
        keep_up_until(rig.service, lambda: passes(rig) > looked)
        assert ending(rig.world) == before
        away.rename(here)
        tell(rig.service, (second,))


def passes(rig: Rig) -> float:
    """Ask the service how often it has looked at its model, in this life."""
    said = metrics(rig.world).splitlines()
    return sum(float(line.split()[-1]) for line in said if line.startswith("model_reconciler_passes_total"))


def git_answers(rig: Rig) -> bool:
    """Ask the service whether it can fetch."""
    return bool(systems(rig).get("git", {}).get("ok", True))


def systems(rig: Rig) -> dict[str, dict[str, object]]:
    """Ask the service how each system answers."""
    return {each["name"]: each for each in ask(rig.world, "systems").get("items", [])}
