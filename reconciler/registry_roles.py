"""What a version is to callers, told from MLflow's stages and aliases alike. Pure.

A stage other than None decides: MLflow changes it for all versions of a model in one transaction. Where stages are
not used, the aliases decide; as MLflow has no alias for Archived, a tag says that.
"""

from __future__ import annotations

from enum import StrEnum

from reconciler.observed import TAG_PREFIX, ModelVersion, Stage

CHAMPION = "champion"
CHALLENGER = "challenger"
TAG_ARCHIVED = TAG_PREFIX + "archived"
ALIASES = {Stage.PRODUCTION: CHAMPION, Stage.STAGING: CHALLENGER}


class RegistryWrites(StrEnum):
    """What is written to the registry; both are always understood when read."""

    STAGES = "stages"
    ALIASES = "aliases"
    BOTH = "both"


def role(version: ModelVersion) -> Stage:
    """Return what the version is, whichever way the registry says it."""
    if version.stage is not Stage.NONE:
        return version.stage
    if CHAMPION in version.aliases:
        return Stage.PRODUCTION
    if CHALLENGER in version.aliases:
        return Stage.STAGING
    return Stage.ARCHIVED if TAG_ARCHIVED in version.tags else Stage.NONE
