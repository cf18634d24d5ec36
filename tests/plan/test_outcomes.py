"""What a plan tells of one model and of all: its verb, its numbers, and what it does not know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from reconciler.desired.state import DesiredModel
from reconciler.observed import Known, ObservedModel, Stage, Unknown
from reconciler.plan.action import PutBack
from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions, Forecast
from reconciler.plan.proposal import REMOVALS, ModelPlan, Outcome, Proposal
from tests.plan.worlds import COMPARED, NEW, NOW, OLD, model, proposal, spec, state

BEFORE = model("fraud", commit=OLD)
SILENT = ObservedModel(Unknown("connection refused"), Known(None, NOW), Known((), NOW))
DRIFT: Known[tuple[str, ...]] = Known(("spec.predictor.minReplicas",), NOW)


def world(base: DesiredModel = BEFORE) -> ObservedModel:
    return assumed_world(base, base, NOW, Assumptions())


def plan(after: DesiredModel, before: DesiredModel | None, observed: ObservedModel) -> ModelPlan:
    (made,) = proposal(state(after), {"fraud": before} if before else {}, observe=lambda _: observed).plans
    return made


def test_everything_that_takes_something_away_is_a_removal() -> None:
    assert set(REMOVALS) == {Outcome.DELETE, Outcome.ARCHIVE, Outcome.LET_GO, Outcome.TAKE_DOWN}


def test_a_removal_is_one_even_where_nothing_is_left_to_take_down() -> None:
    removed = model("fraud", removed=True)
    assert (
        plan(removed, BEFORE, ObservedModel(Known(None, NOW), Known(None, NOW), Known((), NOW))).outcome
        is Outcome.ARCHIVE
    )


def test_a_removal_shows_no_changed_fields_and_a_new_model_neither() -> None:
    assert plan(model("fraud", spec(trees=200), removed=True), BEFORE, world()).changes == ()
    assert plan(model("fraud"), None, world()).changes == ()
    assert plan(model("fraud", spec(trees=200)), BEFORE, world()).changes


def test_what_serves_now_is_told_and_nothing_where_nobody_can_tell() -> None:
    settled = plan(BEFORE, BEFORE, world())
    assert settled.live is not None
    assert settled.live.release is not None
    assert settled.serving_version == 1
    assert [v.version for v in settled.versions] == [1]
    blind = plan(BEFORE, BEFORE, replace(world(), registry=Unknown("x"), serving=Unknown("x")))
    assert (blind.live, blind.versions, blind.serving_version) == (None, (), None)


def test_of_several_versions_the_newest_in_production_serves() -> None:
    observed = world()
    assert isinstance(observed.registry, Known)
    assert observed.registry.value is not None
    first = observed.registry.value.versions[0]
    more = (first, replace(first, version=2), replace(first, version=3, stage=Stage.ARCHIVED))
    observed = replace(observed, registry=Known(replace(observed.registry.value, versions=more), NOW))
    assert plan(BEFORE, BEFORE, observed).serving_version == 2


def test_a_system_that_does_not_answer_is_waited_for_whatever_the_commit_changes() -> None:
    assert plan(model("fraud", spec(trees=200)), BEFORE, SILENT).outcome is Outcome.WAIT
    assert plan(model("fraud"), None, SILENT).outcome is Outcome.WAIT


def test_one_system_that_does_not_answer_for_one_model_makes_the_whole_plan_fail() -> None:
    iris = model("iris", commit=OLD)

    def observe(one: DesiredModel) -> ObservedModel:
        return SILENT if one.name == "iris" else world()

    made = proposal(state(BEFORE, iris), {"fraud": BEFORE, "iris": iris}, observe=observe)
    assert made.failed
    assert [p.name for p in made.waiting] == ["iris"]


def test_a_change_whose_only_action_puts_fields_back_is_an_update_and_without_a_change_it_is_not() -> None:
    drifted = replace(world(), drift=DRIFT)
    assert plan(BEFORE, BEFORE, drifted).outcome is Outcome.PUT_BACK
    wanted = model("fraud", spec(retention={"onRemoval": "retain"}))
    assert plan(wanted, BEFORE, drifted).outcome is Outcome.UPDATE


def test_fields_that_are_put_back_on_the_way_do_not_hide_what_is_done_besides() -> None:
    made = plan(model("fraud", spec(trees=200)), BEFORE, replace(world(), drift=DRIFT))
    assert any(isinstance(action, PutBack) for action in made.actions)
    assert made.outcome is Outcome.RETRAIN


def test_a_model_that_is_let_go_has_come_to_its_end() -> None:
    assert plan(model("fraud", removed=True), BEFORE, world()).converges
    assert plan(BEFORE, BEFORE, world()).converges


def test_versions_are_only_counted_where_no_registry_was_asked() -> None:
    (asked,) = proposal(state(BEFORE), {"fraud": BEFORE}).plans
    assert not asked.assumed
    (counted,) = proposal(state(BEFORE), {"fraud": BEFORE}, compared=replace(COMPARED, assumed="no system")).plans
    assert counted.assumed


def test_where_nothing_changes_nothing_takes_time() -> None:
    assert proposal(state(BEFORE), {"fraud": BEFORE}).took == timedelta()


def test_plans_of_one_kind_stand_in_the_order_of_their_names_whatever_the_order_of_the_files() -> None:
    models = [model(name, commit=NEW) for name in ("c", "a", "b")]
    made = proposal(state(*models), {})
    assert [p.name for p in made.plans] == ["a", "b", "c"]
    assert made.counts == {Outcome.TRAIN: 3}
    assert isinstance(made, Proposal)


def test_every_step_of_a_way_tells_when_and_why() -> None:
    for step in plan(model("fraud", spec(trees=200)), BEFORE, world()).way.steps:
        assert isinstance(step, Forecast)
        assert step.reason.startswith("because ")
        assert step.after >= timedelta()


def test_what_only_writes_down_what_is_there_tidies_up() -> None:
    observed = world()
    assert isinstance(observed.registry, Known)
    assert observed.registry.value is not None
    (version,) = observed.registry.value.versions
    unpromoted = replace(observed.registry.value, versions=(replace(version, stage=Stage.NONE),))
    assert plan(BEFORE, BEFORE, replace(observed, registry=Known(unpromoted, NOW))).outcome is Outcome.TIDY


def test_a_model_that_was_there_before_and_still_waits_is_not_added() -> None:
    untrained = model("fraud", spec(training=None), OLD)
    nothing = ObservedModel(Known(None, NOW), Known(None, NOW), Known((), NOW))
    assert plan(untrained, untrained, nothing).outcome is Outcome.WAIT
    assert plan(untrained, None, nothing).outcome is Outcome.ADD


def test_what_is_taken_down_is_not_called_a_training_where_no_version_is_registered() -> None:
    bare = model("fraud", spec(serving=None, training=None))
    assert plan(bare, BEFORE, replace(world(), registry=Known(None, NOW))).outcome is Outcome.TAKE_DOWN
