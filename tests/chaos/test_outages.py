"""Systems that vanish, hang, answer half or not at all, in the middle of any phase, and come back."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import LONG, Calm, MakeRig
from tests.chaos.ending import check
from tests.chaos.proxy import Cut, Deaf, Delay, Down, Hang
from tests.chaos.story import PATIENCE_SECONDS, tell
from tests.chaos.weather import AWAY_SECONDS, Outage, Weather
from tests.chaos.world import git_by_http

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


# One gap in each phase, and two where the phase goes on for long.
PHASES = (
    "Train: intended", "Train: recorded", "RecordGates: intended", "Deploy: intended", "StartCanary: intended",
    "BeginStep: intended", "Analyse: intended", "RouteAll: intended", "Promote: intended", "CutTraffic: intended",
    "RestoreStable: intended", "Reject: intended", "StopTraining: intended", "TakeDown: intended",
    "ArchiveAll: intended",
)  # fmt: skip
GONE = {
    f"{system} is gone in each phase": tuple(Outage(gap, system, Down()) for gap in PHASES)
    for system in ("mlflow", "kubernetes", "kfp", "git")
}
STORIES = {**EVERY_PHASE, **GONE} if LONG else {"a bit of everything happens": A_BIT_OF_EVERYTHING}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES)
def test_a_story_ends_like_a_calm_one_although(story: str, rigs: MakeRig, calm: Calm) -> None:
    with rigs() as rig:
        git_by_http(rig.world)
        weather = Weather(rig, list(STORIES[story]))
        rig.judge.verdict = weather
        assert tell(rig.service, patience=PATIENCE_SECONDS + 2 * AWAY_SECONDS) == calm.endings
        weather.clear()
        assert rig.service.end() == 0
        assert weather.coming == [], "an outage never came about"
        assert rig.service.codes == [0], "it ended by itself"
        check(rig.world, crashes=0)
