"""What ports.Registry promises, held by the simulation, by the simulation behind the real adapter, and by MLflow."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator

import pytest

from reconciler.errors import Refused
from reconciler.observed import ModelVersion, RegisteredModel, Stage
from reconciler.registry_roles import CHALLENGER, CHAMPION, TAG_ARCHIVED, role
from tests.contracts.registries import Bench, MlflowBench, over_the_wire, simulated

NONE, STAGING, PRODUCTION, ARCHIVED = Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED


@pytest.fixture(params=["simulated", "wire", "mlflow"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "simulated":
        return simulated()
    if request.param == "wire":
        return over_the_wire()
    opened: MlflowBench = request.getfixturevalue("mlflow")
    return opened


@pytest.fixture
def name(bench: Bench) -> Iterator[str]:
    chosen = f"contract-{uuid.uuid4().hex[:12]}"
    yield chosen
    bench.registry.delete(chosen)


def model(bench: Bench, name: str) -> RegisteredModel:
    found = bench.registry.read(name)
    assert found is not None
    return found


def version(bench: Bench, name: str, number: int) -> ModelVersion:
    found = model(bench, name).get(number)
    assert found is not None
    return found


def roles(bench: Bench, name: str) -> list[Stage]:
    return [role(v) for v in model(bench, name).versions]


def said(bench: Bench, name: str) -> list[tuple[Stage, set[str]]]:
    return [(v.stage, set(v.aliases)) for v in model(bench, name).versions]


def versions(bench: Bench, name: str, count: int) -> str:
    for _ in range(count):
        bench.register(name, {}, {})
    return name


# Reading


def test_an_absent_model_is_none_and_in_no_list(bench: Bench, name: str) -> None:
    assert bench.registry.read(name) is None
    assert name not in bench.registry.read_all()


def test_a_model_without_versions_is_there(bench: Bench, name: str) -> None:
    bench.create(name)
    assert model(bench, name) == RegisteredModel(name, ())


def test_all_equals_the_models_one_by_one(bench: Bench, name: str) -> None:
    names = [f"{name}-{n}" for n in range(4)]
    for number, each in enumerate(names):
        versions(bench, each, number + 1)
        bench.registry.set_stage(each, 1, PRODUCTION)
        bench.registry.set_stage(each, number + 1, STAGING)
        bench.registry.tag_model(each, "of", each)
    listed = bench.registry.read_all()
    assert [listed[each] for each in names] == [bench.registry.read(each) for each in names]
    assert [len(listed[each].versions) for each in names] == [1, 2, 3, 4]
    for each in names:
        bench.registry.delete(each)


def test_versions_are_listed_oldest_first_in_utc_whatever_was_changed_last(bench: Bench, name: str) -> None:
    versions(bench, name, 5)
    bench.registry.set_stage(name, 2, PRODUCTION)
    bench.registry.tag(name, 4, "k", "v")
    listed = model(bench, name).versions
    assert [v.version for v in listed] == [1, 2, 3, 4, 5]
    times = [v.created_at for v in listed]
    assert times == sorted(times)
    assert {str(t.tzinfo) for t in times} == {"UTC"}
    assert not any(t.microsecond % 1000 for t in times)


def test_a_version_begins_without_stage_alias_and_with_its_tags(bench: Bench, name: str) -> None:
    bench.register(name, {"reconciler.dev/training-key": "k"}, {})
    first = version(bench, name, 1)
    assert (first.stage, first.aliases, first.tags, first.ready) == (
        NONE,
        frozenset(),
        {"reconciler.dev/training-key": "k"},
        True,
    )
    assert first.run_id


def test_two_versions_in_production_are_both_seen(bench: Bench, name: str) -> None:
    versions(bench, name, 3)
    for number in (1, 2, 3):
        bench.stage(name, number, PRODUCTION)
    assert roles(bench, name) == [PRODUCTION] * 3
    assert [role(v) for v in bench.registry.read_all()[name].versions] == [PRODUCTION] * 3


def test_a_role_is_read_by_either_word_and_a_stage_decides(bench: Bench, name: str) -> None:
    versions(bench, name, 4)
    bench.alias(name, CHAMPION, 1)
    bench.alias(name, CHALLENGER, 2)
    bench.stage(name, 3, ARCHIVED)
    bench.registry.tag(name, 4, TAG_ARCHIVED, "true")
    assert roles(bench, name) == [PRODUCTION, STAGING, ARCHIVED, ARCHIVED]
    bench.stage(name, 1, ARCHIVED)
    assert roles(bench, name)[0] is ARCHIVED


# Roles


def test_a_promotion_archives_the_holder_and_moves_the_alias(bench: Bench, name: str) -> None:
    versions(bench, name, 3)
    bench.registry.set_stage(name, 1, PRODUCTION)
    bench.registry.set_stage(name, 2, STAGING)
    assert said(bench, name) == [(PRODUCTION, {CHAMPION}), (STAGING, {CHALLENGER}), (NONE, set())]
    bench.registry.set_stage(name, 2, PRODUCTION)
    assert said(bench, name) == [(ARCHIVED, set()), (PRODUCTION, {CHAMPION}), (NONE, set())]


def test_every_other_holder_loses_the_stage_however_many_there_are(bench: Bench, name: str) -> None:
    versions(bench, name, 4)
    for number in (1, 2, 3):
        bench.stage(name, number, PRODUCTION)
    bench.registry.set_stage(name, 4, PRODUCTION)
    assert roles(bench, name) == [ARCHIVED, ARCHIVED, ARCHIVED, PRODUCTION]


def test_a_holder_by_alias_alone_is_archived_too(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    bench.alias(name, CHAMPION, 1)
    bench.registry.set_stage(name, 2, PRODUCTION)
    assert roles(bench, name) == [ARCHIVED, PRODUCTION]


@pytest.mark.parametrize("stage", Stage)
def test_setting_a_role_twice_changes_nothing(bench: Bench, name: str, stage: Stage) -> None:
    versions(bench, name, 2)
    bench.registry.set_stage(name, 1, PRODUCTION)
    bench.registry.set_stage(name, 2, stage)
    before = model(bench, name)
    bench.registry.set_stage(name, 2, stage)
    assert model(bench, name) == before


def test_an_alias_has_one_holder_at_any_time(bench: Bench, name: str) -> None:
    versions(bench, name, 3)
    for number in (1, 3, 2, 2):
        bench.alias(name, "blue", number)
        assert [v.version for v in model(bench, name).versions if "blue" in v.aliases] == [number]
    for _ in range(2):
        bench.alias(name, "blue", None)
        assert not any(v.aliases for v in model(bench, name).versions)


def test_aliases_of_others_stay_where_they_are(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    bench.alias(name, "blue", 1)
    bench.registry.set_stage(name, 1, PRODUCTION)
    bench.registry.set_stage(name, 2, PRODUCTION)
    assert said(bench, name) == [(ARCHIVED, {"blue"}), (PRODUCTION, {CHAMPION})]


def test_a_role_of_what_is_gone_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(Refused, match="is not in the registry any more"):
        bench.registry.set_stage(name, 1, PRODUCTION)
    versions(bench, name, 1)
    with pytest.raises(Refused, match="is not in the registry any more"):
        bench.registry.set_stage(name, 2, PRODUCTION)
    assert roles(bench, name) == [NONE]


# Tags

ODD = ("", "ü ✓ \U0001f33a", 'say "hi" \\ it\'s', "line\nline\ttab", '{"at": 1}', " both ", "a=b&c#d?e%2F", "x" * 3000)


def test_a_tag_keeps_every_character(bench: Bench, name: str) -> None:
    versions(bench, name, 1)
    for number, value in enumerate(ODD):
        bench.registry.tag(name, 1, f"reconciler.dev/odd-{number}", value)
        bench.registry.tag_model(name, f"reconciler.dev/odd-{number}", value)
    kept = {f"reconciler.dev/odd-{number}": value for number, value in enumerate(ODD)}
    assert version(bench, name, 1).tags == kept
    assert model(bench, name).tags == kept
    assert bench.registry.read_all()[name] == model(bench, name)


def test_tags_are_overwritten_and_removed_one_by_one(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
        bench.registry.tag(name, 1, key, value)
        bench.registry.tag_model(name, key, value)
    assert version(bench, name, 1).tags == model(bench, name).tags == {"a": "3", "b": "2"}
    for _ in range(2):
        bench.registry.tag(name, 1, "a", None)
        bench.registry.tag_model(name, "a", None)
        assert version(bench, name, 1).tags == model(bench, name).tags == {"b": "2"}
    assert version(bench, name, 2).tags == {}


@pytest.mark.parametrize("value", ["v", None])
def test_a_tag_of_what_is_gone_is_refused(bench: Bench, name: str, value: str | None) -> None:
    with pytest.raises(Refused, match="not found"):
        bench.registry.tag_model(name, "k", value)
    versions(bench, name, 1)
    with pytest.raises(Refused, match="not found"):
        bench.registry.tag(name, 2, "k", value)
    assert version(bench, name, 1).tags == {}


# Evidence


def test_metrics_are_read_with_all_their_oddities(bench: Bench, name: str) -> None:
    logged = {"accuracy": 0.95, "zero": 0.0, "tiny": 5e-324, "loss": -1.5, "up": math.inf, "down": -math.inf}
    bench.register(name, {}, {**logged, "nothing": math.nan})
    read = dict(bench.registry.evidence(name, version(bench, name, 1)).metrics)
    assert math.isnan(read.pop("nothing"))
    assert read == logged


def test_a_version_whose_run_logged_nothing_has_no_metrics(bench: Bench, name: str) -> None:
    bench.register(name, {}, {})
    evidence = bench.registry.evidence(name, version(bench, name, 1))
    assert (evidence.metrics, evidence.signature) == ({}, None)
    assert evidence.artifact_uri


def test_evidence_is_that_of_the_version(bench: Bench, name: str) -> None:
    for accuracy in (0.1, 0.2, 0.3):
        bench.register(name, {}, {"accuracy": accuracy})
    read = [bench.registry.evidence(name, v).metrics["accuracy"] for v in model(bench, name).versions]
    assert read == [0.1, 0.2, 0.3]


def test_evidence_of_a_version_that_is_gone_is_refused(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    gone = version(bench, name, 2)
    bench.drop(name, 2)
    with pytest.raises(Refused, match="not found"):
        bench.registry.evidence(name, gone)


# What others take away


def test_deleting_twice_succeeds(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    bench.registry.set_stage(name, 1, PRODUCTION)
    for _ in range(2):
        bench.registry.delete(name)
        assert bench.registry.read(name) is None


def test_a_model_that_is_made_anew_begins_with_version_1_and_without_a_past(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    bench.registry.set_stage(name, 2, PRODUCTION)
    bench.registry.tag_model(name, "k", "v")
    bench.delete(name)
    versions(bench, name, 1)
    assert said(bench, name) == [(NONE, set())]
    assert model(bench, name).tags == {}


def test_the_number_of_a_deleted_version_is_never_given_again(bench: Bench, name: str) -> None:
    versions(bench, name, 3)
    bench.drop(name, 3)
    assert [v.version for v in model(bench, name).versions] == [1, 2]
    assert bench.register(name, {}, {}) == 4
    bench.drop(name, 1)
    assert [v.version for v in model(bench, name).versions] == [2, 4]


def test_a_deleted_version_takes_its_aliases_along(bench: Bench, name: str) -> None:
    versions(bench, name, 2)
    bench.registry.set_stage(name, 2, PRODUCTION)
    bench.drop(name, 2)
    assert said(bench, name) == [(NONE, set())]
    bench.registry.set_stage(name, 1, PRODUCTION)
    assert said(bench, name) == [(PRODUCTION, {CHAMPION})]


def test_a_model_without_versions_left_is_still_there(bench: Bench, name: str) -> None:
    versions(bench, name, 1)
    bench.drop(name, 1)
    assert model(bench, name).versions == ()
    assert bench.registry.read_all()[name].versions == ()


def test_a_renamed_model_is_gone_under_its_old_name_and_whole_under_the_new(bench: Bench, name: str) -> None:
    bench.register(name, {"k": "v"}, {"accuracy": 0.5})
    bench.registry.set_stage(name, 1, PRODUCTION)
    assert name in bench.registry.read_all()
    bench.rename(name, f"{name}-new")
    listed = bench.registry.read_all()
    assert name not in listed
    assert bench.registry.read(name) is None
    with pytest.raises(Refused):
        bench.registry.tag(name, 1, "k", "w")
    assert listed[f"{name}-new"] == model(bench, f"{name}-new")
    assert said(bench, f"{name}-new") == [(PRODUCTION, {CHAMPION})]
    renamed = version(bench, f"{name}-new", 1)
    assert bench.registry.evidence(f"{name}-new", renamed).metrics == {"accuracy": 0.5}
    bench.registry.delete(f"{name}-new")


def test_rows_come_from_the_input_example_that_was_logged(bench: Bench, name: str) -> None:
    bench.register(name, {}, {})
    bench.register(name, {}, {})
    for number in (1, 2):
        bench.log_example(name, number, [[float(number), 0.0]])
    assert [bench.registry.input_rows(name, number) for number in (1, 2)] == [[[1.0, 0.0]], [[2.0, 0.0]]]
