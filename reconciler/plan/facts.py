"""Everything a decision may look at, gathered once and read by every check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.desired.documents import ModelSpec
from reconciler.desired.serving import Serving
from reconciler.desired.state import DesiredModel
from reconciler.manifest import release_of
from reconciler.observed import (
    TAG_GATES,
    TAG_REJECTED,
    TAG_ROLLOUT,
    InferenceService,
    ModelVersion,
    ObservedModel,
    RegisteredModel,
    Rejection,
    Release,
    Stage,
    TrafficTarget,
    Unknown,
)
from reconciler.plan.orders import Orders, in_force, rejection_of
from reconciler.registry_roles import role


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A rollout in progress, as it stands in the candidate's tag: step 0 is before any traffic.

    `percent` is the share of the step that was begun, None if not told; `namespace` where the object stands, empty if
    not told. `waits`: the step was begun to wait for a person or a window, and the deadline does not run in it;
    `counted` is from when it counts after such a step.
    """

    release: Release
    stable: Release
    stable_revision: str
    step: int
    since: datetime
    started: datetime
    wanted: str
    percent: int | None = None
    namespace: str = ""
    waits: bool = False
    counted: datetime | None = None

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
            "percent": self.percent,
            "namespace": self.namespace,
        }
        if self.waits:
            value["waits"] = True
        if self.counted is not None:
            value["counted"] = self.counted.isoformat()
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
                _whole(raw["step"]),
                moment(raw["since"]),
                moment(raw["started"]),
                str(raw["wanted"]),
                None if raw.get("percent") is None else _whole(raw["percent"]),
                str(raw.get("namespace", "")),
                raw.get("waits") is True,
                None if raw.get("counted") is None else moment(raw["counted"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None


# KServe clears what it said of the spec before within its first look at the new one.
JUDGED_AFTER = timedelta(seconds=10)
# A route takes a second or two.
ROUTED_WITHIN = timedelta(minutes=1)

# Tags can be written by anybody. A time without a zone, or so far away that nothing can be added to it, is not ours.
_YEARS = range(2000, 2200)


def moment(text: str) -> datetime:
    """Read a time that we wrote. Raises ValueError or TypeError for any other."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or at.year not in _YEARS:
        raise ValueError(f"no time of ours: {text}")
    return at


def _whole(value: object) -> int:
    """Read a step or a percentage."""
    if type(value) is not int or not 0 <= value <= 100:
        raise ValueError(f"no step or percentage: {value!r}")
    return value


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
        return Rejection(release, str(raw["wanted"]), str(raw["reason"])[:2000], moment(raw["at"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def release_to_tag(namespace: str, release: Release) -> str:
    """Write the value of the tag that tells by which release, and where, a version serves."""
    return f"{namespace}/{release}"


def release_from_tag(text: str | None, namespace: str) -> Release | None:
    """Read the release by which a version served in this namespace; None if it served elsewhere."""
    where, _, release = (text or "").partition("/")
    return Release.parse(release) if where == namespace else None


def wanted_digest(spec: ModelSpec) -> str:
    """Stand for what decides which release is wanted and how it proves itself; training is no part of it."""
    return spec.wanted_digest


def gates_digest(spec: ModelSpec) -> str:
    """Stand for the rules a version was held against."""
    return spec.promotion.gates_digest


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
    orders: Orders

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

    def step_approved(self, record: RolloutRecord) -> bool:
        """Return whether a person approved that the rollout leaves its running step."""
        return record.step in self.orders.steps

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
    rollout, wanted = rollout_of(registered), wanted_digest(desired.spec)
    about = (rollout.release, rollout.started) if rollout else None
    orders = in_force(observed.memory.orders, about, wanted, now)
    return Facts(
        desired=desired,
        observed=observed,
        now=now,
        registered=registered,
        live=_object(observed.serving.value, observed.strays, rollout),
        rollout=rollout,
        rejections=_rejections(registered, observed.memory.rejections, rollout, orders),
        wanted=wanted,
        orders=orders,
    )


def versions_of(registered: RegisteredModel | None) -> tuple[ModelVersion, ...]:
    """Return all versions, oldest first; none of a model that does not exist."""
    return registered.versions if registered else ()


def rollout_of(registered: RegisteredModel | None) -> RolloutRecord | None:
    """Return the newest rollout on record; an older one is left over from a supersession that was cut short."""
    records = [RolloutRecord.from_tag(v.tags[TAG_ROLLOUT]) for v in versions_of(registered) if TAG_ROLLOUT in v.tags]
    return max((r for r in records if r), key=lambda r: r.started, default=None)


def _object(
    wanted: InferenceService | None, strays: tuple[InferenceService, ...], rollout: RolloutRecord | None
) -> InferenceService | None:
    """Return the object that is dealt with: that of the rollout, wherever Git wants the model by now."""
    if rollout is None or not rollout.namespace:
        return wanted
    return next((live for live in (wanted, *strays) if live and live.namespace == rollout.namespace), None)


def _rejections(
    registered: RegisteredModel | None,
    remembered: tuple[Rejection, ...],
    rollout: RolloutRecord | None,
    orders: Orders,
) -> dict[Release, Rejection]:
    """Return what is marked rejected, and the rollout in progress if the ledger says that it was decided against.

    Older rollouts on the ledger do not count: what became of them is in the tags. A mark that is to be tried again does
    not count either.
    """
    marks = [rejection_from_tag(v.tags[TAG_REJECTED]) for v in versions_of(registered) if TAG_REJECTED in v.tags]
    found = [mark for mark in marks if mark and (mark.release, mark.at) not in orders.retried]
    if rollout is not None:
        found += [r for r in remembered if r.release == rollout.release and r.rollout == rollout.started]
    if orders.abort is not None and (aborted := rejection_of(orders.abort)) is not None:
        found.append(aborted)
    return {r.release: r for r in found}


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


def beyond_help(live: InferenceService, now: datetime) -> bool:
    """Return whether only another spec can help, as KServe says of this one and not still of the one before."""
    if live.failure is None or not live.failure.terminal:
        return False
    return live.applied_at is None or now >= live.applied_at + JUDGED_AFTER


def unroutable(live: InferenceService, now: datetime) -> bool:
    """Return whether nothing sends callers to a candidate that is ready, though it was asked for long enough ago.

    Releases of KServe up to v0.20.0 deploy a canary in Standard mode and leave the route alone (facts/KSERVE.md).
    """
    late = live.applied_at is not None and now >= live.applied_at + ROUTED_WITHIN
    return live.standard and (late or not live.splits)


def previous_target(live: InferenceService) -> TrafficTarget | None:
    """Return the traffic target tagged prev: the stable side."""
    return next((t for t in live.traffic if t.tag == "prev"), None)


def latest_target(live: InferenceService) -> TrafficTarget | None:
    """Return the traffic target tagged latest: the candidate's side."""
    return next((t for t in live.traffic if t.tag == "latest"), None)


def settled(live: InferenceService) -> bool:
    """Return whether the newest revision is also the newest ready one, and no deletion is under way.

    A revision that is newer than what the status names shows that the status is behind.
    """
    created = live.latest_created
    if created is None or created != live.latest_ready or live.deleting:
        return False
    return all(_number(revision) <= _number(created) for revision in live.revisions or ())


def unchallenged(live: InferenceService, stable: Release) -> bool:
    """Return whether no other release that was applied in full may still come up and take what this one has."""
    serving = max((_number(t.revision) for t in live.traffic if t.percent > 0), default=0)
    newer = [release for name, release in (live.revisions or {}).items() if _number(name) > serving]
    return live.release == stable and all(release == stable for release in newer)


def _number(revision: str) -> int:
    digits = revision.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0
