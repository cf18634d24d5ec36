"""The plan as programs read it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions
from reconciler.plan.render_json import SCHEMA, proposal_json, render_json
from tests.plan.scenes import UNKNOWN
from tests.plan.worlds import NOW, OLD, model, proposal, retrain_and_archive, state


def found() -> dict[str, Any]:
    return dict(json.loads(render_json(retrain_and_archive())))


def test_the_counts_and_the_comparison_come_first() -> None:
    plan = found()
    assert plan["schema"] == SCHEMA
    assert plan["compared"] == {"what": "4f2c1ab", "against": "main 9be0d13", "assumed": ""}
    assert plan["summary"] == {
        "text": "Plan: 1 to archive, 1 to retrain. Nothing else changes (1 model).",
        "counts": {"archive": 1, "retrain": 1},
        "models": 3,
        "unchanged": 1,
        "waiting": 0,
        "seconds": 1860.0,
    }


def test_what_waits_is_not_counted_as_unchanged_either() -> None:
    models = {name: model(name, commit=OLD) for name in ("fraud", "iris")}
    worlds = {name: assumed_world(m, m, NOW, Assumptions()) for name, m in models.items()}
    worlds["iris"] = replace(worlds["iris"], registry=UNKNOWN)
    made = proposal(state(*models.values()), models, observe=lambda one: worlds[one.name])
    summary = proposal_json(made)["summary"]
    assert summary["text"] == "Plan: nothing to do. 1 model waits. 1 model is as Git says."
    assert (summary["models"], summary["unchanged"], summary["waiting"]) == (2, 1, 1)


def test_each_model_has_its_change_its_decision_and_its_way() -> None:
    _, fraud = found()["models"]
    assert (fraud["name"], fraud["outcome"], fraud["irreversible"]) == ("fraud", "retrain", [])
    assert fraud["changes"] == [
        {"path": "training.parameters.n_estimators", "kind": "changed", "before": 50, "after": 200}
    ]
    assert fraud["decision"]["action"]["kind"] == "Train"
    assert fraud["decision"]["reason"] == "because training.parameters or the pipeline changed"
    assert fraud["way"]["converges"] is True
    assert fraud["way"]["steps"][-1] == {
        "afterSeconds": 1860,
        "action": {"kind": "Promote", "version": 2, "release": fraud["way"]["steps"][1]["action"]["release"]},
        "reason": "version 2 serves all traffic",
    }


def test_what_cannot_be_taken_back_is_said_of_the_model() -> None:
    churn = found()["models"][0]
    assert churn["irreversible"] == [
        "Callers of models/churn get no answer any more.",
        "Archiving removes the way back to version 1 of churn.",
    ]


def test_no_time_of_day_is_in_it_so_that_the_same_plan_has_the_same_bytes() -> None:
    steps = [
        step["action"] for model in proposal_json(retrain_and_archive())["models"] for step in model["way"]["steps"]
    ]
    assert any(action["kind"] == "BeginStep" for action in steps)
    assert not any("since" in action for action in steps)
    assert "2026-08-20" not in render_json(retrain_and_archive())
