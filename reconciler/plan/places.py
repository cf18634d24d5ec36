"""Where an object of a model may stand: where Git wants it, and where it was last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reconciler.desired.state import DesiredModel
from reconciler.observed import (
    TAG_REJECTED,
    TAG_RELEASE,
    ModelVersion,
    RegisteredModel,
    Release,
    ReleaseRecord,
    Stage,
)
from reconciler.plan.facts import rollout_of, versions_of
from reconciler.plan.marks import namespace_from_tag
from reconciler.registry_roles import role


def wanted_place(desired: DesiredModel, records: Mapping[Release, ReleaseRecord]) -> str:
    """Return the namespace that Git names, or named; empty for none, and for one where nothing was ever applied."""
    serving = desired.spec.serving
    if serving is None or (desired.removed and not records):
        return ""
    return serving.namespace


def last_places(registered: RegisteredModel | None, records: Mapping[Release, ReleaseRecord]) -> frozenset[str]:
    """Return the namespaces in which the model was last: by its rollout, by its promotions, by what was applied."""
    rollout = rollout_of(registered)
    rolling = rollout.namespace if rollout else ""
    served = (place for version in versions_of(registered) for place in _places(version, records))
    return frozenset({rolling, *served} - {""})


def _places(version: ModelVersion, records: Mapping[Release, ReleaseRecord]) -> Iterator[str]:
    """Tell where a version may serve that was neither replaced nor rolled back."""
    if role(version) is Stage.ARCHIVED or TAG_REJECTED in version.tags:
        return
    if (place := namespace_from_tag(version.tags.get(TAG_RELEASE))) is not None:
        yield place
        return
    for release, record in records.items():
        if release.version == version.version:
            yield str(record.serving.get("namespace", ""))
