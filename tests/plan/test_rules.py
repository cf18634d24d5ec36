"""Rules that cut across the order of decisions: what is never held up, who waits for whom, and what people are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest

from reconciler.desired.documents import PolicySpec
from reconciler.desired.state import Diagnostic
from reconciler.observed import (
    Known,
    Memory,
    ModelVersion,
    ObservedModel,
    RegisteredModel,
    Rejection,
    Release,
    RunState,
    Stage,
    TrafficTarget,
    Unknown,
    Unsettled,
)
from reconciler.plan.action import (
    Action,
    Adopt,
    Analyse,
    Archive,
    ArchiveAll,
    BeginStep,
    CutTraffic,
    DeleteModel,
    Deploy,
    FinishRollback,
    LetGo,
    Promote,
    PutBack,
    RecordGates,
    Reject,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StageCandidate,
    StartCanary,
    StopTraining,
    TakeDown,
    Train,
    Withdraw,
)
from reconciler.plan.facts import Facts, gather
from reconciler.plan.marks import rejection_to_tag
from reconciler.plan.planner import FENCED, always_allowed
from reconciler.status import Health, Phase, Sync
from tests.plan.scenes import MINUTE, NOW, STABLE, UNKNOWN, Scene, settled, spec, wanting

A = Release(2, "abc")
NEVER_HELD_UP: tuple[Action, ...] = (
    Analyse(A, 1, "answers"), BeginStep(A, 1, NOW), CutTraffic(A, "w", NOW), FinishRollback(A),
    RecordGates(2, "passed x"),
    Reject(A, "w", Stage.ARCHIVED), RestoreStable(A), ShiftTraffic(A, 0, "r1"), StopTraining("run", "key"),
    Withdraw(A, Stage.ARCHIVED),
)  # fmt: skip
HELD_UP: tuple[Action, ...] = (
    Adopt(A, "uid"),
    Archive(2), ArchiveAll((1,)), DeleteModel(), Deploy(A), LetGo(), Promote(2, A), PutBack(A, ("spec.x",)),
    RouteAll(A, "r1"), ScaleCanary(A, 0, 2, "r1"), ShiftTraffic(A, 1, "r1"), StageCandidate(A, A, "r1"), StartCanary(A),
    TakeDown("models", "uid"), Train("key", 1),
)  # fmt: skip


def test_every_kind_of_action_is_either_held_up_or_never() -> None:
    assert {type(action) for action in (*NEVER_HELD_UP, *HELD_UP)} == set(get_args(Action))


@pytest.mark.parametrize("action", NEVER_HELD_UP, ids=lambda action: type(action).__name__)
def test_what_protects_callers_or_only_writes_down_is_never_held_up(action: Action) -> None:
    assert always_allowed(action)


@pytest.mark.parametrize("action", HELD_UP, ids=lambda action: type(action).__name__)
def test_what_begins_something_is_held_up(action: Action) -> None:
    assert not always_allowed(action)


def facts_of(scene: Scene) -> Facts:
    registered = RegisteredModel("iris", scene.versions)
    observed = ObservedModel(Known(registered, NOW), Known(scene.live, NOW), Known((), NOW))
    facts = gather(scene.wanted, replace(observed, **scene.seen), NOW)
    assert isinstance(facts, Facts)
    return facts


def rolled_back(scene: Scene, version: int) -> Scene:
    """Mark a version rejected as Git wants it now."""
    rejection = Rejection(scene.release(version), facts_of(scene).wanted, "too many errors", NOW)
    marked = tuple(_marked(v, rejection) if v.version == version else v for v in scene.versions)
    return replace(scene, versions=marked)


def _marked(version: ModelVersion, rejection: Rejection) -> ModelVersion:
    return replace(version, tags={**version.tags, "reconciler.dev/rejected": rejection_to_tag(rejection)})


# What does not wait for what.


def test_a_training_starts_while_serving_waits_but_not_before_serving_acts() -> None:
    other = {"pipelines/iris.yaml": b"new"}
    waiting = settled().sees(drift=Known(("spec.x",), NOW), memory=Memory(put_backs=(NOW,))).wants(files=other)
    assert isinstance(waiting.decide().action, Train)
    acting = settled().sees(drift=Known(("spec.x",), NOW)).wants(files=other)
    assert isinstance(acting.decide().action, PutBack)


def test_a_training_that_runs_is_not_shown_while_serving_has_its_own_trouble() -> None:
    scene = settled().sees(drift=Known(("spec.x",), NOW), memory=Memory(put_backs=(NOW,)))
    running = scene.wants(files={"pipelines/iris.yaml": b"new"})
    decision = running.runs(RunState.RUNNING).decide()
    assert "a pause before putting spec.x back" in decision.waits_for
    assert decision.phase is Phase.DEPLOYING


def test_a_training_that_runs_is_shown_where_serving_is_as_git_says_and_looks_again_when_it_may_have_failed() -> None:
    decision = settled().wants(files={"pipelines/iris.yaml": b"new"}).runs(RunState.RUNNING).decide()
    assert "attempt 1, running" in decision.waits_for
    assert decision.look_again_at == NOW - MINUTE + timedelta(hours=2)


def test_metrics_that_cannot_be_read_do_not_stop_what_serves_from_being_kept() -> None:
    unjudged = settled().version(2, gates=None)
    drifted = unjudged.sees(drift=Known(("spec.x",), NOW))
    assert isinstance(drifted.decide().action, PutBack)
    decision = unjudged.decide()
    assert (decision.phase, decision.health) == (Phase.GATING, Health.PROGRESSING)
    ill = replace(unjudged, live=settled().serving(1, ready=False).live).decide()
    assert (ill.phase, ill.health) == (Phase.GATING, Health.DEGRADED)


def test_metrics_that_cannot_be_read_are_waited_for_where_nothing_is_served() -> None:
    decision = wanting().version(1, gates=None).decide()
    assert (decision.phase, decision.health) == (Phase.GATING, Health.PROGRESSING)
    assert "metrics of version 1 are not read yet" in decision.waits_for


def test_metrics_that_cannot_be_read_do_not_hide_a_rollout_on_its_way() -> None:
    scene = wanting().version(1, Stage.PRODUCTION).rolling(10, 1).version(3, gates=None)
    assert "the hold of step 1 of 2" in scene.decide().waits_for


# Versions that lost, and versions that wait.


def test_a_version_that_was_rolled_back_is_not_tried_again_and_it_is_told_why() -> None:
    decision = rolled_back(settled().version(2), 2).decide()
    assert decision.action is None
    assert decision.stalled == "version 2 was rolled back: too many errors"
    assert [(v.version, v.lost) for v in decision.versions] == [(2, "rolled back: too many errors")]


def test_of_several_versions_the_newest_that_was_rolled_back_is_named() -> None:
    scene = rolled_back(settled().version(2).version(3), 3)
    assert rolled_back(scene, 2).decide().stalled == "version 3 was rolled back: too many errors"
    failed = rolled_back(settled().version(2).version(3, gates=None).evidence(3, accuracy=0.5), 2)
    recorded = failed.decide().action
    assert isinstance(recorded, RecordGates)
    marked = tuple(
        replace(v, tags={**v.tags, "reconciler.dev/gates": recorded.verdict}) if v.version == 3 else v
        for v in failed.versions
    )
    assert replace(failed, versions=marked).decide().stalled == "version 2 was rolled back: too many errors"


def test_a_newest_version_that_fails_its_gates_is_told_without_blaming_what_serves() -> None:
    scene = settled().version(2, gates=None).evidence(2, accuracy=0.5)
    recorded = scene.decide().action
    assert isinstance(recorded, RecordGates)
    marked = settled().version(2, gates=recorded.verdict).evidence(2, accuracy=0.5).decide()
    assert marked.stalled == "version 2 does not pass its gates: accuracy 0.5 < 0.9"
    assert marked.health is Health.HEALTHY
    assert marked.sync is Sync.OUT_OF_SYNC


def test_a_version_without_gates_to_pass_is_recorded_as_such() -> None:
    decision = wanting(promotion={"gates": []}).version(1, gates=None).decide()
    assert isinstance(decision.action, RecordGates)
    assert decision.reason == "because version 1 passes its gates: no gate is asked for"


def test_a_version_that_lost_is_recorded_only_after_it_lost_its_traffic() -> None:
    strict = {"promotion": {"gates": [{"metric": "accuracy", "min": 0.99}]}}
    scene = wanting(**strict).version(1, Stage.PRODUCTION).rolling(10, 1)
    old = replace(scene, versions=(scene.versions[0], replace(scene.versions[1], tags={
        **scene.versions[1].tags, "reconciler.dev/gates": "passed others"})))  # fmt: skip
    decision = old.evidence(2, accuracy=0.95).decide()
    assert not isinstance(decision.action, RecordGates)
    assert isinstance(decision.action, ShiftTraffic)


@pytest.mark.parametrize("production", [True, False])
def test_without_approval_what_is_proven_in_production_stays_and_nothing_else_comes(*, production: bool) -> None:
    scene = wanting(promotion={"approval": "required"})
    scene = scene.version(1, Stage.PRODUCTION) if production else scene.version(1)
    action = scene.version(2).decide().action
    assert action == (Deploy(scene.release(1)) if production else None)


def test_approval_does_not_bring_back_a_production_version_that_was_rolled_back_or_never_proven() -> None:
    required: dict[str, Any] = {"promotion": {"approval": "required"}}
    rejected = rolled_back(wanting(**required).version(1, Stage.PRODUCTION).version(2), 1)
    assert rejected.decide().action is None
    unproven = wanting(**required).version(1, Stage.PRODUCTION, gates="failed x").version(2)
    assert unproven.decide().action is None


def test_a_pin_needs_no_approval() -> None:
    scene = wanting(promotion={"approval": "required", "version": "2"}).version(1).version(2)
    assert scene.decide().action == Deploy(scene.release(2))


# Freezes and guards.


def frozen(*windows: dict[str, Any]) -> PolicySpec:
    return PolicySpec.model_validate({"freezes": list(windows)})


FAIR = {"name": "fair", "start": "0 9 * * *", "duration": "2h"}
NIGHT = {"name": "night", "start": "0 22 * * *", "duration": "2h"}
NOON = {"name": "noon", "start": "0 12 * * *", "duration": "1h"}


@pytest.mark.parametrize(
    ("models", "held"),
    [(["*"], True), (["iris"], True), (["i*"], True), (["fraud", "iris"], True), (["fraud"], False), (["IRIS"], False)],
)
def test_a_freeze_holds_up_the_models_that_it_names(models: list[str], *, held: bool) -> None:
    decision = replace(wanting().version(1), policy=frozen({**FAIR, "models": models})).decide()
    assert bool(decision.blocked_by) is held


def test_a_freeze_of_other_models_does_not_hide_the_next_one() -> None:
    policy = frozen({**FAIR, "models": ["fraud"]}, {**FAIR, "name": "second"})
    assert "the freeze second" in replace(wanting().version(1), policy=policy).decide().blocked_by


def test_a_freeze_ends_at_its_end() -> None:
    scene = replace(wanting().version(1), policy=frozen(FAIR))
    end = NOW.replace(hour=11, minute=0)
    assert scene.decide(end - timedelta(microseconds=1)).blocked_by
    assert not scene.decide(end).blocked_by


def test_a_model_in_sync_looks_again_when_the_next_freeze_begins() -> None:
    scene = replace(settled(), policy=frozen(NIGHT, NOON))
    assert scene.decide().look_again_at == NOW.replace(hour=12, minute=0)


def test_a_guard_holds_up_removals_alone() -> None:
    assert isinstance(replace(wanting().version(1), guard="too many").decide().action, Deploy)
    assert isinstance(settled().wants(removed=True).decide().action, TakeDown)


def test_a_suspended_model_that_is_well_or_on_its_way_is_suspended_and_one_that_is_ill_is_ill() -> None:
    assert settled(suspend=True).decide().health is Health.SUSPENDED
    assert wanting(suspend=True).version(1).serving(1, ready=False).decide().health is Health.SUSPENDED
    assert settled(suspend=True).serving(1, ready=False, unready=frozenset({STABLE})).decide().health is Health.DEGRADED
    assert settled().decide().health is Health.HEALTHY


def test_a_suspended_model_says_that_it_is_suspended_unless_something_is_held_up_or_waited_for() -> None:
    assert settled(suspend=True).decide().reason == "spec.suspend is true; no new action starts"
    assert wanting(suspend=True).version(1).decide().reason == ""
    assert settled(suspend=True).serving(1, ready=False).decide().reason == ""


def test_a_system_that_does_not_answer_makes_everything_unknown() -> None:
    decision = settled().sees(registry=Unknown("refused", NOW)).decide()
    assert (decision.sync, decision.health, decision.phase) == (Sync.UNKNOWN, Health.UNKNOWN, Phase.IDLE)
    assert decision.waits_for == "an answer of the registry: refused"
    assert settled().sees(serving=UNKNOWN).decide().waits_for == "an answer of serving: it does not answer"


# An earlier request whose answer was lost.

REFUSED_WHERE_SOMETHING_CHANGED = {
    Adopt, Analyse, CutTraffic, Deploy, FinishRollback, PutBack, RestoreStable, RouteAll, ScaleCanary, ShiftTraffic,
    StartCanary, StopTraining, TakeDown, Train,
}  # fmt: skip


def test_what_the_registry_cannot_refuse_is_all_that_an_earlier_request_may_overtake() -> None:
    registry = {
        Archive, ArchiveAll, BeginStep, DeleteModel, LetGo, Promote, RecordGates, Reject, StageCandidate, Withdraw,
    }  # fmt: skip
    assert set(FENCED) == REFUSED_WHERE_SOMETHING_CHANGED == set(get_args(Action)) - registry


def test_a_write_to_the_registry_waits_until_an_earlier_request_is_over() -> None:
    until = NOW + MINUTE
    scene = wanting().version(1).serving(1)
    decision = scene.sees(unsettled=Unsettled(until)).decide()
    assert (decision.action, decision.look_again_at) == (None, until)
    assert "it may be carried out until 09:31:00Z" in decision.waits_for
    assert isinstance(scene.sees(unsettled=Unsettled(until)).decide(until).action, Promote)
    assert isinstance(scene.sees(unsettled=Unsettled(NOW)).decide().action, Promote)
    assert isinstance(wanting().version(1).sees(unsettled=Unsettled(until)).decide().action, Deploy)
    assert wanting().version(1).sees(unsettled=Unsettled(until, archives=True)).decide().action is None
    assert settled().sees(unsettled=Unsettled(until)).decide().waits_for == ""


# What else people are told.


def test_an_invalid_spec_makes_a_model_out_of_sync_and_hides_no_other_trouble() -> None:
    stale = (Diagnostic("x", "no such field", "models/iris.yaml", 3, 5),)
    assert settled().wants(stale=stale).decide().sync is Sync.OUT_OF_SYNC
    foreign = wanting().version(1).serving(1, ours=False, owner="argocd").wants(stale=stale)
    assert "belongs to argocd" in foreign.decide().stalled


def test_an_ill_model_that_is_suspended_while_an_action_is_allowed_shows_the_action_s_health() -> None:
    scene = wanting(suspend=True).version(1, gates=None).evidence(1, accuracy=0.95)
    decision = scene.decide()
    assert isinstance(decision.action, RecordGates)
    assert decision.health is Health.PROGRESSING


def test_a_removed_model_without_a_guard_is_held_up_by_a_freeze_all_the_same() -> None:
    scene = replace(settled().wants(removed=True), policy=frozen(FAIR))
    assert "the freeze fair" in scene.decide().blocked_by
    assert "too many" in replace(scene, guard="too many").decide().blocked_by


def test_a_version_that_waits_for_approval_is_named_where_another_serves() -> None:
    decision = settled(promotion={"approval": "required"}).version(2).decide()
    assert decision.waits_for == 'approval: `reconciler approve`, or a commit that sets version: "2"'
    assert (decision.sync, decision.health) == (Sync.OUT_OF_SYNC, Health.HEALTHY)
    assert settled(promotion={"approval": "required"}).decide().waits_for == ""


def test_serving_fields_of_production_that_were_rolled_back_are_told_while_a_version_waits_for_approval() -> None:
    served = rolled_back(settled(promotion={"approval": "required"}), 1).version(2)
    old = replace(served.live, release=Release(1, "before"), revisions={STABLE: Release(1, "before")})  # type: ignore[type-var]  # it is there
    decision = replace(served, live=old).decide()
    assert decision.action is None
    assert decision.stalled == "version 1 with these serving fields was rolled back: too many errors"


def test_a_canary_that_lost_by_its_gates_is_taken_back_while_nothing_else_is_to_be_had() -> None:
    strict: dict[str, Any] = {"promotion": {"gates": [{"metric": "accuracy", "min": 0.99}]}}
    scene = wanting(**strict).version(1, Stage.ARCHIVED, gates="failed x").rolling(10, 1).evidence(1, accuracy=0.1)
    lost = replace(scene.versions[1], tags={**scene.versions[1].tags, "reconciler.dev/gates": "passed others"})
    decision = replace(scene, versions=(scene.versions[0], lost)).evidence(2, accuracy=0.95).decide()
    assert isinstance(decision.action, ShiftTraffic)
    kept = replace(scene, versions=(scene.versions[0], lost)).evidence(2, accuracy=0.995).decide()
    assert not isinstance(kept.action, ShiftTraffic)


def test_a_version_that_fails_and_has_all_traffic_loses_it_before_that_is_recorded() -> None:
    scene = settled().version(2, gates=None).serving(2).evidence(2, accuracy=0.5)
    assert isinstance(scene.decide().action, StageCandidate)
    passing = settled().version(2, gates=None).serving(2).evidence(2, accuracy=0.95)
    assert isinstance(passing.decide().action, RecordGates)
    unlabelled = seen_by_nobody(scene)
    assert isinstance(unlabelled.decide().action, RecordGates)


def seen_by_nobody(scene: Scene) -> Scene:
    """Let what serves have no label of ours."""
    assert scene.live is not None
    return replace(scene, live=replace(scene.live, release=None, revisions={STABLE: None}))


def test_a_version_that_fails_and_has_some_traffic_loses_it_before_that_is_recorded() -> None:
    scene = settled().version(2, gates=None).serving(2).evidence(2, accuracy=0.5)
    assert scene.live is not None
    targets = (TrafficTarget(STABLE, 50), TrafficTarget("iris-predictor-00002", 50))
    revisions = {STABLE: scene.release(1), "iris-predictor-00002": scene.release(2)}
    shared = replace(scene, live=replace(scene.live, traffic=targets, revisions=revisions))
    assert not isinstance(shared.decide().action, RecordGates)


def test_a_pinned_candidate_that_cannot_be_judged_for_now_is_not_taken_back() -> None:
    scene = wanting(promotion={"version": "2", "gates": [{"metric": "accuracy", "min": 0.9}]})
    rolling = scene.version(1, Stage.PRODUCTION).rolling(10, 1)
    unjudged = {k: v for k, v in rolling.versions[1].tags.items() if k != "reconciler.dev/gates"}
    decision = replace(rolling, versions=(rolling.versions[0], replace(rolling.versions[1], tags=unjudged))).decide()
    assert not isinstance(decision.action, ShiftTraffic)


def test_a_candidate_that_passes_is_not_taken_back_because_approval_is_required_by_now() -> None:
    scene = wanting(promotion={"approval": "required", "gates": [{"metric": "accuracy", "min": 0.9}]})
    rolling = scene.version(1, Stage.PRODUCTION, gates="failed x").rolling(10, 1)
    others = {**rolling.versions[1].tags, "reconciler.dev/gates": "passed others"}
    judged = replace(rolling, versions=(rolling.versions[0], replace(rolling.versions[1], tags=others)))
    assert isinstance(judged.evidence(2, accuracy=0.95).decide().action, RecordGates)


def test_approval_is_asked_for_where_nothing_is_served_too() -> None:
    bare = spec(serving=None, promotion={"approval": "required", "gates": [{"metric": "accuracy", "min": 0.9}]})
    scene = wanting().version(1, Stage.PRODUCTION).version(2).wants(spec=bare)
    decision = scene.decide()
    assert decision.action is None
    assert decision.waits_for == 'approval: `reconciler approve`, or a commit that sets version: "2"'


def test_where_no_version_is_to_be_had_other_serving_fields_wait_for_one() -> None:
    scene = wanting(promotion={"approval": "required"}).version(1, Stage.PRODUCTION, key="other").serving(1)
    assert scene.live is not None
    before = Release(1, "before")
    decision = replace(scene, live=replace(scene.live, release=before, revisions={STABLE: before})).decide()
    assert isinstance(decision.action, Train)
    assert not isinstance(decision.action, StageCandidate)
