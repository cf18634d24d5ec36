"""Strategies and holds as people write them: what is taken, and what is refused with advice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.desired.documents import Rollout
from reconciler.desired.duration import format_duration
from reconciler.desired.holds import Step, Window, describe_hold

STEPS = [{"traffic": 10, "hold": "10m"}]
PROBE = {"name": "answers", "probe": {"inputs": {"from": "inputExample"}}}
ERRORS: dict[str, Any] = {"name": "errors", "prometheus": {"template": "error-rate", "flavour": "istio", "max": 0.01}}
WINDOW = {"cron": "0 9 * * 1-5", "duration": "8h"}


def taken(**fields: Any) -> Rollout:
    return Rollout.model_validate(fields)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a canary without steps": ({"strategy": "canary"}, "a canary needs steps"),
    "steps that would not be taken": ({"strategy": "immediate", "steps": STEPS}, "immediate takes no steps"),
    "steps of what goes in one": ({"strategy": "blueGreen", "steps": STEPS}, "blueGreen takes no steps"),
    "a check that nobody would make": ({"strategy": "immediate", "analysis": [PROBE]}, "immediate measures nothing"),
    "a hold of nothing": ({"steps": STEPS, "hold": "1m"}, "only blueGreen has a hold here"),
    "callers' metrics where there are no callers": (
        {"strategy": "blueGreen", "analysis": [ERRORS]}, "error-rate has nothing to read",
    ),
    "a misspelt approval": ({"steps": [{"traffic": 10, "hold": "untilAproved"}]}, "not a duration"),
    "a number": ({"steps": [{"traffic": 10, "hold": 10}]}, "not a duration: 10"),
    "a window that is never open": (
        {"steps": [{"traffic": 10, "hold": {**WINDOW, "duration": "0s"}}]}, "open for 1m at least",
    ),
    "a window that never opens": (
        {"steps": [{"traffic": 10, "hold": {**WINDOW, "cron": "0 0 31 2 *"}}]}, "never fires",
    ),
    "another strategy": ({"strategy": "shadow"}, "'canary', 'blueGreen' or 'immediate'"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_refused_is(sentence: str) -> None:
    fields, words = REFUSED[sentence]
    with pytest.raises(ValidationError) as error:
        taken(**fields)
    assert words in str(error.value)


HOLDS: dict[str, tuple[Any, str]] = {
    "10m": (timedelta(minutes=10), "for 10m"),
    "untilApproved": ("untilApproved", "until approved"),
    "a window": (Window(cron="0 9 * * 1-5", duration=timedelta(hours=8)), "until a window (0 9 * * 1-5, 8h)"),
}


@pytest.mark.parametrize("written", HOLDS)
def test_a_hold_is_read_written_and_told(written: str) -> None:
    rollout = taken(steps=[{"traffic": 10, "hold": WINDOW if written == "a window" else written}])
    hold, words = HOLDS[written]
    assert rollout.steps == (Step(traffic=10, hold=hold),)
    assert Rollout.model_validate(rollout.content()) == rollout
    assert describe_hold(hold) == words


def test_what_is_taken_step_by_step() -> None:
    assert taken(steps=STEPS).course == taken(steps=STEPS, strategy="canary").course == taken(steps=STEPS).steps
    assert taken().course == taken(strategy="immediate").course == ()
    assert taken(strategy="blueGreen").course == (Step(traffic=0, hold=timedelta()),)
    assert taken(strategy="blueGreen", hold="untilApproved").course == (Step(traffic=0, hold="untilApproved"),)


def test_metrics_that_a_probe_feeds_are_taken_at_no_traffic() -> None:
    assert taken(strategy="blueGreen", analysis=[ERRORS, PROBE]).course[0].traffic == 0


QUERY = {"query": "up", "max": 1}
# Fields of a rollout, and how long its steps take at least.
LEAST: dict[str, tuple[dict[str, Any], str]] = {
    "no steps": ({}, "0s"),
    "holds": ({"steps": [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "20m"}]}, "30m"),
    "what follows an approval counts anew": (
        {"steps": [{"traffic": n, "hold": hold} for n, hold in enumerate(("20m", "untilApproved", "5m", "10m"), 1)]},
        "20m",
    ),
    "a first measurement": ({"steps": STEPS, "analysis": [{**PROBE, "initialDelay": "15m"}]}, "15m"),
    "of each step": (
        {"steps": [*STEPS, {"traffic": 20, "hold": "20m"}], "analysis": [{**PROBE, "initialDelay": "15m"}]}, "35m",
    ),
    "requests of several rounds": (
        {"steps": [{"traffic": 10, "hold": "0s"}], "analysis": [{**PROBE, "interval": "1m", "minSamples": 41}]}, "2m",
    ),
    "a file of which nobody knows how many rows it has": (
        {
            "steps": [{"traffic": 10, "hold": "0s"}],
            "analysis": [{"name": "rows", "minSamples": 900, "probe": {"inputs": {"file": "rows.json"}}}],
        },
        "0s",
    ),
    "what only reports": ({"steps": STEPS, "analysis": [{**PROBE, "initialDelay": "15m", "dryRun": True}]}, "10m"),
    "the window of a query": (
        {"steps": STEPS, "analysis": [{"name": "q", "prometheus": {**QUERY, "window": "12m"}}]}, "12m",
    ),
    "measurements of a query": (
        {
            "strategy": "blueGreen",
            "analysis": [{"name": "q", "interval": "1m", "minSamples": 4, "prometheus": {**QUERY, "window": "2m"}}],
        },
        "5m",
    ),
    "the window of a template": (
        {
            "steps": STEPS,
            "analysis": [{**ERRORS, "interval": "1m", "prometheus": {**ERRORS["prometheus"], "window": "12m"}}],
        },
        "10m",
    ),
    "a job": (
        {"strategy": "blueGreen", "analysis": [{"name": "j", "initialDelay": "1m", "job": {"image": "i"}}]}, "1m",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", LEAST)
def test_how_long_steps_take_at_least(sentence: str) -> None:
    fields, least = LEAST[sentence]
    assert format_duration(taken(**fields, deadline="1h").least) == least


def test_a_deadline_that_no_rollout_could_meet_is_refused() -> None:
    steps = [{"traffic": 10, "hold": "30m"}, {"traffic": 50, "hold": "30m"}]
    with pytest.raises(ValidationError, match=r"the steps take 1h at least, .* has to be over within 1h"):
        taken(steps=steps)
    assert taken(steps=steps, deadline="61m").least == timedelta(hours=1)
