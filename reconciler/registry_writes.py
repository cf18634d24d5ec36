"""The writes that give a version its role, as settings say it is written: stages, aliases or both. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from reconciler.observed import ModelVersion, RegisteredModel, Stage
from reconciler.registry_roles import ALIASES, CHAMPION, TAG_ARCHIVED, RegistryWrites, role


@dataclass(frozen=True, slots=True)
class Transition:
    """Set a version's stage; for Production and Staging MLflow archives every other holder in the same transaction."""

    version: int
    stage: Stage


@dataclass(frozen=True, slots=True)
class PointAlias:
    """Point an alias at a version, taking it from any other."""

    alias: str
    version: int


@dataclass(frozen=True, slots=True)
class DropAlias:
    """Remove an alias from the model."""

    alias: str


@dataclass(frozen=True, slots=True)
class MarkArchived:
    """Tag a version as archived."""

    version: int


@dataclass(frozen=True, slots=True)
class UnmarkArchived:
    """Remove that tag."""

    version: int


Write = Transition | PointAlias | DropAlias | MarkArchived | UnmarkArchived


def writes_for(model: RegisteredModel, version: int, stage: Stage, writes: RegistryWrites) -> tuple[Write, ...]:
    """Return what is still to be written so that the version has that role, in order; nothing when it is so already.

    What `writes` chooses is set; the other spelling is only cleared where it contradicts. The order keeps the promise
    of one holder at any moment.
    """
    match writes:
        case RegistryWrites.STAGES:
            return (*_contradicting_aliases(model, version, stage), *_stages(model, version, stage))
        case RegistryWrites.BOTH:
            return tuple(_both(model, version, stage))
        case RegistryWrites.ALIASES:
            return (*_marks(model, version, stage), *_stale_stages(model, version, stage),
                    *_aliases(model, version, stage))  # fmt: skip
        case _:
            assert_never(writes)


def _both(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    """Aliases come first, because the stage decides; a version without stage would hold by its alias at once."""
    if stage is Stage.PRODUCTION:
        yield from _decided(model, version)
        yield from _aliases(model, version, stage)
        yield from _stages(model, version, stage)
        return
    by_stage = stage in ALIASES and any(v.stage is stage for v in model.versions if v.version != version)
    undecided = any(v.stage is Stage.NONE for v in model.versions if v.version == version)
    if by_stage and undecided:
        yield from _displaced(model, version, stage)
        yield from _stages(model, version, stage)
        yield from _aliases(model, version, stage)
    else:
        yield from _aliases(model, version, stage)
        yield from _displaced(model, version, stage)
        yield from _stages(model, version, stage)


def _decided(model: RegisteredModel, version: int) -> Iterator[Write]:
    """Have stages decide already: who is in Production then changes by the last write alone.

    Whatever cuts a promotion short, its version is not in Production, so that it is promoted again, to the end.
    """
    holder = _holder(model, CHAMPION)
    if holder and holder.version != version and holder.stage is Stage.NONE:
        by_stage = any(v.stage is Stage.PRODUCTION for v in model.versions)
        yield Transition(holder.version, Stage.ARCHIVED if by_stage else Stage.PRODUCTION)
    holds = holder is not None and holder.version == version
    if not holds and any(v.stage is Stage.NONE for v in model.versions if v.version == version):
        yield Transition(version, Stage.STAGING)


def _holder(model: RegisteredModel, alias: str) -> ModelVersion | None:
    return next((v for v in model.versions if alias in v.aliases), None)


def _aliases(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    own = ALIASES.get(stage)
    holder = own and _holder(model, own)
    # First, because where aliases alone are written the own one decides.
    yield from _left_over(model, version, own)
    if own and (not holder or holder.version != version):
        yield PointAlias(own, version)


def _left_over(model: RegisteredModel, version: int, own: str | None) -> Iterator[Write]:
    for alias in ALIASES.values():
        holder = _holder(model, alias)
        if alias != own and holder and holder.version == version:
            yield DropAlias(alias)


def _contradicting_aliases(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    own = ALIASES.get(stage)
    holder = own and _holder(model, own)
    if own and holder and holder.version != version:
        yield DropAlias(own)
    yield from _left_over(model, version, own)


def _displaced(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    """Archive a holder that only its alias names: the transition of the new one would not see it."""
    holder = _holder(model, ALIASES[stage]) if stage in ALIASES else None
    if holder and holder.version != version and holder.stage is Stage.NONE:
        yield Transition(holder.version, Stage.ARCHIVED)


def _stages(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    if any(v.version == version and TAG_ARCHIVED in v.tags and stage is not Stage.ARCHIVED for v in model.versions):
        yield UnmarkArchived(version)
    others = stage in ALIASES and any(v.stage is stage for v in model.versions if v.version != version)
    if others or any(v.stage is not stage for v in model.versions if v.version == version):
        yield Transition(version, stage)


def _marks(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    for v in model.versions:
        marked = TAG_ARCHIVED in v.tags
        if v.version == version:
            if marked and stage is not Stage.ARCHIVED:
                yield UnmarkArchived(version)
            if not marked and stage is Stage.ARCHIVED:
                yield MarkArchived(version)
        elif stage in ALIASES and role(v) is stage and not marked:
            yield MarkArchived(v.version)


def _stale_stages(model: RegisteredModel, version: int, stage: Stage) -> Iterator[Write]:
    """Clear stages that somebody set before: they would decide against the alias."""
    for v in model.versions:
        own = v.version == version and v.stage is not Stage.NONE
        other = v.version != version and stage in ALIASES and v.stage is stage
        if own or other:
            yield Transition(v.version, Stage.NONE)
