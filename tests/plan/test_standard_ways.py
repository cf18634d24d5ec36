"""Standard mode: how a candidate goes again, whenever that is decided, and the whole way that a plan foretells."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.observed import (
    Failure,
    InferenceService,
    Memory,
    Rejection,
    ReleaseRecord,
    Stage,
    TrafficTarget,
)
from reconciler.plan.action import (
    CutTraffic,
    Promote,
    Reject,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    Withdraw,
)
from reconciler.plan.decision import Decision
from reconciler.plan.facts import ROUTED_WITHIN, wanted_digest
from reconciler.plan.forecast import Assumptions, forecast
from reconciler.plan.planner import Rules
from reconciler.status import Phase
from tests.plan.scenes import MINUTE, NOW, Scene, wanting
from tests.plan.test_forecast import live as live_then
from tests.plan.test_forecast import roles, steps
from tests.plan.test_forecast import seen as observed
from tests.plan.test_rollout import record, recorded, seen

OLD, NEW = "iris-v1-aaaaa-predictor", "iris-v2-bbbbb-predictor"
MODEL = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
SERVING = {"namespace": "models", "mode": "Standard", "predictor": {"model": MODEL}}
STEPS = {"steps": [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]}
JUST, LONG_AGO = NOW - timedelta(seconds=1), NOW - ROUTED_WITHIN


def wants(**changes: Any) -> Scene:
    return wanting(**{"serving": SERVING, "rollout": STEPS, **changes})


def serving(scene: Scene, **changes: Any) -> Scene:
    """Serve version 1 of the only predictor, in Production."""
    one = scene.version(1, Stage.PRODUCTION)
    release = one.release(1)
    at = {"latest_created": OLD, "latest_ready": OLD, "latest_rolledout": OLD, "revisions": {OLD: release}}
    traffic = (TrafficTarget(OLD, 100, "latest", latest=True),)
    return one.serving(1, **{"mode": "Standard", "traffic": traffic, "applied_at": LONG_AGO, **at, **changes})


def shares(newest: int) -> tuple[TrafficTarget, ...]:
    return TrafficTarget(NEW, newest, "latest", latest=True), TrafficTarget(OLD, 100 - newest, "prev")


def canary(
    asked: int | None, effective: int, step: int = 1, spec: dict[str, Any] | None = None, **changes: Any
) -> Scene:
    """Roll version 2 out over version 1; `changes` are of the live object."""
    scene = wants(**(spec or {})).version(1, Stage.PRODUCTION).rolling(asked, step, age=timedelta(minutes=11))
    at = {"latest_created": NEW, "latest_ready": NEW, "latest_rolledout": OLD, "traffic": shares(effective)}
    revisions = {OLD: scene.release(1), NEW: scene.release(2)}
    told = {"mode": "Standard", "beside": scene.release(1), "revisions": revisions, "applied_at": JUST}
    return recorded(seen(scene, **{**told, **at, **changes}), stable_revision=OLD)


def promoted_in_place(asked: int, effective: int, **changes: Any) -> Scene:
    """Let the stable predictor be what the canary is."""
    scene = canary(asked, effective, 2)
    two = scene.release(2)
    return seen(scene, **{"beside": two, "revisions": {OLD: two, NEW: two}, **changes})


def said(decision: Decision) -> str:
    return f"{decision.reason}{decision.waits_for}{decision.stalled}"


# Back.


def against(scene: Scene) -> Scene:
    """Let the ledger remember that this very rollout was decided against."""
    wanted, rollout = wanted_digest(scene.wanted.spec), record(scene)
    rejection = Rejection(rollout.release, wanted, "too many errors", NOW, rollout.started)
    return scene.sees(memory=Memory(rejections=(rejection,)))


def restored(scene: Scene, **changes: Any) -> Scene:
    """Let the canary be removed from the spec."""
    one = scene.release(1)
    at = {"latest_created": OLD, "latest_ready": OLD, "revisions": {OLD: one}, "canary_percent": None, "beside": None}
    traffic = (TrafficTarget(OLD, 100, "latest", latest=True),)
    return seen(scene, **{"release": one, "traffic": traffic, **at, **changes})


BACK: dict[str, tuple[Scene, object, str]] = {
    "it has a share": (canary(50, 50, 2), CutTraffic, "too many errors"),
    "it lost its share and still has callers, whose pods must not go": (
        canary(0, 50, 2), None, "0 % of the traffic to reach version 2",
    ),
    "nobody is sent to it": (canary(0, 0, 2), RestoreStable, "version 1 is stable"),
    "it is gone": (restored(canary(0, 0, 2)), Reject, "too many errors"),
    "it is gone and the route still tells of it": (
        restored(canary(0, 0, 2), traffic=(), latest_ready=None), None, "all traffic to reach version 1",
    ),
    "it is what stable is by now, and has callers": (promoted_in_place(100, 100), CutTraffic, "too many errors"),
    "it is what stable is by now, which the canary's pods do not wait for": (
        promoted_in_place(0, 0), RestoreStable, "version 1 is stable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BACK)
def test_a_candidate_that_was_decided_against_goes_when(what: str) -> None:
    scene, action, words = BACK[what]
    decision = against(scene).decide()
    assert (type(decision.action) if decision.action else None) == action
    assert words in said(decision)


def test_what_was_promoted_is_not_taken_back_as_stable_is_gone() -> None:
    scene = canary(None, 100, 2)
    two = scene.release(2)
    alone = (TrafficTarget(NEW, 100, "latest", latest=True),)
    gone = seen(scene, beside=None, latest_rolledout=NEW, revisions={NEW: two}, traffic=alone)
    assert against(gone).decide().action == Promote(2, two)


def test_a_candidate_that_git_does_not_want_any_more_is_withdrawn() -> None:
    back = wants(promotion={"version": "1"}).wanted
    actions = [
        type(replace(scene, wanted=back).decide().action)
        for scene in (canary(10, 10), canary(0, 0), restored(canary(0, 0)))
    ]
    assert actions == [ShiftTraffic, RestoreStable, Withdraw]


# The pods that a share needs come before it.


def of_ten(asked: int, effective: int, step: int, there: int, pods: int, **changes: Any) -> Scene:
    """Let version 2 have so many pods `there` and be asked to have `pods`; ten are to carry everybody."""
    ten = {**SERVING, "predictor": {"model": MODEL, "minReplicas": 10}}
    scene = canary(
        asked, effective, step, {"serving": ten}, available={OLD: 10, NEW: there}, canary_pods=pods, **changes
    )
    records = {release: ReleaseRecord(release, "s3://m", ten) for release in (scene.release(1), scene.release(2))}
    return scene.sees(records=records)


def test_pods_for_a_share_are_asked_for_and_awaited_before_it_grows() -> None:
    scene = of_ten(10, 10, 1, 1, 1)
    asks = scene.decide()
    assert asks.action == ScaleCanary(scene.release(2), 10, 5, OLD)
    assert (asks.reason, asks.phase) == ("because 5 pods are to carry 50 %", Phase.CANARY)
    waits = of_ten(10, 10, 1, 4, 5, message="4 of 5 replicas").decide()
    assert (waits.action, waits.phase) == (None, Phase.CANARY)
    assert waits.waits_for == "5 pods of version 2, which are to carry 50 %; 4 are there: 4 of 5 replicas"
    hangs = of_ten(10, 10, 1, 4, 5, failure=Failure("Slow", "no room", terminal=False)).decide()
    assert hangs.stalled == "Slow: no room"
    assert of_ten(10, 10, 1, 5, 5).decide().action == ShiftTraffic(scene.release(2), 50, OLD)


def test_pods_for_everybody_are_there_before_stable_goes() -> None:
    scene = of_ten(50, 50, 2, 5, 5)
    assert scene.decide().action == ScaleCanary(scene.release(2), 50, 10, OLD)
    assert scene.decide().phase is Phase.PROMOTING
    assert of_ten(50, 50, 2, 10, 10).decide().action == ShiftTraffic(scene.release(2), 100, OLD)
    assert (
        of_ten(100, 100, 2, 9, 10).decide().waits_for == "10 pods of version 2, which are to carry 100 %; 9 are there"
    )
    assert of_ten(100, 100, 2, 10, 10).decide().action == RouteAll(scene.release(2), OLD)


def test_no_pods_are_awaited_where_stable_has_none_or_nobody_knows_how_many() -> None:
    gone = of_ten(0, 0, 0, 1, 1, unready=frozenset({OLD}), applied_at=LONG_AGO).decide()
    assert isinstance(gone.action, RouteAll)
    others: list[dict[str, Any]] = [{"available": {}}, {"mode": "Knative", "beside": None}]
    for changes in others:
        assert isinstance(seen(of_ten(10, 10, 1, 1, 1), **changes).decide().action, ShiftTraffic)
    assert isinstance(of_ten(10, 10, 1, 1, 1).sees(records={}).decide().action, ShiftTraffic)


def test_the_pods_that_a_canary_gets_on_its_way_are_foretold() -> None:
    took, _, found = foretold(of_ten(10, 10, 1, 1, 1))
    assert [one.split()[1] for one in took] == [
        "ScaleCanary", "ShiftTraffic", "BeginStep", "ScaleCanary", "ShiftTraffic", "RouteAll", "Promote",
    ]  # fmt: skip
    assert found.canary_percent is None


# What a plan foretells.

ASSUMED = Assumptions(training=timedelta(minutes=10), ready=MINUTE)


def foretold(scene: Scene) -> tuple[list[str], dict[int, Stage], InferenceService]:
    way = forecast(scene.wanted, observed(scene), Rules(scene.policy, scene.guard), NOW, ASSUMED)
    found = live_then(way)
    assert found is not None
    return steps(way), roles(way), found


def test_a_rollout_is_foretold_with_the_step_to_everything() -> None:
    took, ends, found = foretold(serving(wants()).version(2))
    assert took == [
        "0 StageCandidate", "0 StartCanary", "1 ShiftTraffic", "1 BeginStep", "11 ShiftTraffic", "11 BeginStep",
        "21 ShiftTraffic", "21 RouteAll", "21 Promote",
    ]  # fmt: skip
    assert ends == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert (found.beside, found.canary_percent, list(found.revisions or {})) == (None, None, [found.latest_created])


def test_a_withdrawal_is_foretold_to_its_end() -> None:
    scene = replace(canary(10, 10), wanted=wants(promotion={"version": "1"}).wanted)
    took, ends, found = foretold(scene)
    assert [one.split()[1] for one in took] == ["ShiftTraffic", "RestoreStable", "Withdraw"]
    assert ends == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert (found.release, found.beside, dict(found.revisions or {})) == (
        scene.release(1),
        None,
        {OLD: scene.release(1)},
    )


def test_a_first_deployment_is_foretold_in_the_mode_that_git_asks_for() -> None:
    took, ends, found = foretold(wants().version(1))
    assert took == ["0 Deploy", "1 Promote"]
    assert ends == {1: Stage.PRODUCTION}
    assert found.mode == "Standard"
