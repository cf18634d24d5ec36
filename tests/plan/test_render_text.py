"""The plan as people read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.observed import Known
from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions
from reconciler.plan.proposal import Compared
from reconciler.plan.render_text import Show, render_text
from reconciler.plan.render_words import about, checked, value
from tests.plan.worlds import NOW, OLD, model, proposal, retrain_and_archive, spec, state

PLAN = """\
Compared 4f2c1ab with main 9be0d13

  # churn: will be taken down and archived
  #   because the spec left Git and says onRemoval: archive
  - service models/churn  callers get no answer any more
  - version 1             can no longer be rolled back to

  # fraud: will be retrained
  #   because training.parameters or the pipeline changed
  ~ training.parameters.n_estimators  50 -> 200
  + version                           (known after training)
    gates                             auc >= 0.91, f1 at most 0.01 worse than production
    then                              canary 10 % for 10m, 50 % for 10m, then 100 %
    checks                            answers: error rate <= 1 %, at each of 2 steps
    takes                             about 31 min

+ adds   ~ changes   - removes
Plan: 1 to archive, 1 to retrain. Nothing else changes (1 model).
"""

WAY = """\
    the whole way, counted from the merge:
     0s  train                                                training.parameters or the pipeline changed
    10m  make version 2 the candidate                         version 2 is wanted and version 1 serves
    10m  start version 2 with 0 %                             the candidate is staged; it starts with 0 %
    11m  give version 2 10 %                                  the candidate is ready; step 1 gives it 10 %
    11m  begin step 1                                         10 % are effective; held for 10m
    11m  measure answers, 6 times                             the last time at 21m
    21m  give version 2 50 %                                  step 1 passed
    21m  begin step 2                                         50 % are effective; held for 10m
    21m  measure answers, 6 times                             the last time at 31m
    31m  give version 2 all traffic                           every step passed
    31m  version 2 becomes Production, version 1 is archived  version 2 serves all traffic
    31m  everything is as Git says

+ adds   ~ changes   - removes
Assumed: a training takes 10m, a revision is ready after 1m, every gate and check passes. \
Other times: --assume-training, --assume-ready.
Plan: 1 to archive, 1 to retrain. Nothing else changes (1 model).
"""


def test_a_plan_says_intent_reason_change_and_count_in_this_order() -> None:
    assert render_text(retrain_and_archive()) == PLAN


def test_the_whole_way_is_one_line_a_step_and_measurements_fold() -> None:
    assert render_text(retrain_and_archive(), frozenset({Show.WAY})).endswith(WAY)


def test_the_same_input_gives_the_same_bytes() -> None:
    assert render_text(retrain_and_archive()) == render_text(retrain_and_archive())


def test_nothing_to_do_is_one_sentence() -> None:
    made = proposal(state(model("iris", commit=OLD)), {"iris": model("iris", commit=OLD)})
    assert render_text(made) == ("Compared 4f2c1ab with main 9be0d13\n\nPlan: nothing to do. 1 model is as Git says.\n")


def test_versions_that_nobody_asked_for_are_not_named_as_if_they_were_known() -> None:
    before = model("churn", commit=OLD)
    compared = Compared("the files here", "main 9be0d13", "No system was asked.")
    text = render_text(proposal(state(replace(before, removed=True)), {"churn": before}, compared=compared))
    assert "No system was asked.\n" in text
    assert "- every version         can no longer be rolled back to" in text


def test_a_deleted_model_says_that_it_cannot_be_undone() -> None:
    before = model("churn", spec(retention={"onRemoval": "delete"}), OLD)
    text = render_text(proposal(state(replace(before, removed=True)), {"churn": before}))
    assert "# churn: will be deleted" in text
    assert "- version 1             deleted; this cannot be undone" in text


def test_drift_is_one_folded_line_until_it_is_asked_for() -> None:
    before = model("iris", commit=OLD)
    world = assumed_world(before, before, NOW, Assumptions())
    drifted = replace(world, drift=Known(("spec.predictor.minReplicas",), NOW))
    made = proposal(state(before), {"iris": before}, observe=lambda _: drifted)
    assert "(live drift in 1 model: --show-drift)" in render_text(made)
    assert "minReplicas" not in render_text(made)
    shown = render_text(made, frozenset({Show.DRIFT}))
    assert "~ spec.predictor.minReplicas  put back as Git says (live drift)" in shown


def test_a_way_that_does_not_converge_says_what_it_waits_for() -> None:
    wanted = spec(promotion={"approval": "required"}, training=spec().training.model_dump(by_alias=True))  # type: ignore[union-attr]  # it has one
    before = model("fraud", wanted, OLD)
    after = model("fraud", spec(trees=200, promotion={"approval": "required"}))
    text = render_text(proposal(state(after), {"fraud": before}), frozenset({Show.WAY}))
    assert "takes                             about 10 min, then waits" in text
    assert 'approval: `reconciler approve`, or a commit that sets version: "2"' in text


@pytest.mark.parametrize(
    ("length", "words"),
    {
        "seconds": (timedelta(seconds=45), "45 s"),
        "a few minutes with their seconds": (timedelta(minutes=1, seconds=30), "1 min 30 s"),
        "minutes": (timedelta(minutes=31, seconds=30), "31 min"),
        "hours": (timedelta(hours=2), "2 h"),
        "hours and minutes": (timedelta(minutes=70), "1 h 10 min"),
        "days": (timedelta(days=3, hours=5), "3 d 5 h"),
    }.values(),
)
def test_lengths_of_time_are_written_as_people_say_them(length: timedelta, words: str) -> None:
    assert about(length) == words


@pytest.mark.parametrize(
    ("found", "shown"),
    {
        "text": ("cm", "cm"),
        "a whole number": (60.0, "60"),
        "a fraction": (0.05, "0.05"),
        "true": (True, "true"),
        "a mapping in one order": ({"b": 1, "a": 2}, '{"a": 2, "b": 1}'),
        "several lines": ("a\n  b", "a b"),
        "nothing": ("", '""'),
        "much": ("x" * 200, "x" * 97 + "..."),
    }.values(),
)
def test_values_are_one_short_line(found: object, shown: str) -> None:
    assert value(found) == shown


PROBE = {"name": "answers", "probe": {"inputs": {"from": "inputExample"}}}
RATE = {"name": "rate", "prometheus": {"query": "up", "max": 1}, "dryRun": True}
ASKED: dict[str, tuple[dict[str, object], str]] = {
    "at each step": (
        {"steps": [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}], "analysis": [PROBE]},
        "answers: error rate <= 1 %, at each of 2 steps",
    ),
    "at the only step": (
        {"steps": [{"traffic": 10, "hold": "10m"}], "analysis": [PROBE]}, "answers: error rate <= 1 %",
    ),
    "those that only try themselves out are told as such": (
        {"steps": [{"traffic": 10, "hold": "10m"}], "analysis": [PROBE, RATE]},
        "answers: error rate <= 1 %; rate: query <= 1 (dry run)",
    ),
    "none is asked for": ({"steps": [{"traffic": 10, "hold": "10m"}]}, ""),
    "no step asks": ({}, ""),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ASKED)
def test_a_plan_says_which_checks_are_asked(sentence: str) -> None:
    rollout, words = ASKED[sentence]
    assert checked(spec(rollout=rollout).rollout) == words
