"""What a plan means for each model, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.desired.documents import FreezeWindow, PolicySpec
from reconciler.desired.state import DesiredModel, Diagnostic
from reconciler.observed import Known, ObservedModel, Unknown
from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions
from reconciler.plan.proposal import Outcome, Proposal
from tests.plan.worlds import NEW, NOW, OLD, PREDICTOR, model, proposal, retrain_and_archive, spec, state

BEFORE = model("fraud", commit=OLD)
UNTRAINED = spec(training=None)
FROZEN = PolicySpec(
    freezes=(FreezeWindow.model_validate({"name": "always", "start": "* * * * *", "duration": "1d", "models": ["*"]}),)
)


def planned(after: DesiredModel, before: DesiredModel | None = BEFORE, policy: PolicySpec | None = None) -> Proposal:
    return proposal(state(after, policy=policy), {before.name: before} if before else {})


def gone(on_removal: str) -> DesiredModel:
    wanted = spec(retention={"onRemoval": on_removal})
    return model("fraud", wanted, removed=True)


@pytest.mark.parametrize(
    ("after", "before", "outcome"),
    {
        "a new model is trained": (model("fraud"), None, Outcome.TRAIN),
        "a new model that nothing trains waits for a version": (model("fraud", UNTRAINED), None, Outcome.ADD),
        "a new model with a pinned version is deployed": (
            model("fraud", spec(training=None, promotion={"version": "7"})),
            None,
            Outcome.DEPLOY,
        ),
        "other parameters retrain": (model("fraud", spec(trees=200)), BEFORE, Outcome.RETRAIN),
        "another predictor is rolled out": (
            model("fraud", spec(serving={"namespace": "models", "predictor": {**PREDICTOR, "minReplicas": 2}})),
            BEFORE,
            Outcome.ROLL_OUT,
        ),
        "another version is rolled out": (
            model("fraud", spec(training=None, promotion={"version": "44"})),
            model("fraud", spec(training=None, promotion={"version": "43"}), OLD),
            Outcome.ROLL_OUT,
        ),
        "a stricter gate does nothing now": (
            model("fraud", spec(promotion={"gates": [{"metric": "auc", "min": 0.99}]})),
            BEFORE,
            Outcome.UPDATE,
        ),
        "a spec without serving is taken down": (model("fraud", spec(serving=None)), BEFORE, Outcome.TAKE_DOWN),
        "a spec that left Git is archived": (gone("archive"), BEFORE, Outcome.ARCHIVE),
        "a spec that left Git is deleted if it said so": (gone("delete"), BEFORE, Outcome.DELETE),
        "a spec that left Git is let go if it said so": (gone("retain"), BEFORE, Outcome.LET_GO),
        "the same spec is nothing to do": (BEFORE, BEFORE, Outcome.NOTHING),
    }.values(),
)
def test_every_kind_of_commit_has_its_word(after: DesiredModel, before: DesiredModel | None, outcome: Outcome) -> None:
    (plan,) = planned(after, before).plans
    assert plan.outcome is outcome


def test_what_removes_comes_first_and_what_stays_last() -> None:
    plans = retrain_and_archive().plans
    assert [(plan.name, plan.outcome) for plan in plans] == [
        ("churn", Outcome.ARCHIVE),
        ("fraud", Outcome.RETRAIN),
        ("iris", Outcome.NOTHING),
    ]


def test_a_freeze_holds_a_change_up_and_is_named() -> None:
    (plan,) = planned(model("fraud", spec(trees=200)), policy=FROZEN).plans
    assert "the freeze always until" in plan.decision.blocked_by
    assert plan.outcome is Outcome.UPDATE
    assert not plan.converges


def test_a_policy_that_changes_is_a_change_even_where_no_model_does() -> None:
    made = proposal(state(BEFORE, policy=FROZEN), state(BEFORE))
    assert made.changed == ()
    assert [change.path for change in made.policy] == ["freezes[always]"]


def test_a_system_that_does_not_answer_is_a_wait_and_never_a_change() -> None:
    silent = ObservedModel(Unknown("connection refused"), Known(None, NOW), Known((), NOW))
    made = proposal(state(BEFORE), {"fraud": BEFORE}, observe=lambda _: silent)
    (plan,) = made.waiting
    assert "the registry: connection refused" in plan.decision.waits_for
    assert made.changed == ()
    assert made.failed


def test_live_drift_is_no_change_of_the_commit() -> None:
    settled = assumed_world(BEFORE, BEFORE, NOW, Assumptions())
    drifted = replace(settled, drift=Known(("spec.predictor.minReplicas",), NOW))
    made = proposal(state(BEFORE), {"fraud": BEFORE}, observe=lambda _: drifted)
    assert made.changed == ()
    assert [plan.outcome for plan in made.drifted] == [Outcome.PUT_BACK]


def test_a_suspended_base_is_assumed_to_be_live_so_that_resuming_it_trains_nothing() -> None:
    (plan,) = planned(BEFORE, model("fraud", spec(suspend=True), OLD)).plans
    assert plan.outcome is Outcome.UPDATE


def test_a_base_that_waits_for_approval_is_assumed_to_be_live() -> None:
    waiting = spec(promotion={"approval": "required"})
    (plan,) = planned(model("fraud", waiting), model("fraud", waiting, OLD)).plans
    assert plan.outcome is Outcome.NOTHING


def test_pinning_version_1_is_not_mistaken_for_the_version_that_was_only_counted() -> None:
    (plan,) = planned(model("fraud", spec(promotion={"version": "1"}))).plans
    assert plan.outcome is Outcome.ROLL_OUT


def test_an_error_in_a_spec_makes_the_plan_fail_and_a_warning_does_not() -> None:
    error = Diagnostic("unknown-field", "there is no field", "models/fraud.yaml")
    made = proposal(replace(state(BEFORE), diagnostics=(error,)), {"fraud": BEFORE})
    assert made.failed
    assert not proposal(state(BEFORE), {"fraud": BEFORE}).failed


def test_the_whole_takes_as_long_as_its_longest_part() -> None:
    made = retrain_and_archive()
    assert made.took == max(plan.way.took for plan in made.plans)
    assert made.took.total_seconds() == 31 * 60


def test_commits_are_those_of_the_specs() -> None:
    assert {plan.desired.commit for plan in retrain_and_archive().plans} == {OLD, NEW}
