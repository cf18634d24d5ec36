"""Ownership as properties: whatever is applied by whomever, in any order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.demo.kubeapi import managed
from reconciler.demo.kubeapi.fieldsets import flatten
from reconciler.demo.kubeapi.fieldtypes import CORE
from reconciler.demo.kubeapi.managed import Manager, Managers, Write
from reconciler.demo.kubeapi.objects import JsonObject

NAMES = st.sampled_from("abc")
VALUES = st.integers(0, 2)
ENV = st.dictionaries(NAMES, VALUES, min_size=1, max_size=3).map(
    lambda found: [{"name": name, "value": value} for name, value in found.items()]
)
NESTED = st.dictionaries(NAMES, VALUES, min_size=1, max_size=2)
SPECS = st.fixed_dictionaries(
    {}, optional={"x": VALUES, "args": st.lists(VALUES, min_size=1), "map": NESTED, "env": ENV}
)
STEPS = st.lists(st.tuples(st.sampled_from(["m1", "m2"]), SPECS), min_size=1, max_size=6)

State = tuple[JsonObject, Managers]
EMPTY: State = ({}, {})


def apply(state: State, manager: str, spec: dict[str, Any]) -> State:
    write = Write(Manager(manager, "Apply", "v1"), CORE, "2026-01-01T00:00:00Z")
    return managed.apply(state[0], {"spec": spec} if spec else {}, state[1], write, "take")


def run(steps: list[tuple[str, dict[str, Any]]]) -> State:
    state = EMPTY
    for manager, spec in steps:
        state = apply(state, manager, spec)
    return state


@given(STEPS)
def test_what_was_applied_last_stands(steps: list[tuple[str, dict[str, Any]]]) -> None:
    obj, _ = run(steps)
    leaves = flatten(obj, CORE)
    for path, value in flatten({"spec": steps[-1][1]} if steps[-1][1] else {}, CORE).items():
        assert leaves[path] == value


@given(STEPS)
def test_the_same_apply_again_changes_nothing(steps: list[tuple[str, dict[str, Any]]]) -> None:
    state = run(steps)
    assert apply(state, *steps[-1]) == state


@given(STEPS)
def test_every_leaf_has_an_owner_and_every_owner_a_leaf(steps: list[tuple[str, dict[str, Any]]]) -> None:
    obj, managers = run(steps)
    owned = frozenset[tuple[str, ...]]().union(*(ownership.fields for ownership in managers.values()))
    assert owned == flatten(obj, CORE).keys()


@given(STEPS)
def test_nothing_is_left_when_everybody_lets_go(steps: list[tuple[str, dict[str, Any]]]) -> None:
    state = apply(apply(run(steps), "m1", {}), "m2", {})
    assert state[0] == {}


@given(STEPS, SPECS)
def test_one_manager_reaches_the_same_object_by_any_way(
    steps: list[tuple[str, dict[str, Any]]], last: dict[str, Any]
) -> None:
    alone = [("m1", spec) for _, spec in steps]
    assert flatten(run([*alone, ("m1", last)])[0], CORE) == flatten(run([("m1", last)])[0], CORE)


@settings(max_examples=50)
@given(STEPS)
def test_managed_fields_survive_writing_and_reading(steps: list[tuple[str, dict[str, Any]]]) -> None:
    _, managers = run(steps)
    assert managed.decode(managed.encode(managers)) == managers
