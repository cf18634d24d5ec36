"""What two specs differ in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.desired.documents import FreezeWindow, PolicySpec
from reconciler.plan.spec_changes import FieldChange, Kind, model_changes, policy_changes
from tests.plan.worlds import PIPELINE, model, spec


@pytest.mark.parametrize(
    ("changes", "expected"),
    {
        "the same spec changes nothing": ({}, []),
        "a number is shown by its whole path": (
            {"trees": 200},
            [("training.parameters.n_estimators", Kind.CHANGED, 50, 200)],
        ),
        "a gate is named by its metric, not by its place": (
            {"promotion": {"gates": [{"metric": "auc", "min": 0.95}]}},
            [
                ("promotion.gates[auc].min", Kind.CHANGED, 0.91, 0.95),
                ("promotion.gates[f1 against production]", Kind.REMOVED, "f1", None),
            ],
        ),
        "steps have no names, so their places count": (
            {"rollout": {"steps": [{"traffic": 20, "hold": "10m"}, {"traffic": 50, "hold": "10m"}], "analysis": []}},
            [
                ("rollout.steps[0].traffic", Kind.CHANGED, 10, 20),
                ("rollout.analysis[answers]", Kind.REMOVED, "answers", None),
            ],
        ),
        "a field that was not there is added": (
            {"registeredModel": "fraud-v2"},
            [("registeredModel", Kind.ADDED, None, "fraud-v2")],
        ),
        "true is not 1": ({"suspend": True}, [("suspend", Kind.CHANGED, False, True)]),
    }.values(),
)
def test_each_change_is_named_as_people_write_it(
    changes: dict[str, object], expected: list[tuple[str, Kind, object, object]]
) -> None:
    found = model_changes(model("fraud"), model("fraud", spec(**changes)))  # type: ignore[arg-type]  # from a table
    assert [(c.path, c.kind, short(c.before), short(c.after)) for c in found] == expected


def short(value: object) -> object:
    """Stand for a removed item by what it is about."""
    return value.get("metric") or value.get("name") if isinstance(value, dict) else value


def test_a_pipeline_with_other_bytes_is_a_change_though_its_path_is_the_same() -> None:
    before = model("fraud")
    (change,) = model_changes(before, replace(before, files={PIPELINE: b"compiled again"}))
    assert (change.path, change.kind) == (f"file {PIPELINE}", Kind.CHANGED)
    assert change.before != change.after


def test_the_policy_s_defaults_are_left_out_because_they_show_in_the_models() -> None:
    freeze = FreezeWindow.model_validate({"name": "weekend", "start": "0 18 * * 5", "duration": "60h"})
    before, after = PolicySpec(), PolicySpec(defaults={"suspend": True}, freezes=(freeze,))
    (change,) = policy_changes(before, after)
    assert (change.path, change.kind) == ("freezes[weekend]", Kind.ADDED)


def test_the_last_part_of_a_path_is_its_name() -> None:
    assert FieldChange("training.parameters.n_estimators", Kind.CHANGED, 1, 2).name == "n_estimators"
