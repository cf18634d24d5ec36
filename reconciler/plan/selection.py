"""Which version is wanted: by pin, or the newest one that passes the gates."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.desired.digest import digest
from reconciler.desired.state import DesiredModel
from reconciler.gates.version import Candidate, check_gate, needs_evidence, needs_production
from reconciler.manifest import release_of
from reconciler.observed import (
    TAG_GATES,
    TAG_TRAINING_KEY,
    Known,
    ModelVersion,
    RegisteredModel,
    Stage,
    VersionEvidence,
)
from reconciler.plan.decision import VersionVerdict
from reconciler.plan.facts import Facts, gates_digest, passed_mark, versions_of
from reconciler.plan.training import of_recipe, recipe_of
from reconciler.registry_roles import role

# A model whose newest versions all fail is not worth more reads than this at each look.
MOST_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Missing:
    """A version whose evidence is needed, and why it is not there."""

    version: ModelVersion
    why: str


@dataclass(frozen=True, slots=True)
class Selected:
    """The wanted version, None when there is none to be had yet.

    `verdicts` are those who were asked, newest first. `unrecorded` is a verdict that is not on record yet (its version
    and mark). `missing` says which reading is needed first. `rejected` is the newest version that was rolled back.
    """

    version: ModelVersion | None
    verdicts: tuple[VersionVerdict, ...] = ()
    unrecorded: tuple[VersionVerdict, str] | None = None
    missing: Missing | None = None
    rejected: ModelVersion | None = None
    absent: int | None = None


def candidates(desired: DesiredModel, registered: RegisteredModel | None) -> tuple[ModelVersion, ...]:
    """Return the versions that may be wanted, newest first.

    Where Git trains, a version trained by another recipe is not what Git asks for; one that somebody registered
    without a key is.
    """
    if registered is None:
        return ()
    pin = desired.spec.promotion.version
    if pin != "auto":
        return tuple(v for v in registered.versions if v.version == int(pin))
    recipe = recipe_of(desired)
    found = [v for v in registered.versions if recipe is None or of_recipe(v, recipe) or not _keyed(v)]
    return tuple(v for v in reversed(found) if v.ready)


def production_of(registered: RegisteredModel | None) -> ModelVersion | None:
    """Return the production version; of several, the newest."""
    found = (v for v in versions_of(registered) if role(v) is Stage.PRODUCTION)
    return max(found, key=lambda v: v.version, default=None)


def select(facts: Facts) -> Selected:
    """Choose the wanted version, walking from the newest candidate to the one in Production."""
    pin = facts.spec.promotion.version
    found = candidates(facts.desired, facts.registered)[:MOST_CANDIDATES]
    if pin != "auto" and not found:
        return Selected(None, absent=int(pin))
    verdicts: list[VersionVerdict] = []
    unrecorded: tuple[VersionVerdict, str] | None = None
    rejected: ModelVersion | None = None
    for version in found:
        if why := _rejection(facts, version):
            verdicts.append(VersionVerdict(version.version, (), lost=why))
            rejected = rejected or version
            continue
        if on_record(facts, version):
            return Selected(version, tuple(verdicts), unrecorded, rejected=rejected)
        verdict = evaluate(facts, version)
        if isinstance(verdict, Missing):
            return Selected(None, tuple(verdicts), unrecorded, missing=verdict, rejected=rejected)
        verdicts.append(verdict)
        mark = verdict_mark(facts, verdict)
        if version.tags.get(TAG_GATES) != mark:
            unrecorded = unrecorded or (verdict, mark)
        if not verdict.lost:
            return Selected(version, tuple(verdicts), unrecorded, rejected=rejected)
    return Selected(None, tuple(verdicts), unrecorded, rejected=rejected)


def on_record(facts: Facts, version: ModelVersion) -> bool:
    """Return whether the version need not be asked again.

    It passed these very gates; or it serves and passed the gates of its day: tightening a gate is no reason to take
    away what serves.
    """
    return version.tags.get(TAG_GATES) == passed_mark(facts.spec) or (
        facts.proven(version) and (role(version) is Stage.PRODUCTION or _serves(facts, version))
    )


def _serves(facts: Facts, version: ModelVersion) -> bool:
    """Return whether all traffic was given to the version, or a candidate is tried beside it, whatever its role."""
    objects = (facts.live, *facts.observed.strays)
    given = [live.release for live in objects if live and live.ours and live.canary_percent is None]
    stable = facts.rollout.stable if facts.rollout is not None and facts.live is not None else None
    return any(release is not None and release.version == version.version for release in (*given, stable))


def evaluate(facts: Facts, version: ModelVersion) -> VersionVerdict | Missing:
    """Hold a version against every gate."""
    gates = facts.spec.promotion.gates
    ours = _evidence(facts, version) if any(needs_evidence(g) for g in gates) else VersionEvidence({}, "")
    if isinstance(ours, Missing):
        return ours
    production = _production(facts, version) if any(needs_production(g) for g in gates) else None
    if isinstance(production, Missing):
        return production
    results = tuple(check_gate(gate, Candidate(version, ours), production) for gate in gates)
    lost = "; ".join(r.said for r in results if not r.passed)
    return VersionVerdict(version.version, results, lost)


def verdict_mark(facts: Facts, verdict: VersionVerdict) -> str:
    """Return what the version's gates tag says of this verdict."""
    if not verdict.lost:
        return passed_mark(facts.spec)
    return f"failed {gates_digest(facts.spec)} {digest([r.said for r in verdict.results])}"


def _production(facts: Facts, version: ModelVersion) -> Candidate | Missing | None:
    production = production_of(facts.registered)
    if production is None or production.version == version.version:
        return None
    evidence = _evidence(facts, production)
    return evidence if isinstance(evidence, Missing) else Candidate(production, evidence)


def _evidence(facts: Facts, version: ModelVersion) -> VersionEvidence | Missing:
    reading = facts.observed.evidence.get(version.version)
    if isinstance(reading, Known):
        return reading.value
    return Missing(version, reading.why if reading else f"metrics of version {version.version} are not read yet")


def _rejection(facts: Facts, version: ModelVersion) -> str | None:
    serving = facts.spec.serving
    rejection = facts.rejected(release_of(version.version, serving)) if serving else None
    return f"rolled back: {rejection.reason}" if rejection else None


def _keyed(version: ModelVersion) -> bool:
    return TAG_TRAINING_KEY in version.tags
