"""What is decided, in DESIGN.md's order: each line is a picture, what is done, and words of what people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import Diagnostic
from reconciler.observed import (
    Failure,
    Known,
    Measurement,
    Memory,
    Order,
    OrderKind,
    Rejection,
    Release,
    RunState,
    Side,
    Stage,
    TrafficTarget,
    Unsettled,
)
from reconciler.plan.action import ShiftTraffic, StageCandidate
from reconciler.plan.decision import Decision
from reconciler.plan.facts import wanted_digest
from reconciler.plan.marks import rejection_to_tag
from reconciler.status import Health, Phase, Sync
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, UNKNOWN, Scene, settled, wanting

CHECK = {"name": "answers", "interval": "2m", "minSamples": 20, "probe": {"inputs": {"from": "inputExample"}}}
STEPS = [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]


def told(decision: Decision) -> str:
    return " | ".join(t for t in (decision.reason, decision.waits_for, decision.blocked_by, decision.stalled) if t)


def done(decision: Decision) -> str:
    return type(decision.action).__name__ if decision.action else "nothing"


def canary(*, step: int = 0, percent: int | None = 0, age: timedelta = MINUTE, **changes: object) -> Scene:
    return wanting(**changes).version(1, Stage.PRODUCTION).rolling(percent, step, age)


def measured(errors: int, at: timedelta = timedelta()) -> Memory:
    release = canary().release(2)
    side, stable = Side(20, errors, (5.0,) * (20 - errors)), Side(20, 0, (5.0,) * 20)
    question = canary(**checked).question("answers")
    return Memory(measurements=(Measurement("answers", release, 1, NOW - at, side, stable, question=question),))


checked: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK]}}
paused: dict[str, Any] = {"rollout": {"steps": STEPS, "analysis": [CHECK], "onFailure": "pause"}}
gone: dict[str, Any] = {"latest_created": "iris-predictor-00003", "latest_ready": STABLE}
frozen = PolicySpec.model_validate({"freezes": [{"name": "fair", "start": "0 9 * * *", "duration": "2h"}]})

TABLE: dict[str, tuple[Scene, str, str]] = {
    # 1. Unknown
    "a registry that does not answer is waited for": (settled().sees(registry=UNKNOWN), "nothing", "the registry"),
    "a watch that is cut is waited for": (settled().sees(serving=UNKNOWN), "nothing", "serving"),
    "unknown training runs hold no training up that is not due": (settled().sees(runs=UNKNOWN), "nothing", "as Git"),
    "unknown training runs are waited for before one is started": (
        wanting().sees(runs=UNKNOWN), "nothing", "training runs to be readable",
    ),
    # 3. Suspended, frozen, guarded
    "a suspended model starts no training": (
        wanting(suspend=True), "nothing", "spec.suspend is true; held up: Train, because",
    ),
    "drift that is held up is named all the same": (
        settled(suspend=True).sees(drift=Known(("spec.x",), NOW)), "nothing",
        "held up: PutBack, because spec.x drifted from Git",
    ),
    "a suspended canary that fails is rolled back all the same": (
        canary(step=1, percent=10, suspend=True, **checked).sees(memory=measured(20)), "CutTraffic", "error rate 100 %",
    ),
    "a frozen model is not deployed": (
        replace(wanting().version(1), policy=frozen), "nothing", "the freeze fair until 2026-08-20 11:00Z",
    ),
    "a guarded removal waits": (
        replace(settled().wants(removed=True), guard="too many"), "nothing", "too many; held up: TakeDown",
    ),
    # 4. Rollback first
    "a canary that fails its check is cut": (
        canary(step=1, percent=10, **checked).sees(memory=measured(20)), "CutTraffic", "answers failed at 10 %",
    ),
    "a canary that fails its check and is to pause asks": (
        canary(step=1, percent=10, **paused).sees(memory=measured(20)), "nothing", "the rollout is paused",
    ),
    "a canary past its deadline is cut": (canary(age=timedelta(hours=1)), "CutTraffic", "did not end within 1h"),
    "a canary whose prev is another revision is cut": (
        canary(percent=10).rolling(10, traffic=(
            TrafficTarget(CANDIDATE, 10, "latest", latest=True), TrafficTarget("iris-predictor-00000", 90, "prev"),
        )), "CutTraffic", "not to the stable revision",
    ),
    "a candidate that can never be served is cut": (
        canary().rolling(0, failure=Failure("NoRuntime", "none", terminal=True), **gone), "CutTraffic", "NoRuntime",
    ),
    "a canary of a version that Git does not want any more loses its traffic first": (
        canary(step=1, percent=10, promotion={"version": "1"}), "ShiftTraffic", "Git wants 1-",
    ),
    "a canary whose pin names no version is taken back": (
        canary(step=1, percent=0, promotion={"version": "9"}), "RestoreStable", "not wanted",
    ),
    "a canary whose object is gone ends without blame": (replace(canary(), live=None), "Withdraw", "is gone"),
    # 5. Training
    "nothing registered trains": (wanting(), "Train", "nothing is registered"),
    "changed parameters train": (settled().wants(files={"pipelines/iris.yaml": b"new"}), "Train", "changed"),
    "a training under way is waited for": (wanting().runs(RunState.RUNNING), "nothing", "attempt 1, running"),
    "a training past its timeout is stopped": (
        wanting().runs(RunState.RUNNING, age=timedelta(hours=2)), "StopTraining", "longer than training.timeout",
    ),
    "a training of other parameters is stopped": (settled().runs(RunState.RUNNING, key="x"), "StopTraining", "Git"),
    "a failed training waits for its backoff": (wanting().runs(RunState.FAILED), "nothing", "next attempt after a"),
    "a failed training is tried again after its backoff": (
        wanting().runs(RunState.FAILED, age=10 * MINUTE), "Train", "attempt 1 failed: boom",
    ),
    "the second backoff is twice as long": (
        wanting().runs(RunState.FAILED, RunState.FAILED, age=19 * MINUTE), "nothing", "next attempt",
    ),
    "a training that failed too often asks for a commit": (
        wanting().runs(*[RunState.FAILED] * 3, age=timedelta(days=1)), "nothing", "training failed 3 times",
    ),
    "a training that was stopped for another one does not count as failed": (
        wanting().runs(RunState.STOPPED), "Train", "nothing is registered",
    ),
    "a schedule that was due trains": (
        settled(training={"kubeflowPipeline": {"package": "pipelines/iris.yaml"}, "triggers": {"schedule": "0 3 * * *"},
                          "parameters": {"n": 1}}), "Train", "the schedule 0 3 * * *",
    ),
    "a production version that is too old trains": (
        settled(training={"kubeflowPipeline": {"package": "pipelines/iris.yaml"}, "triggers": {"maxAge": "12h"},
                          "parameters": {"n": 1}}), "Train", "1 days old",
    ),
    # 6. Version
    "a version without a verdict needs its metrics": (settled().version(2, gates=None), "nothing", "are not read yet"),
    "a version that passes has it recorded": (
        settled().version(2, gates=None).evidence(2, accuracy=0.95), "RecordGates", "accuracy 0.95 >= 0.9",
    ),
    "a version that fails has it recorded, with the numbers": (
        settled().version(2, gates=None).evidence(2, accuracy=0.5), "RecordGates", "accuracy 0.5 < 0.9",
    ),
    "NaN passes no gate": (
        settled().version(2, gates=None).evidence(2, accuracy=float("nan")), "RecordGates", "accuracy is nan",
    ),
    "a pin that names no version asks for it": (
        settled(promotion={"version": "9"}), "nothing", "version 9 is wanted, but is not registered",
    ),
    "a newer version waits for approval": (
        settled(promotion={"approval": "required"}).version(2), "nothing", 'a commit that sets version: "2"',
    ),
    # 7. Serving
    "a proven version is deployed": (wanting().version(1), "Deploy", "nothing is served"),
    "production is deployed before a newer version": (
        wanting().version(1, Stage.PRODUCTION).version(2), "Deploy", "what callers have",
    ),
    "a first deployment waits to become ready": (
        wanting().version(1).serving(1, traffic=(), latest_ready=None, ready=False), "nothing", "to become ready",
    ),
    "what serves all traffic is promoted": (wanting().version(1).serving(1), "Promote", "serves all traffic"),
    "another version is staged": (settled().version(2), "StageCandidate", "version 2 is wanted and version 1 serves"),
    "a staged candidate is applied with 0 %": (
        replace(canary(), live=settled().live), "StartCanary", "starts with 0 %",
    ),
    "a candidate that is not ready is waited for": (canary().rolling(0, **gone), "nothing", "to become ready"),
    "a ready candidate gets the first step": (canary(), "ShiftTraffic", "step 1 gives it 10 %"),
    "an effective step begins": (canary(percent=10), "BeginStep", "10 % are effective"),
    "a step is held": (canary(percent=10, step=1), "nothing", "the hold of step 1 of 2 to end"),
    "a held step is measured": (canary(percent=10, step=1, **checked), "Analyse", "answers is due"),
    "a step without enough samples holds on": (
        canary(percent=10, step=1, age=11 * MINUTE, **checked).sees(
            memory=replace(measured(0), measurements=(replace(measured(0).measurements[0], candidate=Side(1, 0)),)),
        ), "nothing", "1 of 20 samples",
    ),
    "a passed step gives way to the next": (
        canary(percent=10, step=1, age=11 * MINUTE), "ShiftTraffic", "step 1 passed",
    ),
    "the last passed step gives all traffic": (canary(percent=50, step=2, age=11 * MINUTE), "RouteAll", "every step"),
    "a rollout without steps gives all traffic once ready": (canary(rollout={}), "RouteAll", "has no steps"),
    # 8. Drift and foreign objects
    "drift is put back": (settled().sees(drift=Known(("spec.x",), NOW)), "PutBack", "spec.x drifted"),
    "drift that comes back is put back after a pause": (
        settled().sees(drift=Known(("spec.x",), NOW), memory=Memory(put_backs=(NOW,))), "nothing", "a pause before",
    ),
    "an object of somebody else is left alone": (
        wanting().version(1).serving(1, ours=False, owner="argocd"), "nothing", "belongs to argocd",
    ),
    "a split made by hand is shown": (settled().serving(1, canary_percent=30), "nothing", "no rollout is on record"),
    # 9. Removal
    "a removed model is taken down": (settled().wants(removed=True), "TakeDown", "onRemoval: archive"),
    "a removed model is archived": (replace(settled(), live=None).wants(removed=True), "ArchiveAll", "left Git"),
    "a removed model with nothing left is let go": (
        wanting().version(1, Stage.ARCHIVED).wants(removed=True), "LetGo", "nothing of it is left",
    ),
    "a retained model is let go at once": (
        settled(retention={"onRemoval": "retain"}).wants(removed=True), "LetGo", "onRemoval: retain",
    ),
    "a model to delete is deleted after it was taken down": (
        replace(settled(retention={"onRemoval": "delete"}), live=None).wants(removed=True), "DeleteModel", "delete",
    ),
    # 10. In sync
    "what is as Git says is left alone": (settled(), "nothing", "everything is as Git says"),
    "an invalid spec is shown while the last good one stays": (
        settled().wants(stale=(Diagnostic("x", "no such field", "models/iris.yaml", 3, 5),)), "nothing",
        "models/iris.yaml:3:5: no such field",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", TABLE)
def test_decision(sentence: str) -> None:
    scene, action, words = TABLE[sentence]
    decision = scene.decide()
    assert (done(decision), words in told(decision)) == (action, True), told(decision)


@pytest.mark.parametrize("sentence", TABLE)
def test_deciding_again_gives_the_same_answer(sentence: str) -> None:
    scene = TABLE[sentence][0]
    assert scene.decide() == replace(scene, wanted=replace(scene.wanted)).decide()


def test_in_sync_is_healthy_and_looks_again_when_a_trigger_fires() -> None:
    training = {
        "kubeflowPipeline": {"package": "pipelines/iris.yaml"},
        "parameters": {"n": 1},
        "triggers": {"maxAge": "2d"},
    }
    decision = settled(training=training).decide()
    assert (decision.sync, decision.health, decision.phase) == (Sync.SYNCED, Health.HEALTHY, Phase.IDLE)
    assert decision.look_again_at == NOW + timedelta(days=1, seconds=1)


def test_a_hold_looks_again_when_it_ends() -> None:
    assert canary(percent=10, step=1).decide().look_again_at == NOW + 9 * MINUTE


def test_a_freeze_looks_again_when_it_ends() -> None:
    decision = replace(wanting().version(1), policy=frozen).decide()
    assert decision.look_again_at == NOW.replace(hour=11, minute=0)


def test_a_version_that_lost_says_by_which_gate_with_the_numbers() -> None:
    decision = settled().version(2, gates=None).evidence(2, accuracy=0.5).decide()
    assert [(v.version, v.lost) for v in decision.versions] == [(2, "accuracy 0.5 < 0.9")]


def test_a_release_is_told_from_another_by_its_serving_fields() -> None:
    assert settled().release(1) == Release(1, settled().release(1).template)


# Approved by hand, while a newer version waits.


def approving(**tags: str | None) -> Scene:
    """Let version 2 be approved by hand, and version 3 wait."""
    scene = settled(promotion={"approval": "required", "gates": [{"metric": "accuracy", "min": 0.9}]})
    order = Order(OrderKind.APPROVE, "ana", "it is fine", NOW, wanted_digest(scene.wanted.spec), version=2)
    return scene.version(2, Stage.NONE, **tags).version(3).sees(memory=Memory(orders=(order,)))


def test_a_version_that_was_approved_goes_on_while_a_newer_one_waits() -> None:
    scene = approving()
    assert scene.decide().action == StageCandidate(scene.release(2), scene.release(1), STABLE)


def test_an_approval_stands_for_no_gates_and_for_no_second_try() -> None:
    release, wanted = approving().release(2), wanted_digest(approving().wanted.spec)
    rejected = rejection_to_tag(Rejection(release, wanted, "too many errors", NOW))
    for scene in (approving(gates="failed x"), approving(rejected=rejected)):
        decision = scene.decide()
        assert decision.action is None
        assert "approval: `reconciler approve`" in decision.waits_for


# An earlier request whose answer was lost.


def unsettled(scene: Scene, *, archives: bool) -> Scene:
    return scene.sees(unsettled=Unsettled(NOW + MINUTE, archives))


@pytest.mark.parametrize("archives", [True, False])
def test_a_request_that_may_still_archive_holds_up_a_deployment_and_no_traffic(*, archives: bool) -> None:
    step = canary(step=0, percent=0)
    assert isinstance(unsettled(step, archives=archives).decide().action, ShiftTraffic)
    first = wanting().version(1)
    decision = unsettled(first, archives=archives).decide()
    assert (decision.action is None) is archives
    assert decision.look_again_at == (NOW + MINUTE if archives else None)
