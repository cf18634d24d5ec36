"""Rollouts whose checks ask Prometheus, in the simulated world."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from reconciler.desired.documents import ModelSpec
from reconciler.observed import TAG_REJECTED, Stage
from reconciler.ports import Moment, Result
from tests.ensure.stage import systems_of
from tests.simulation.metering import MOODS
from tests.simulation.stories import until, world
from tests.simulation.test_stories import roles
from tests.simulation.wishes import METERED, Wish, spec_of
from tests.simulation.world import KEY, NAME, World


def metered(**check: object) -> ModelSpec:
    """Return a spec whose rollout asks Prometheus; `check` goes over the check's fields."""
    content = spec_of(Wish(parameters=2, analysed="metered")).content()
    content["rollout"]["analysis"][0] |= check
    return ModelSpec.model_validate(content)


def rolling(bad: bool = False, **check: object) -> World:
    """Let version 1 serve, and version 2 set out."""
    made = world()
    made.settle()
    if bad:
        made.bad.add(2)
    made.source.write(NAME, metered(**check))
    return made


def at_ten(made: World) -> bool:
    return made.serving.shares(KEY).get(2) == 10


def test_a_good_candidate_gets_all_traffic_and_each_verdict_is_on_the_ledger() -> None:
    made = rolling()
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    measured = [r.entry.after for r in made.ledger.records if r.entry.action == "Analyse"]
    done = [after for after in measured if "metering" in after]
    assert done
    for after in done:
        assert after["metering"]["candidate"]["samples"] == 200
        assert 'revision_name="iris-predictor-00002"' in after["metering"]["candidate"]["query"]
        assert 'revision_name="iris-predictor-00001"' in after["metering"]["stable"]["query"]
        (finding,) = after["verdict"]["findings"]
        assert (after["verdict"]["verdict"], finding["limit"], finding["stable"]) == ("pass", 0.01, 0.0)


def test_a_bad_candidate_is_taken_back_within_one_interval() -> None:
    made = rolling(bad=True)
    until(made, lambda: at_ten(made))
    begun = made.now
    until(made, lambda: made.serving.shares(KEY) == {1: 100})
    assert (made.now - begun).total_seconds() < 11
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    rejected = made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert "error rate 100 % > 1 % (200 requests in 10s, stable 0 % by Prometheus)" in rejected
    cuts = [r.entry for r in made.ledger.records if r.entry.action == "CutTraffic" and r.entry.moment is Moment.INTENT]
    (check,) = cuts[0].evidence["checks"]
    assert "revision_app_request_count" in check["findings"][0]["query"]


def test_no_measurement_reaches_behind_the_begin_of_its_step() -> None:
    made = rolling()
    made.settle()
    since, windows = None, []
    for entry in (r.entry for r in made.ledger.records):
        if entry.action == "BeginStep" and entry.moment is Moment.INTENT:
            since = datetime.fromisoformat(entry.after["since"])
        elif "metering" in entry.after and since is not None:
            lasted = (datetime.fromisoformat(entry.after["at"]) - since).total_seconds()
            windows.append(entry.after["metering"]["windowSeconds"])
            assert 10 <= windows[-1] <= lasted
    assert len(set(windows)) > 1


@pytest.mark.parametrize("mood", [mood for mood in MOODS if mood])
def test_what_proves_nothing_never_lets_a_candidate_on(mood: str) -> None:
    made = rolling()
    made.metrics.mood = mood
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    shifts = [r.entry for r in made.ledger.records if r.entry.action == "ShiftTraffic"]
    assert {entry.after["percent"] for entry in shifts if entry.moment is Moment.INTENT} == {10}


def test_errors_in_a_row_fail_the_check_before_the_deadline_and_say_so() -> None:
    made = rolling()
    until(made, lambda: at_ten(made))
    made.metrics.mood, begun = "error", made.now
    until(made, lambda: made.serving.shares(KEY) == {1: 100})
    assert (made.now - begun).total_seconds() < 120
    made.settle()
    rejected = made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert "could not be measured 5 times in a row (errorLimit 4): Prometheus answers 503" in rejected


def test_errors_that_are_over_in_time_do_no_harm() -> None:
    made = rolling()
    until(made, lambda: at_ten(made))
    made.metrics.mood = "error"
    errors = len(made.ledger.records)
    until(made, lambda: sum(r.entry.action == "Analyse" for r in made.ledger.records[errors:]) == 6)
    made.metrics.mood = ""
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_dry_run_reports_a_failure_and_rolls_out() -> None:
    made = rolling(bad=True, dryRun=True)
    verdicts = []

    def failed() -> bool:
        status = made.status()
        verdicts.extend([v for v in status.verdicts if v.get("check") == "errors"] if status else [])
        return made.serving.shares(KEY) == {2: 100}

    until(made, failed)
    assert any(v["verdict"] == "fail" and v["dryRun"] for v in verdicts)


def test_no_rollout_begins_that_nobody_could_measure_and_the_status_says_why() -> None:
    made = rolling()
    observer = made.observer
    observer.systems = replace(systems_of(made), metrics=None)
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    status = made.status()
    assert status is not None
    told = status.conditions.stalled.message
    assert "errors cannot be measured, as there is no Prometheus to ask: setting prometheus.url is empty" in told
    assert "prometheus.url" in status.waits_for


def test_what_takes_no_steps_needs_nobody_who_measures() -> None:
    made = world()
    made.settle()
    content = metered().content()
    content["rollout"]["steps"] = []
    made.observer.systems = replace(systems_of(made), metrics=None)
    made.source.write(NAME, ModelSpec.model_validate(content))
    made.settle()
    assert made.serving.shares(KEY) == {2: 100}


def test_an_outcome_keeps_an_error_of_the_check_and_not_a_failure_of_the_action() -> None:
    made = rolling()
    made.metrics.mood = "refusal"
    until(made, lambda: any("2 series" in str(r.entry.after.get("error")) for r in made.ledger.records))
    entry = next(r.entry for r in made.ledger.records if r.entry.after.get("error"))
    assert entry.result is Result.DONE
    assert entry.after["verdict"]["errors"] == 1
    assert METERED["name"] == entry.after["check"]
