"""What two specs differ in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.desired.documents import FreezeWindow, ModelSpec, PolicySpec
from reconciler.plan.spec_changes import FieldChange, Kind, _compare, model_changes, policy_changes
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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("training.parameters.n_estimators", "n_estimators"),
        ("promotion.gates[auc.val].min", "gates[auc.val].min"),
        ("rollout.steps[2].traffic", "steps[2].traffic"),
        ("freezes[weekend]", "freezes[weekend]"),
        ("file pipelines/train.v2.yaml", "file pipelines/train.v2.yaml"),
        ("suspend", "suspend"),
    ],
)
def test_the_name_of_a_change_is_the_end_of_its_path_and_says_of_which_item(path: str, name: str) -> None:
    assert FieldChange(path, Kind.CHANGED, 1, 2).name == name


def changed(before: ModelSpec, after: ModelSpec) -> list[tuple[str, Kind]]:
    return [(c.path, c.kind) for c in model_changes(model("fraud", before), model("fraud", after))]


def gates(*rules: dict[str, object]) -> ModelSpec:
    return spec(promotion={"gates": list(rules)})


def test_each_kind_of_gate_has_the_name_of_what_it_asks_about() -> None:
    rules: tuple[dict[str, object], ...] = (
        {"metric": "auc", "min": 0.9},
        {"tag": "status", "equals": "approved"},
        {"signature": "compatible"},
    )
    assert changed(gates(), gates(*rules)) == [
        ("promotion.gates[auc]", Kind.ADDED),
        ("promotion.gates[status]", Kind.ADDED),
        ("promotion.gates[compatible]", Kind.ADDED),
    ]
    assert changed(gates(*rules), gates(*reversed(rules))) == []


def test_two_gates_of_one_name_are_told_apart_by_their_places() -> None:
    low, high = {"metric": "auc", "min": 0.9}, {"metric": "auc", "max": 0.99}
    assert changed(gates(low), gates(low, high)) == [
        ("promotion.gates[auc]", Kind.REMOVED),
        ("promotion.gates[0]", Kind.ADDED),
        ("promotion.gates[1]", Kind.ADDED),
    ]
    assert changed(gates(low, high), gates(low, {**high, "max": 0.98})) == [("promotion.gates[1].max", Kind.CHANGED)]


def test_a_list_of_plain_values_is_compared_as_a_whole() -> None:
    def listed(*values: int) -> ModelSpec:
        return spec(training={"kubeflowPipeline": {"package": PIPELINE}, "parameters": {"sizes": list(values)}})

    assert changed(listed(1, 2), listed(1, 3)) == [("training.parameters.sizes", Kind.CHANGED)]
    assert changed(listed(1, 2), listed(1, 2)) == []


def test_a_part_that_becomes_a_plain_value_is_compared_as_a_whole() -> None:
    def sized(value: object) -> ModelSpec:
        return spec(training={"kubeflowPipeline": {"package": PIPELINE}, "parameters": {"size": value}})

    assert changed(sized({"a": 1}), sized(3)) == [("training.parameters.size", Kind.CHANGED)]
    assert changed(sized(3), sized({"a": 1})) == [("training.parameters.size", Kind.CHANGED)]


def test_keys_of_one_s_own_are_told_where_they_came_and_went() -> None:
    def parameters(**values: int) -> ModelSpec:
        return spec(training={"kubeflowPipeline": {"package": PIPELINE}, "parameters": values})

    assert changed(parameters(a=1, b=2), parameters(b=2, c=3)) == [
        ("training.parameters.a", Kind.REMOVED),
        ("training.parameters.c", Kind.ADDED),
    ]


def test_a_file_that_came_or_went_is_told_by_the_field_that_names_it() -> None:
    one, two = model("fraud"), replace(model("fraud"), files={PIPELINE: b"compiled", "probes/rows.json": b"{}"})
    assert model_changes(one, two) == ()
    assert model_changes(two, one) == ()


def test_files_are_told_in_the_order_of_their_paths_with_short_digests() -> None:
    before = replace(model("fraud"), files={"b": b"1", "a": b"1"})
    found = model_changes(before, replace(before, files={"b": b"2", "a": b"2"}))
    assert [c.path for c in found] == ["file a", "file b"]
    assert all(len(c.before) == len(c.after) == 7 for c in found)
    assert [c.name for c in found] == ["file a", "file b"]


def test_what_changes_tells_both_values() -> None:
    (change,) = model_changes(model("fraud", spec(trees=50)), model("fraud", spec(trees=200)))
    assert (change.before, change.after) == (50, 200)
    (added,) = model_changes(model("fraud"), model("fraud", spec(registeredModel="x")))
    assert (added.before, added.after) == (None, "x")


def test_a_number_that_only_changes_its_type_is_a_change() -> None:
    assert [c.path for c in _compare({"n": 1}, {"n": 1.0}, "")] == ["n"]
    assert [c.path for c in _compare({"n": 1}, {"n": True}, "")] == ["n"]
    assert [c.path for c in _compare({"n": [1]}, {"n": [1.0]}, "")] == ["n"]
    assert list(_compare({"n": 1, "m": 2}, {"m": 2, "n": 1}, "")) == []


NAMED: dict[str, tuple[list[Any], list[Any], list[str]]] = {
    "items of one name each": ([{"metric": "a"}], [{"metric": "a"}, {"tag": "b"}], ["[b]"]),
    "one without a name": ([{"x": 1}], [{"x": 2}], ["[0].x"]),
    "one without a name that is compared with something": (
        [{"against": "y", "x": 1}], [{"against": "y", "x": 2}], ["[0].x"],
    ),
    "what is no object": ([{"metric": "a"}, 3], [{"metric": "a"}, 4], ["l"]),
}  # fmt: skip


@pytest.mark.parametrize("sentence", NAMED)
def test_items_of_a_list_are_named(sentence: str) -> None:
    before, after, paths = NAMED[sentence]
    found = [c.path.removeprefix("l") or "l" for c in _compare({"l": before}, {"l": after}, "")]
    assert found == paths


def test_the_policy_s_fields_have_the_names_that_people_write() -> None:
    (change,) = policy_changes(PolicySpec(), PolicySpec.model_validate({"allowedNamespaces": ["models"]}))
    assert change.path == "allowedNamespaces"
