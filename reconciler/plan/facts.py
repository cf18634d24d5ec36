"""Everything a decision may look at, gathered once and read by every check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.desired.digest import digest
from reconciler.desired.documents import ModelSpec, Serving
from reconciler.desired.state import DesiredModel
from reconciler.manifest import release_of
from reconciler.observed import (
    TAG_GATES,
    TAG_REJECTED,
    TAG_ROLLOUT,
    InferenceService,
    Known,
    ModelVersion,
    ObservedModel,
    RegisteredModel,
    Rejection,
    Release,
    Stage,
    TrafficTarget,
    Unknown,
)
from reconciler.registry_roles import role


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A rollout in progress, as it stands in the candidate's tag: step 0 is before any traffic."""

    release: Release
    stable: Release
    stable_revision: str
    step: int
    since: datetime
    started: datetime
    wanted: str

    def to_tag(self) -> str:
        """Write the tag's value."""
        value = {
            "release": str(self.release),
            "stable": str(self.stable),
            "stableRevision": self.stable_revision,
            "step": self.step,
            "since": self.since.isoformat(),
            "started": self.started.isoformat(),
            "wanted": self.wanted,
        }
        return json.dumps(value, sort_keys=True)

    @staticmethod
    def from_tag(text: str | None) -> RolloutRecord | None:
        """Read a tag's value; None for anything that we did not write."""
        try:
            raw = json.loads(text or "null")
            release, stable = Release.parse(raw["release"]), Release.parse(raw["stable"])
            if release is None or stable is None:
                return None
            return RolloutRecord(
                release,
                stable,
                str(raw["stableRevision"]),
                int(raw["step"]),
                datetime.fromisoformat(raw["since"]),
                datetime.fromisoformat(raw["started"]),
                str(raw["wanted"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


def rejection_to_tag(rejection: Rejection) -> str:
    """Write the value of the tag that marks a version rejected."""
    value = {
        "release": str(rejection.release),
        "wanted": rejection.wanted,
        "reason": rejection.reason[:2000],
        "at": rejection.at.isoformat(),
    }
    return json.dumps(value, sort_keys=True)


def rejection_from_tag(text: str | None) -> Rejection | None:
    """Read the value of the tag that marks a version rejected; None for anything that we did not write."""
    try:
        raw = json.loads(text or "null")
        release = Release.parse(raw["release"])
        if release is None:
            return None
        return Rejection(release, str(raw["wanted"]), str(raw["reason"]), datetime.fromisoformat(raw["at"]))
    except (ValueError, KeyError, TypeError):
        return None


def wanted_digest(spec: ModelSpec) -> str:
    """Stand for what decides which release is wanted and how it proves itself; training is no part of it."""
    return digest([spec.promotion.digest, spec.serving.digest if spec.serving else None, spec.rollout.digest])


def gates_digest(spec: ModelSpec) -> str:
    """Stand for the rules a version was held against."""
    return digest([gate.digest for gate in spec.promotion.gates])


def passed_mark(spec: ModelSpec) -> str:
    """Return the value of the gates tag of a version that passed under these rules."""
    return f"passed {gates_digest(spec)}"


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one decision. Built only when registry and serving are Known."""

    desired: DesiredModel
    observed: ObservedModel
    now: datetime
    registered: RegisteredModel | None
    live: InferenceService | None
    rollout: RolloutRecord | None
    rejections: Mapping[Release, Rejection]
    wanted: str

    @property
    def spec(self) -> ModelSpec:
        """Return the spec in force."""
        return self.desired.spec

    @property
    def versions(self) -> tuple[ModelVersion, ...]:
        """Return all versions, oldest first."""
        return self.registered.versions if self.registered else ()

    def version(self, number: int) -> ModelVersion | None:
        """Return that version, or None."""
        return self.registered.get(number) if self.registered else None

    def holders(self, stage: Stage) -> tuple[ModelVersion, ...]:
        """Return the versions in a role, by stage or alias."""
        return tuple(v for v in self.versions if role(v) is stage)

    def proven(self, version: ModelVersion) -> bool:
        """Return whether the version's passed gates are on record, under the rules in force or earlier ones."""
        return version.tags.get(TAG_GATES, "").startswith("passed ")

    def release(self, version: int, serving: Serving) -> Release:
        """Return the release that Git wants of this version."""
        return release_of(version, serving)

    def rejected(self, release: Release) -> Rejection | None:
        """Return why this release is not tried, None when Git has since changed what is wanted."""
        rejection = self.rejections.get(release)
        return rejection if rejection and rejection.wanted == self.wanted else None


def gather(desired: DesiredModel, observed: ObservedModel, now: datetime) -> Facts | Unknown:
    """Gather the facts, or say which reading is missing. Unknown is never Absent."""
    if isinstance(observed.registry, Unknown):
        return Unknown(f"the registry: {observed.registry.why}", observed.registry.since)
    if isinstance(observed.serving, Unknown):
        return Unknown(f"serving: {observed.serving.why}", observed.serving.since)
    registered = observed.registry.value
    return Facts(
        desired=desired,
        observed=observed,
        now=now,
        registered=registered,
        live=observed.serving.value,
        rollout=_rollout(registered),
        rejections=_rejections(registered, observed.memory.rejections),
        wanted=wanted_digest(desired.spec),
    )


def _rollout(registered: RegisteredModel | None) -> RolloutRecord | None:
    """Return the newest rollout on record; an older one is left over from a supersession that was cut short."""
    records = [RolloutRecord.from_tag(v.tags.get(TAG_ROLLOUT)) for v in registered.versions] if registered else []
    return max((r for r in records if r), key=lambda r: r.started, default=None)


def _rejections(registered: RegisteredModel | None, remembered: tuple[Rejection, ...]) -> dict[Release, Rejection]:
    tags = [rejection_from_tag(v.tags.get(TAG_REJECTED)) for v in registered.versions] if registered else []
    found = [r for r in (*tags, *remembered) if r]
    return {r.release: r for r in sorted(found, key=lambda r: r.at)}


def revision_release(live: InferenceService, revision: str, rollout: RolloutRecord | None) -> Release | None:
    """Return the release of a revision: by its label, or where revisions cannot be read by what was recorded."""
    if live.revisions is not None:
        return live.revisions.get(revision)
    if rollout is not None and revision == rollout.stable_revision:
        return rollout.stable
    if revision == live.latest_created == live.latest_ready:
        return live.release
    return None


def served(live: InferenceService, rollout: RolloutRecord | None) -> tuple[tuple[Release | None, int], ...]:
    """Return what callers get: releases with their effective percent, only those above zero."""
    return tuple((revision_release(live, t.revision, rollout), t.percent) for t in live.traffic if t.percent > 0)


def sole_release(live: InferenceService, rollout: RolloutRecord | None) -> Release | None:
    """Return the release that gets all traffic, None while it is split or not told."""
    releases = {release for release, _ in served(live, rollout)}
    return releases.pop() if len(releases) == 1 else None


def previous_target(live: InferenceService) -> TrafficTarget | None:
    """Return the traffic target tagged prev."""
    return next((t for t in live.traffic if t.tag == "prev"), None)


def settled(live: InferenceService) -> bool:
    """Return whether the newest revision is also the newest ready one, and no deletion is under way."""
    return live.latest_created is not None and live.latest_created == live.latest_ready and not live.deleting


def known_runs(observed: ObservedModel) -> bool:
    """Return whether training runs could be read."""
    return isinstance(observed.runs, Known)
