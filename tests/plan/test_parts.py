"""What stands beside the predictor: KServe splits the predictor alone, so these parts take no steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.observed import Release, ReleaseRecord, Stage
from reconciler.plan.action import StageCandidate
from reconciler.plan.marks import release_to_tag
from reconciler.status import Phase
from tests.plan.scenes import STABLE, Scene, settled, wanting

PREDICTOR = {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}}
NEW, OLD = {"containers": [{"image": "t:2"}]}, {"containers": [{"image": "t:1"}]}
BEFORE = Release(1, "before")


def applied(**parts: Any) -> dict[str, Any]:
    return {"namespace": "models", "mode": "Knative", "predictor": PREDICTOR, **parts}


def changing(before: dict[str, Any], after: dict[str, Any], **wishes: Any) -> Scene:
    """Let version 1 serve with some parts, and let Git want version 2 with others."""
    scene = settled(serving=applied(**after), **wishes).version(2)
    assert scene.live is not None
    there = replace(scene.live, release=BEFORE, revisions={STABLE: BEFORE})
    return replace(scene, live=there).sees(records={BEFORE: ReleaseRecord(BEFORE, "s3://m/1", applied(**before))})


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    {
        "a transformer changed": ({"transformer": OLD}, {"transformer": NEW}, "transformer"),
        "a transformer came": ({}, {"transformer": NEW}, "transformer"),
        "an explainer went": ({"explainer": OLD}, {}, "explainer"),
        "both changed": (
            {"transformer": OLD, "explainer": OLD}, {"transformer": NEW, "explainer": NEW}, "transformer and explainer",
        ),
    }.values(),
)  # fmt: skip
def test_a_changed_part_is_not_rolled_out_by_steps(before: Any, after: Any, parts: str) -> None:
    decision = changing(before, after).decide()
    assert (decision.action, decision.cause, decision.phase) == (None, "PartsNotSplit", Phase.DEPLOYING)
    assert f"its {parts} changed, and all callers pass a new one at once" in decision.stalled
    assert decision.waits_for == (
        f"strategy: immediate in Git for that change, or a commit that leaves the {parts} as in 1-before"
    )


def test_blue_green_is_a_step_too() -> None:
    scene = changing({"transformer": OLD}, {"transformer": NEW}, rollout={"strategy": "blueGreen"})
    assert scene.decide().cause == "PartsNotSplit"


@pytest.mark.parametrize(
    "scene",
    {
        "the parts stay as they were": changing({"transformer": OLD}, {"transformer": OLD}),
        "everything is asked for at once": changing(
            {"transformer": OLD}, {"transformer": NEW}, rollout={"strategy": "immediate"}
        ),
        "nothing is known of before": changing({"transformer": OLD}, {"transformer": NEW}).sees(records={}),
    }.values(),
)
def test_a_rollout_begins_where(scene: Scene) -> None:
    assert isinstance(scene.decide().action, StageCandidate)


def test_going_back_to_what_callers_had_takes_no_steps_whatever_its_parts_are() -> None:
    pinned = wanting(serving=applied(transformer=NEW), promotion={"version": "1"})
    had = release_to_tag("models", pinned.release(1))
    newer = Release(2, "newer")
    scene = pinned.version(1, Stage.ARCHIVED, **{"reconciler.dev/release": had}).version(2, Stage.PRODUCTION).serving(2)
    assert scene.live is not None
    there = replace(scene.live, release=newer, revisions={STABLE: newer})
    record = ReleaseRecord(newer, "s3://m/2", applied(transformer=OLD))
    decision = replace(scene, live=there).sees(records={newer: record}).decide()
    assert isinstance(decision.action, StageCandidate)


def test_in_mid_canary_the_old_candidate_is_taken_to_nothing_and_stable_keeps_everything() -> None:
    scene = wanting(serving=applied(transformer=NEW)).version(1, Stage.PRODUCTION).rolling(0, 1).version(3)
    stable = scene.release(1)
    record = ReleaseRecord(stable, "s3://m/1", applied(transformer=OLD))
    decision = scene.sees(records={stable: record}).decide()
    assert (decision.action, decision.cause) == (None, "PartsNotSplit")
