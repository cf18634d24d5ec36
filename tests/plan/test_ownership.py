"""What is taken from others, and what stalls instead: each rule by the action it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.manifest import SHARE, serving_fields
from reconciler.observed import HeldField, Known, Release, ReleaseRecord
from reconciler.plan.action import (
    Action,
    Analyse,
    CutTraffic,
    Deploy,
    FinishRollback,
    PutBack,
    RestoreStable,
    RouteAll,
    ShiftTraffic,
    StartCanary,
)
from reconciler.plan.decision import Decision, act, wait
from reconciler.plan.ownership import respect_owners
from reconciler.status import Health, Phase, Sync
from tests.plan.scenes import NOW, STABLE, UNKNOWN, Scene, settled
from tests.plan.test_ordering import facts_of

REPLICAS = ("f:spec", "f:predictor", "f:minReplicas")
PERSON = HeldField(REPLICAS, "kubectl", 7)
SHARED = HeldField(SHARE, "argocd", 40)
BASE = settled()
ONE, TWO = BASE.release(1), BASE.release(2)
OTHER = Release(1, "another")


def asking(**serving: Any) -> dict[str, Any]:
    """Return a spec's serving section that asks for one replica."""
    model = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
    return {"serving": {"namespace": "models", "predictor": {"model": model, "minReplicas": 1}, **serving}}


def holding(*held: HeldField, scene: Scene | None = None, **serving: Any) -> Scene:
    """Let others hold fields of a live object that serves version 1, or that the scene says."""
    made = scene or settled(**asking(**serving))
    assert made.live is not None
    return replace(made, live=replace(made.live, held=held))


def rolling(*held: HeldField, **serving: Any) -> Scene:
    return holding(*held, scene=settled(**asking(**serving)).rolling(10, step=1))


def respected(scene: Scene, action: Action | None) -> tuple[Decision, Decision]:
    """Return what was decided, and what is left of it."""
    decided = act(action, "because it is due", Phase.CANARY) if action else wait("nothing", Phase.IDLE, until=NOW)
    return decided, respect_owners(facts_of(scene), decided)


def cut(release: Release) -> CutTraffic:
    return CutTraffic(release, "w", NOW)


def test_what_nobody_else_holds_is_decided_as_it_was() -> None:
    for scene in (holding(), replace(holding(), live=None)):
        decided, left = respected(scene, Deploy(scene.release(1)))
        assert left is decided


def test_what_applies_nothing_takes_nothing() -> None:
    scene = rolling(PERSON)
    decided, left = respected(scene, Analyse(scene.release(2), 1, "answers"))
    assert left is decided


def test_what_others_hold_as_we_want_it_is_not_taken() -> None:
    scene = holding(replace(PERSON, value=1))
    decided, left = respected(scene, Deploy(scene.release(1)))
    assert left is decided


def test_a_stall_names_every_field_and_each_holder_once_and_keeps_the_deadline() -> None:
    model = HeldField(("f:spec", "f:predictor", "f:model", "f:protocolVersion"), "argocd", "v1")
    form = HeldField(("f:spec", "f:predictor", "f:model", "f:modelFormat", "f:name"), "kubectl", "x")
    scene = holding(PERSON, model, form)
    decided, _ = respected(scene, Deploy(scene.release(1)))
    left = respect_owners(facts_of(scene), replace(decided, look_again_at=NOW, sync=Sync.SYNCED))
    # A rollout's deadline goes on while a person is waited for.
    assert (left.action, left.reason, left.cause, left.look_again_at) == (None, "", "FieldsHeld", NOW)
    assert (left.sync, left.health) == (Sync.OUT_OF_SYNC, Health.DEGRADED)
    assert left.waits_for == '"argocd", "kubectl" to give these fields up, or serving.takeOwnership: true in Git'
    assert left.stalled.endswith(
        'does not take what others hold: spec.predictor.minReplicas ("kubectl"), '
        'spec.predictor.model.protocolVersion ("argocd"), spec.predictor.model.modelFormat.name ("kubectl")'
    )


def test_where_the_spec_says_so_fields_are_taken_and_the_reason_tells_from_whom() -> None:
    scene = holding(PERSON, takeOwnership=True)
    decided, left = respected(scene, Deploy(scene.release(1)))
    assert (left.action, left.takes) == (decided.action, (PERSON,))
    assert left.reason == (
        'because it is due; takes spec.predictor.minReplicas ("kubectl"), as serving.takeOwnership says'
    )


def test_a_share_that_somebody_holds_cannot_be_taken_away_by_leaving_it_out() -> None:
    ways: list[dict[str, Any]] = [{}, {"takeOwnership": True}]
    for serving in ways:
        scene = holding(SHARED, **serving)
        _, left = respected(scene, RouteAll(scene.release(1), STABLE))
        assert left.action is None
        assert 'spec.predictor.canaryTrafficPercent ("argocd")' in left.stalled


def test_a_stuck_share_is_what_the_stall_is_about() -> None:
    scene = holding(PERSON, SHARED)
    _, left = respected(scene, RouteAll(scene.release(1), STABLE))
    assert "minReplicas" not in left.stalled


APPLIED: dict[str, tuple[Any, int | None]] = {
    "a shift asks for its percent": (lambda r: ShiftTraffic(r, 40, STABLE), 40),
    "a canary begins with nothing": (StartCanary, 0),
    "a cut leaves nothing": (cut, 0),
    "stable is restored with nothing": (RestoreStable, 0),
    "what is put back keeps the share that is there": (lambda r: PutBack(r, ("x",)), 10),
    "all traffic needs no share": (lambda r: RouteAll(r, STABLE), None),
    "nor does the end of a rollback": (FinishRollback, None),
    "nor does a first deployment": (Deploy, None),
}


@pytest.mark.parametrize("sentence", APPLIED)
@pytest.mark.parametrize("held", [0, 10, 40])
def test_a_share_is_contested_where_another_one_is_asked_for(sentence: str, held: int) -> None:
    make, asked = APPLIED[sentence]
    scene = rolling(replace(SHARED, value=held))
    decided, left = respected(scene, make(scene.release(2)))
    assert (left is decided) == (asked == held)


def test_a_cut_that_changes_nothing_but_traffic_happens_whatever_somebody_holds_elsewhere() -> None:
    scene = rolling(PERSON)
    for action in (cut(scene.release(2)), ShiftTraffic(scene.release(2), 0, STABLE)):
        decided, left = respected(scene, action)
        assert left is decided


@pytest.mark.parametrize(
    "action",
    [
        lambda scene: ShiftTraffic(scene.release(2), 50, STABLE),
        lambda scene: StartCanary(scene.release(2)),
        lambda scene: cut(scene.release(1)),
    ],
    ids=["more traffic", "the same template anew", "a cut toward another template"],
)
def test_nothing_but_a_cut_passes_what_somebody_holds(action: Any) -> None:
    scene = rolling(PERSON)
    assert respected(scene, action(scene))[1].action is None


def test_a_cut_does_not_take_the_share_itself() -> None:
    scene = rolling(PERSON, SHARED)
    assert respected(scene, cut(scene.release(2)))[1].action is None


def test_a_release_of_another_day_is_held_against_what_was_applied_then() -> None:
    scene = holding(PERSON)
    serving = scene.wanted.spec.serving
    assert serving is not None
    fields = serving_fields(serving)
    then = ReleaseRecord(OTHER, "", {**fields, "predictor": {**fields["predictor"], "minReplicas": 7}})
    decided, left = respected(scene.sees(records={OTHER: then}), RouteAll(OTHER, STABLE))
    assert left is decided
    now = replace(then, serving=fields)
    assert respected(scene.sees(records={OTHER: now}), RouteAll(OTHER, STABLE))[1].action is None


def test_what_was_applied_is_not_known_of_an_unrecorded_release_of_another_form() -> None:
    scene = holding(PERSON)
    decided, left = respected(scene, RouteAll(OTHER, STABLE))
    assert left is decided


def test_without_serving_in_git_only_what_is_recorded_is_applied() -> None:
    scene = holding(PERSON)
    assert scene.wanted.spec.serving is not None
    record = ReleaseRecord(scene.release(1), "", serving_fields(scene.wanted.spec.serving))
    bare = scene.wants(spec=scene.wanted.spec.model_copy(update={"serving": None}))
    decided, left = respected(bare, RouteAll(record.release, STABLE))
    assert left is decided
    assert respected(bare.sees(records={record.release: record}), RouteAll(record.release, STABLE))[1].action is None


DRIFT = Known(("spec.predictor.minReplicas",), NOW)


def test_drift_that_cannot_be_put_back_is_said_before_its_pause_is_over() -> None:
    _, left = respected(holding(PERSON).sees(drift=DRIFT), None)
    assert left.cause == "FieldsHeld"


def test_drift_that_may_be_taken_back_waits_for_its_pause() -> None:
    decided, left = respected(holding(PERSON, takeOwnership=True).sees(drift=DRIFT), None)
    assert left is decided


UNSAID: dict[str, Scene] = {
    "there is no drift": holding(PERSON).sees(drift=Known((), NOW)),
    "drift was not read": holding(PERSON),
    "drift cannot be read": holding(PERSON).sees(drift=UNKNOWN),
    "a rollout is under way": rolling(PERSON).sees(drift=DRIFT),
}


@pytest.mark.parametrize("sentence", UNSAID)
def test_without_drift_of_what_serves_nothing_is_to_be_put_back(sentence: str) -> None:
    decided, left = respected(UNSAID[sentence], None)
    assert left is decided


@pytest.mark.parametrize("odd", [{"ours": False}, {"release": None}])
def test_drift_of_what_is_not_ours_is_nothing_to_put_back(odd: dict[str, Any]) -> None:
    scene = holding(PERSON).sees(drift=DRIFT)
    assert scene.live is not None
    decided, left = respected(replace(scene, live=replace(scene.live, **odd)), None)
    assert left is decided


def test_whoever_has_to_give_fields_up_is_named_once_and_in_order() -> None:
    names = ["kubectl", "hpa", "argocd", "flux", "helm", "kubectl", "ana"]
    scene = holding(*(replace(PERSON, manager=name) for name in names))
    _, left = respected(scene, Deploy(scene.release(1)))
    assert left.waits_for.startswith('"ana", "argocd", "flux", "helm", "hpa", "kubectl" to give these fields up')
