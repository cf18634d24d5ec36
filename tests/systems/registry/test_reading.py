"""What the registry adapter reads from a real MLflow server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import Refused
from reconciler.observed import Stage
from reconciler.systems.registry.rest import MlflowRegistry
from tests.systems.registry.conftest import Somebody


def test_everything_is_read_with_two_calls(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=3)
    somebody.stage(name, 2, "Production")
    somebody.alias(name, "champion", 2)
    somebody.alias(name, "blue", 2)
    somebody.alias(name, "challenger", 3)
    somebody.call(
        "POST", "model-versions/set-tag", name=name, version="3", key="reconciler.dev/gates", value="passed é"
    )
    somebody.call("POST", "registered-models/set-tag", name=name, key="team", value="flowers")

    model = registry.read_all()[name]

    assert registry.calls == 2
    assert [v.version for v in model.versions] == [1, 2, 3]
    assert [v.stage for v in model.versions] == [Stage.NONE, Stage.PRODUCTION, Stage.NONE]
    assert [v.aliases for v in model.versions] == [frozenset(), {"champion", "blue"}, {"challenger"}]
    assert model.versions[2].tags == {"reconciler.dev/gates": "passed é"}
    assert model.tags == {"team": "flowers"}
    assert model.versions[0].source == "s3://models/somewhere"
    assert abs(datetime.now(UTC) - model.versions[0].created_at) < timedelta(minutes=5)
    assert all(v.ready for v in model.versions)


def test_one_model_reads_the_same_alone_and_among_all(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=2)
    somebody.alias(name, "champion", 1)

    assert registry.read(name) == registry.read_all()[name]


def test_two_versions_in_production_are_both_seen(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=2)
    somebody.stage(name, 1, "Production")
    somebody.stage(name, 2, "Production")

    model = registry.read(name)

    assert model is not None
    assert [v.stage for v in model.versions] == [Stage.PRODUCTION, Stage.PRODUCTION]


def test_a_model_without_versions_is_there(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name)

    model = registry.read(name)

    assert model is not None
    assert model.versions == ()


def test_a_model_that_never_was_is_absent(registry: MlflowRegistry, name: str) -> None:
    assert registry.read(name) is None


def test_a_model_that_somebody_deleted_is_gone_from_the_next_reading(
    registry: MlflowRegistry, somebody: Somebody, name: str
) -> None:
    somebody.model(name, versions=1)
    assert name in registry.read_all()

    somebody.call("DELETE", "registered-models/delete", name=name)

    assert name not in registry.read_all()


def test_prompts_are_no_models(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    somebody.call("POST", "registered-models/create", name=name, tags=prompt)
    tags = [*prompt, {"key": "mlflow.prompt.text", "value": "hello"}]
    somebody.call("POST", "model-versions/create", name=name, source="dummy-source", tags=tags)

    assert name not in registry.read_all()


@pytest.mark.parametrize("odd", ["it's", 'say "hi"', "ü & % ;--", "back\\slash", "sp ace", "q?a=b#c"])
def test_odd_names_are_read_exactly(registry: MlflowRegistry, somebody: Somebody, name: str, odd: str) -> None:
    somebody.model(f"{name} {odd}", versions=1)
    somebody.model(name, versions=2)

    model = registry.read(f"{name} {odd}")

    assert model is not None
    assert [v.version for v in model.versions] == [1]


def test_a_name_that_no_filter_can_say_is_refused(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(f'{name} it\'s "x"')

    with pytest.raises(Refused, match="both kinds of quotes"):
        registry.read(f'{name} it\'s "x"')


def test_tags_are_set_and_removed(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=1)
    registry.tag(name, 1, "reconciler.dev/gates", "passed 1a")
    registry.tag_model(name, "reconciler.dev/managed-by", "model-reconciler")
    model = registry.read(name)
    assert model is not None
    assert model.versions[0].tags == {"reconciler.dev/gates": "passed 1a"}
    assert model.tags == {"reconciler.dev/managed-by": "model-reconciler"}

    for _ in range(2):
        registry.tag(name, 1, "reconciler.dev/gates", None)
        registry.tag_model(name, "reconciler.dev/managed-by", None)

    model = registry.read(name)
    assert model is not None
    assert (model.versions[0].tags, model.tags) == ({}, {})


def test_a_tag_on_a_version_that_is_gone_is_refused(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=1)

    with pytest.raises(Refused, match="not found"):
        registry.tag(name, 9, "k", "v")


def test_a_tag_that_mlflow_finds_too_long_is_refused(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=1)

    with pytest.raises(Refused, match="maximum length"):
        registry.tag(name, 1, "k", "v" * 200_000)


def test_deleting_twice_succeeds(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=2)

    registry.delete(name)
    registry.delete(name)

    assert registry.read(name) is None
