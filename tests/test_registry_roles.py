"""What a version is, read from stages and aliases, and what is written to change it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.observed import ModelVersion, RegisteredModel, Stage
from reconciler.registry_roles import CHALLENGER, CHAMPION, TAG_ARCHIVED, RegistryWrites, role
from reconciler.registry_writes import (
    DropAlias,
    MarkArchived,
    PointAlias,
    Transition,
    UnmarkArchived,
    Write,
    writes_for,
)

NONE, STAGING, PRODUCTION, ARCHIVED = Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED
BOTH, STAGES, ALIASES = RegistryWrites.BOTH, RegistryWrites.STAGES, RegistryWrites.ALIASES


def version(number: int, stage: Stage = NONE, *aliases: str, archived: bool = False) -> ModelVersion:
    tags = {TAG_ARCHIVED: "true"} if archived else {}
    return ModelVersion(number, stage, frozenset(aliases), tags, "", "s3://m", datetime(2026, 1, 1, tzinfo=UTC))


READ: dict[str, tuple[ModelVersion, Stage]] = {
    "nothing said": (version(1), NONE),
    "a stage": (version(1, PRODUCTION), PRODUCTION),
    "champion": (version(1, NONE, CHAMPION), PRODUCTION),
    "challenger": (version(1, NONE, CHALLENGER), STAGING),
    "both aliases": (version(1, NONE, CHAMPION, CHALLENGER), PRODUCTION),
    "the archived tag": (version(1, archived=True), ARCHIVED),
    "an alias beats the archived tag": (version(1, NONE, CHAMPION, archived=True), PRODUCTION),
    "a stage beats an alias": (version(1, ARCHIVED, CHAMPION), ARCHIVED),
    "aliases of others say nothing": (version(1, NONE, "blue"), NONE),
}


@pytest.mark.parametrize("case", READ)
def test_role(case: str) -> None:
    given_version, expected = READ[case]
    assert role(given_version) is expected


WRITTEN: dict[str, tuple[list[ModelVersion], int, Stage, RegistryWrites, list[Write]]] = {
    "both: the alias is moved before the stage decides": (
        [version(1, PRODUCTION, CHAMPION), version(2, STAGING, CHALLENGER)], 2, PRODUCTION, BOTH,
        [DropAlias(CHALLENGER), PointAlias(CHAMPION, 2), Transition(2, PRODUCTION)],
    ),
    "both: a version without stage gets one before its alias, which would decide without": (
        [version(1, PRODUCTION, CHAMPION), version(2)], 2, PRODUCTION, BOTH,
        [Transition(2, STAGING), PointAlias(CHAMPION, 2), Transition(2, PRODUCTION)],
    ),
    "both: a lost alias is put back alone": (
        [version(1, PRODUCTION)], 1, PRODUCTION, BOTH, [PointAlias(CHAMPION, 1)],
    ),
    "both: a second holder of the stage is archived with it": (
        [version(1, PRODUCTION), version(2, PRODUCTION, CHAMPION)], 2, PRODUCTION, BOTH, [Transition(2, PRODUCTION)],
    ),
    "both: archiving removes the aliases first": (
        [version(1, PRODUCTION, CHAMPION)], 1, ARCHIVED, BOTH, [DropAlias(CHAMPION), Transition(1, ARCHIVED)],
    ),
    "both: archiving leaves the aliases of other versions": (
        [version(1, STAGING), version(2, PRODUCTION, CHAMPION)], 1, ARCHIVED, BOTH, [Transition(1, ARCHIVED)],
    ),
    "both: a champion without stage keeps Production until the last write": (
        [version(1, NONE, CHAMPION), version(2, STAGING)], 2, PRODUCTION, BOTH,
        [Transition(1, PRODUCTION), PointAlias(CHAMPION, 2), Transition(2, PRODUCTION)],
    ),
    "both: a second champion by its alias alone never takes the stage": (
        [version(1, PRODUCTION), version(2, NONE, CHAMPION)], 1, PRODUCTION, BOTH,
        [Transition(2, ARCHIVED), PointAlias(CHAMPION, 1)],
    ),
    "both: a champion without stage gets it in one write": (
        [version(1, NONE, CHAMPION)], 1, PRODUCTION, BOTH, [Transition(1, PRODUCTION)],
    ),
    "both: what comes back from the archive loses the mark": (
        [version(1, archived=True), version(2)], 1, PRODUCTION, BOTH,
        [Transition(1, STAGING), PointAlias(CHAMPION, 1), UnmarkArchived(1), Transition(1, PRODUCTION)],
    ),
    "both: a version without stage is staged before its alias, where another is staged": (
        [version(1, STAGING, CHALLENGER), version(2)], 2, STAGING, BOTH,
        [Transition(2, STAGING), PointAlias(CHALLENGER, 2)],
    ),
    "both: a version without stage is staged after its alias, where no other is staged": (
        [version(1), version(2)], 2, STAGING, BOTH, [PointAlias(CHALLENGER, 2), Transition(2, STAGING)],
    ),
    "both: a version with a stage is staged after its alias": (
        [version(1, STAGING), version(2, ARCHIVED)], 2, STAGING, BOTH,
        [PointAlias(CHALLENGER, 2), Transition(2, STAGING)],
    ),
    "both: a version with a stage is staged after its alias, whatever others have none": (
        [version(1, STAGING), version(2, ARCHIVED), version(3)], 2, STAGING, BOTH,
        [PointAlias(CHALLENGER, 2), Transition(2, STAGING)],
    ),
    "both: a challenger without stage gets it in one write": (
        [version(1, NONE, CHALLENGER)], 1, STAGING, BOTH, [Transition(1, STAGING)],
    ),
    "both: a challenger without stage is archived when another is staged": (
        [version(1, NONE, CHALLENGER), version(2, ARCHIVED)], 2, STAGING, BOTH,
        [PointAlias(CHALLENGER, 2), Transition(1, ARCHIVED), Transition(2, STAGING)],
    ),
    "both: a challenger without stage is archived before one without stage is staged beside a third": (
        [version(1, STAGING), version(2), version(3, NONE, CHALLENGER)], 2, STAGING, BOTH,
        [Transition(3, ARCHIVED), Transition(2, STAGING), PointAlias(CHALLENGER, 2)],
    ),
    "both: a staged challenger displaces another that is staged": (
        [version(1, STAGING), version(2, STAGING, CHALLENGER)], 2, STAGING, BOTH, [Transition(2, STAGING)],
    ),
    "both: archiving removes the alias first, where others are archived too": (
        [version(1, ARCHIVED), version(2, NONE, CHAMPION)], 2, ARCHIVED, BOTH,
        [DropAlias(CHAMPION), Transition(2, ARCHIVED)],
    ),
    "stages: an alias that says the same is left alone": (
        [version(1, PRODUCTION, CHAMPION)], 1, PRODUCTION, STAGES, [],
    ),
    "stages: a mark that says the same is left alone": (
        [version(1, archived=True)], 1, ARCHIVED, STAGES, [Transition(1, ARCHIVED)],
    ),
    "aliases: archiving one version marks no other": (
        [version(1, NONE, CHAMPION), version(2, ARCHIVED)], 1, ARCHIVED, ALIASES,
        [MarkArchived(1), DropAlias(CHAMPION)],
    ),
    "aliases: only who is displaced is marked": (
        [version(1, NONE, CHAMPION), version(2), version(3)], 2, PRODUCTION, ALIASES,
        [MarkArchived(1), PointAlias(CHAMPION, 2)],
    ),
    "aliases: who is displaced and marked already is not marked again": (
        [version(1, NONE, CHAMPION, archived=True), version(2)], 2, PRODUCTION, ALIASES, [PointAlias(CHAMPION, 2)],
    ),
    "aliases: a stage that says something else of another version is left alone": (
        [version(1, STAGING), version(2)], 2, PRODUCTION, ALIASES, [PointAlias(CHAMPION, 2)],
    ),
    "stages: an alias is never set": (
        [version(1, PRODUCTION), version(2)], 2, PRODUCTION, STAGES, [Transition(2, PRODUCTION)],
    ),
    "stages: an alias that contradicts is dropped": (
        [version(1, NONE, CHAMPION), version(2)], 2, PRODUCTION, STAGES,
        [DropAlias(CHAMPION), Transition(2, PRODUCTION)],
    ),
    "aliases: the displaced is marked before the alias moves": (
        [version(1, NONE, CHAMPION), version(2, NONE, CHALLENGER)], 2, PRODUCTION, ALIASES,
        [MarkArchived(1), DropAlias(CHALLENGER), PointAlias(CHAMPION, 2)],
    ),
    "aliases: a stage that contradicts is cleared": (
        [version(1, PRODUCTION), version(2, STAGING)], 2, PRODUCTION, ALIASES,
        [MarkArchived(1), Transition(1, NONE), Transition(2, NONE), PointAlias(CHAMPION, 2)],
    ),
    "aliases: what comes back loses the mark": (
        [version(1, archived=True)], 1, PRODUCTION, ALIASES, [UnmarkArchived(1), PointAlias(CHAMPION, 1)],
    ),
    "aliases: archived is a mark, and no alias": (
        [version(1, NONE, CHAMPION)], 1, ARCHIVED, ALIASES, [MarkArchived(1), DropAlias(CHAMPION)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN)
def test_writes(case: str) -> None:
    versions, number, stage, writes, expected = WRITTEN[case]
    assert list(writes_for(RegisteredModel("m", tuple(versions)), number, stage, writes)) == expected


def apply(model: RegisteredModel, write: Write) -> RegisteredModel:
    """Do what MLflow does."""
    return replace(model, versions=tuple(_changed(v, write) for v in model.versions))


def _changed(v: ModelVersion, write: Write) -> ModelVersion:
    match write:
        case Transition(number, stage):
            displaced = stage in {STAGING, PRODUCTION} and v.stage is stage
            return replace(v, stage=stage if v.version == number else ARCHIVED if displaced else v.stage)
        case PointAlias(alias, number):
            return replace(v, aliases=v.aliases | {alias} if v.version == number else v.aliases - {alias})
        case DropAlias(alias):
            return replace(v, aliases=v.aliases - {alias})
        case MarkArchived(number):
            return replace(v, tags={TAG_ARCHIVED: "true"}) if v.version == number else v
        case UnmarkArchived(number):
            return replace(v, tags={}) if v.version == number else v


def holders(model: RegisteredModel, stage: Stage) -> list[int]:
    return [v.version for v in model.versions if role(v) is stage]


@st.composite
def registered(draw: st.DrawFn) -> RegisteredModel:
    count = draw(st.integers(1, 4))
    champion, challenger = (draw(st.none() | st.integers(1, count)) for _ in range(2))
    aliases = {n: [a for a, at in ((CHAMPION, champion), (CHALLENGER, challenger)) if at == n] for n in range(1, 5)}
    return RegisteredModel(
        "m",
        tuple(
            version(n, draw(st.sampled_from(Stage)), *aliases[n], archived=draw(st.booleans()))
            for n in range(1, count + 1)
        ),
    )


@given(registered(), st.sampled_from(Stage), st.sampled_from(RegistryWrites), st.data())
def test_whatever_was_there_the_role_is_reached_alone_and_then_nothing_is_left_to_write(
    model: RegisteredModel, stage: Stage, writes: RegistryWrites, data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(model.versions)))
    for write in writes_for(model, number, stage, writes):
        model = apply(model, write)
    found = model.get(number)
    assert found is not None
    assert role(found) is stage
    if stage in {STAGING, PRODUCTION}:
        assert holders(model, stage) == [number]
    assert writes_for(model, number, stage, writes) == ()


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(Stage)), max_size=8), st.sampled_from(RegistryWrites))
def test_at_no_moment_are_two_versions_in_production(steps: list[tuple[int, Stage]], writes: RegistryWrites) -> None:
    model = RegisteredModel("m", tuple(version(n) for n in (1, 2, 3)))
    for number, stage in steps:
        for write in writes_for(model, number, stage, writes):
            model = apply(model, write)
            assert len(holders(model, PRODUCTION)) <= 1


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(Stage)), max_size=6), st.sampled_from(RegistryWrites))
def test_a_promotion_never_leaves_a_moment_without_production(
    steps: list[tuple[int, Stage]], writes: RegistryWrites
) -> None:
    model = RegisteredModel("m", tuple(version(n) for n in (1, 2, 3)))
    for number, stage in steps:
        served = bool(holders(model, PRODUCTION))
        for write in writes_for(model, number, stage, writes):
            model = apply(model, write)
            assert stage is not PRODUCTION or not served or holders(model, PRODUCTION)


@given(registered(), st.sampled_from(RegistryWrites))
def test_a_promotion_that_is_cut_short_anywhere_does_not_look_done(
    model: RegisteredModel, writes: RegistryWrites
) -> None:
    if writes is ALIASES:  # stages are somebody else's there: to clear one may change who is in Production
        model = replace(model, versions=tuple(replace(v, stage=NONE) for v in model.versions))
    for promoted in model.versions:
        before = role(promoted)
        steps, now = writes_for(model, promoted.version, PRODUCTION, writes), model
        for write in steps[:-1]:
            now = apply(now, write)
            found = now.get(promoted.version)
            assert found is not None
            assert role(found) is not PRODUCTION or before is PRODUCTION, write
