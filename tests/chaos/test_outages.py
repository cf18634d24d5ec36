"""Systems that vanish, hang, answer half or not at all, in the middle of any phase, and come back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import cycle

import pytest

from tests.chaos.conftest import LONG, Calm, MakeRig, Rig
from tests.chaos.ending import check, ending
from tests.chaos.judge import Reached
from tests.chaos.proxy import Cut, Deaf, Delay, Down, Hang, Mood, Pass
from tests.chaos.story import CHAPTERS, PATIENCE_SECONDS, ask, keep_up_until, metrics, status, tell
from tests.chaos.world import git_by_http

# Longer than every time-out that the reconciler was given.
AWAY_SECONDS = 60.0 if LONG else 2.5


@dataclass(frozen=True, slots=True)
class Outage:
    """What happens to a system when a gap is reached for the n-th time."""

    gap: str
    system: str
    mood: Mood
    time: int = 1


A_BIT_OF_EVERYTHING = (
    Outage("Train: claimed", "kfp", Deaf()),
    Outage("Deploy: intended", "kubernetes", Down()),
    Outage("Promote: intended", "mlflow", Deaf()),
    Outage("StageCandidate: intended", "mlflow", Hang()),
    Outage("RouteAll: intended", "kubernetes", Cut(20)),
    Outage("CutTraffic: intended", "kubernetes", Hang()),
    Outage("Reject: wrote POST model-versions/set-tag", "mlflow", Down()),
)
EVERY_PHASE = {
    "the registry and the cluster are gone before a write": (
        Outage("RecordGates: intended", "mlflow", Down()),
        Outage("Deploy: intended", "kubernetes", Down()),
        Outage("StageCandidate: intended", "mlflow", Hang()),
        Outage("ShiftTraffic: intended", "kubernetes", Hang()),
        Outage("CutTraffic: intended", "kubernetes", Down()),
        Outage("Reject: intended", "mlflow", Down()),
    ),
    "the answer to a write is lost": (
        Outage("Train: claimed", "kfp", Deaf()),
        Outage("Promote: intended", "mlflow", Deaf()),
        Outage("StartCanary: intended", "kubernetes", Deaf()),
        Outage("RouteAll: intended", "kubernetes", Cut(20)),
        Outage("StageCandidate: wrote POST registered-models/alias", "mlflow", Cut(20), 2),
        Outage("Reject: wrote POST model-versions/set-tag", "mlflow", Deaf()),
    ),
    "everything is slow, and training and measuring go blind": (
        Outage("Train: intended", "kfp", Hang()),
        Outage("BeginStep: intended", "mlflow", Delay(0.3)),
        Outage("Analyse: intended", "kubernetes", Delay(0.3)),
        Outage("RestoreStable: intended", "kubernetes", Cut(200)),
        Outage("FinishRollback: intended", "kubernetes", Deaf()),
    ),
}


@dataclass
class Weather:
    """Brings the outages about when their gaps are reached, each for a while."""

    rig: Rig
    coming: list[Outage]
    counts: dict[str, int] = field(default_factory=dict)
    timers: list[threading.Timer] = field(default_factory=list)

    def __call__(self, reached: Reached) -> None:
        self.counts[reached.gap] = self.counts.get(reached.gap, 0) + 1
        for outage in [o for o in self.coming if (o.gap, o.time) == (reached.gap, self.counts[reached.gap])]:
            self.coming.remove(outage)
            self.strike(outage.system, outage.mood)

    def strike(self, system: str, mood: Mood) -> None:
        """Change a system's mood now, and change it back later."""
        proxy = self.rig.world.proxies[system]
        proxy.become(mood)
        timer = threading.Timer(AWAY_SECONDS, proxy.become, (Pass(),))
        timer.start()
        self.timers.append(timer)

    def clear(self) -> None:
        """Wait until every system is back."""
        for timer in self.timers:
            timer.join()


STORIES = EVERY_PHASE if LONG else {"a bit of everything happens": A_BIT_OF_EVERYTHING}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_like_a_calm_one_although(story: str, rigs: MakeRig, calm: Calm) -> None:
    with rigs() as rig:
        weather = Weather(rig, list(STORIES[story]))
        rig.judge.verdict = weather
        assert tell(rig.service, patience=PATIENCE_SECONDS + 2 * AWAY_SECONDS) == calm.endings
        weather.clear()
        assert rig.service.end() == 0
        assert weather.coming == [], "an outage never came about"
        assert rig.service.codes == [0], "it ended by itself"
        check(rig.world, crashes=0)


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
