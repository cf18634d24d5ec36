"""Everything a decision may look at, gathered once and read by every check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.desired.documents import FreezeWindow, ModelSpec
from reconciler.desired.serving import Serving
from reconciler.desired.state import DesiredModel
from reconciler.manifest import release_of
from reconciler.observed import (
    TAG_GATES,
    TAG_REJECTED,
    TAG_RELEASE,
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
from reconciler.plan.marks import RolloutRecord, rejection_from_tag, release_from_tag
from reconciler.plan.orders import Orders, in_force, rejection_of
from reconciler.registry_roles import role

# KServe clears what it said of the spec before within its first look at the new one.
JUDGED_AFTER = timedelta(seconds=10)
# A route takes a second or two.
ROUTED_WITHIN = timedelta(minutes=1)
# A server that ended once is mostly back by then.
BACK_WITHIN = timedelta(minutes=1)


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
    """The facts of one decision. Built only when registry and serving are Known; `freezes` are those of the model."""

    desired: DesiredModel
    observed: ObservedModel
    now: datetime
    registered: RegisteredModel | None
    live: InferenceService | None
    rollout: RolloutRecord | None
    rejections: Mapping[Release, Rejection]
    wanted: str
    orders: Orders
    freezes: tuple[FreezeWindow, ...] = ()

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

    def had(self, release: Release) -> bool:
        """Return whether callers had this very release, where the model is."""
        version = self.version(release.version)
        if version is None or self.live is None:
            return False
        return release_from_tag(version.tags.get(TAG_RELEASE), self.live.namespace) == release

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
        live=dealt_with(observed.serving.value, observed.strays, rollout),
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


def dealt_with(
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


def is_stable(live: InferenceService, revision: str, rollout: RolloutRecord) -> bool:
    """Return whether a revision is the stable one on record."""
    return revision == rollout.stable_revision and not _reused(live, revision, rollout.stable)


def _reused(live: InferenceService, revision: str, stable: Release | None) -> bool:
    """Tell whether a revision has the stable one's name alone, as its label says where that can be read.

    A Knative Service that is made anew counts its revisions from one again. A Deployment's name is that of its
    predictor, whose release may change under it.
    """
    told = (live.revisions or {}).get(revision)
    return not live.standard and None not in (told, stable) and told != stable


def past_stable(live: InferenceService | None, stable_revision: str, stable: Release | None) -> str | None:
    """Say whom the traffic tagged prev goes to, None where that is the stable revision on record."""
    previous = previous_target(live) if live else None
    if live is None or previous is None or previous.revision != stable_revision:
        seen = previous.revision if previous else "nothing"
        return f"the traffic tagged prev goes to {seen}, not to the stable revision {stable_revision}"
    if not _reused(live, stable_revision, stable):
        return None
    other = (live.revisions or {}).get(stable_revision)
    return f"the stable revision {stable_revision} is gone: the one that has its name now is of release {other}"


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

    Releases of KServe up to v0.20.0 deploy a canary in Standard mode and leave the route alone (facts/KSERVE.md). A
    route that names the canary follows, however late.
    """
    late = live.applied_at is not None and now >= live.applied_at + ROUTED_WITHIN
    return live.standard and (not live.splits or (late and not live.listed))


def routes_nothing(live: InferenceService, stable_revision: str) -> str:
    """Say why no share that is asked for takes effect, "" where nothing keeps it from that.

    Knative programs no route to a revision that is not ready. In Standard mode KServe leaves the HTTPRoute as it is
    while the stable Deployment has too few pods, be it one (createRawTopLevelHTTPRoute).
    """
    if stable_revision in live.unready:
        return f"{stable_revision} is not ready"
    if live.standard and stable_revision in live.short:
        return f"{stable_revision} has {live.short[stable_revision]}, and KServe changes no share meanwhile"
    return ""


def unserved(live: InferenceService, stable_revision: str) -> bool:
    """Return whether callers are sent to a stable revision that is not ready, and to no other."""
    elsewhere = any(target.percent > 0 and target.revision != stable_revision for target in live.traffic)
    return stable_revision in live.unready and not elsewhere


def previous_target(live: InferenceService) -> TrafficTarget | None:
    """Return the traffic target tagged prev: the stable side."""
    return next((t for t in live.traffic if t.tag == "prev"), None)


def latest_target(live: InferenceService) -> TrafficTarget | None:
    """Return the traffic target tagged latest: the candidate's side."""
    return next((t for t in live.traffic if t.tag == "latest"), None)


def taken_up(live: InferenceService) -> bool:
    """Return whether the route resolves the candidate's side to the newest revision.

    Knative reads the newest ready revision and the route's traffic apart: for a moment its status names the new one as
    ready while `latest` still is the one before. In Standard mode a side is a Deployment by its own name.
    """
    latest = latest_target(live)
    return live.standard or (latest is not None and latest.revision == live.latest_created)


def settled(live: InferenceService) -> bool:
    """Return whether the newest revision is also the newest ready one, and no deletion is under way.

    A revision that is newer than what the status names shows that the status is behind.
    """
    created = live.latest_created
    return created is not None and created == live.latest_ready and not live.deleting and _names_newest(live)


def _names_newest(live: InferenceService) -> bool:
    """Return whether no revision is newer than the newest one that the status names."""
    return all(_number(revision) <= _number(live.latest_created or "") for revision in live.revisions or ())


def unchallenged(live: InferenceService, stable: Release) -> bool:
    """Return whether no other release that was applied in full may still come up and take what this one has."""
    serving = max((_number(t.revision) for t in live.traffic if t.percent > 0), default=0)
    newer = [release for name, release in (live.revisions or {}).items() if _number(name) > serving]
    return live.release == stable and all(release == stable for release in newer)


def hangs_above(live: InferenceService, stable: Release) -> bool:
    """Return whether one revision of `stable` has all callers, and a newer template of the same release fails above it.

    A candidate at 0 % may be applied over that: KServe tags `prev` what was rolled out, which has the callers, and what
    comes up in between is of their release.
    """
    serving, newest = live.latest_ready, live.latest_created
    if live.standard or live.deleting or live.failure is None or live.canary_percent is not None or not live.revisions:
        return False
    if serving is None or newest is None or serving == newest:
        return False
    alone = [(t.revision, t.percent) for t in live.traffic if t.percent] == [(serving, 100)]
    known = live.revisions.get(serving) == stable and live.latest_rolledout == serving
    return alone and known and _names_newest(live) and unchallenged(live, stable)


def _number(revision: str) -> int:
    digits = revision.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0
