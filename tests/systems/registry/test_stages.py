"""Stages and aliases as they end up in a real MLflow registry."""

from __future__ import annotations

import pytest

from reconciler.errors import Refused
from reconciler.observed import Stage
from reconciler.registry_roles import RegistryWrites, role
from reconciler.systems.registry.rest import MlflowRegistry
from tests.conftest import MlflowServer
from tests.systems.registry.conftest import Somebody, registry_at

BOTH, STAGES, ALIASES = RegistryWrites.BOTH, RegistryWrites.STAGES, RegistryWrites.ALIASES
NONE, STAGING, PRODUCTION, ARCHIVED = Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED


def said(registry: MlflowRegistry, name: str) -> list[tuple[Stage, set[str]]]:
    model = registry.read(name)
    assert model is not None
    return [(v.stage, set(v.aliases)) for v in model.versions]


def roles(registry: MlflowRegistry, name: str) -> list[Stage]:
    model = registry.read(name)
    assert model is not None
    return [role(v) for v in model.versions]


@pytest.mark.parametrize("writes", RegistryWrites)
def test_the_story_of_two_versions_ends_the_same_however_it_is_written(
    mlflow_server: MlflowServer, somebody: Somebody, name: str, writes: RegistryWrites
) -> None:
    somebody.model(name, versions=2)
    with registry_at(mlflow_server.url, writes) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        assert roles(registry, name) == [PRODUCTION, NONE]
        registry.set_stage(name, 2, STAGING)
        assert roles(registry, name) == [PRODUCTION, STAGING]
        registry.set_stage(name, 2, PRODUCTION)
        assert roles(registry, name) == [ARCHIVED, PRODUCTION]
        registry.set_stage(name, 1, PRODUCTION)
        assert roles(registry, name) == [PRODUCTION, ARCHIVED]
        registry.set_stage(name, 1, ARCHIVED)
        assert roles(registry, name) == [ARCHIVED, ARCHIVED]


def test_both_are_written(mlflow_server: MlflowServer, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=3)
    with registry_at(mlflow_server.url, BOTH) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        registry.set_stage(name, 2, STAGING)
        registry.set_stage(name, 3, STAGING)
        assert said(registry, name) == [
            (PRODUCTION, {"champion"}),
            (ARCHIVED, set()),
            (STAGING, {"challenger"}),
        ]
        registry.set_stage(name, 3, PRODUCTION)
        assert said(registry, name) == [(ARCHIVED, set()), (ARCHIVED, set()), (PRODUCTION, {"champion"})]


def test_stages_only_never_sets_an_alias(mlflow_server: MlflowServer, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=2)
    with registry_at(mlflow_server.url, STAGES) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        registry.set_stage(name, 2, STAGING)
        assert said(registry, name) == [(PRODUCTION, set()), (STAGING, set())]


def test_aliases_only_never_sets_a_stage(mlflow_server: MlflowServer, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=2)
    with registry_at(mlflow_server.url, ALIASES) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        registry.set_stage(name, 2, PRODUCTION)
        assert said(registry, name) == [(NONE, set()), (NONE, {"champion"})]


def test_aliases_of_others_are_left_alone(mlflow_server: MlflowServer, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=2)
    somebody.alias(name, "blue", 1)
    with registry_at(mlflow_server.url, BOTH) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        registry.set_stage(name, 2, PRODUCTION)
        registry.set_stage(name, 1, ARCHIVED)
        assert said(registry, name) == [(ARCHIVED, {"blue"}), (PRODUCTION, {"champion"})]


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("writes", RegistryWrites)
def test_what_is_so_already_is_not_written(
    mlflow_server: MlflowServer, somebody: Somebody, name: str, writes: RegistryWrites, stage: Stage
) -> None:
    somebody.model(name, versions=2)
    with registry_at(mlflow_server.url, writes) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        registry.set_stage(name, 2, stage)
        before = (said(registry, name), somebody.last_updated(name, 2), registry.calls)
        registry.set_stage(name, 2, stage)
        # Two reads to look, and nothing else.
        assert registry.calls == before[2] + 2
        assert (said(registry, name), somebody.last_updated(name, 2)) == before[:2]


def test_a_second_version_that_somebody_put_in_production_is_archived(
    mlflow_server: MlflowServer, somebody: Somebody, name: str
) -> None:
    somebody.model(name, versions=3)
    for version in (1, 2, 3):
        somebody.stage(name, version, "Production")
    with registry_at(mlflow_server.url, BOTH) as registry:
        registry.set_stage(name, 2, PRODUCTION)
        assert roles(registry, name) == [ARCHIVED, PRODUCTION, ARCHIVED]


@pytest.mark.parametrize("before", RegistryWrites)
@pytest.mark.parametrize("after", RegistryWrites)
def test_the_setting_can_change_between_two_promotions(
    mlflow_server: MlflowServer, somebody: Somebody, name: str, before: RegistryWrites, after: RegistryWrites
) -> None:
    somebody.model(name, versions=2)
    with registry_at(mlflow_server.url, before) as registry:
        registry.set_stage(name, 1, PRODUCTION)
        registry.set_stage(name, 2, STAGING)
    with registry_at(mlflow_server.url, after) as registry:
        registry.set_stage(name, 2, PRODUCTION)
        assert roles(registry, name)[1] is PRODUCTION
        assert roles(registry, name)[0] in {ARCHIVED, NONE}


def test_a_version_that_is_gone_is_refused(registry: MlflowRegistry, somebody: Somebody, name: str) -> None:
    somebody.model(name, versions=1)

    with pytest.raises(Refused, match="version 7"):
        registry.set_stage(name, 7, PRODUCTION)
    with pytest.raises(Refused, match="not in the registry"):
        registry.set_stage(f"{name}-x", 1, PRODUCTION)
