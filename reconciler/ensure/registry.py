"""Actions that write to the registry."""

from __future__ import annotations

from dataclasses import replace

from reconciler.ensure.scene import After, Scene
from reconciler.errors import Refused
from reconciler.observed import (
    MANAGER,
    TAG_GATES,
    TAG_MANAGED,
    TAG_REJECTED,
    TAG_RELEASE,
    TAG_ROLLOUT,
    ModelVersion,
    Rejection,
    Release,
    Stage,
)
from reconciler.plan.action import (
    Archive,
    ArchiveAll,
    BeginStep,
    Promote,
    RecordGates,
    Reject,
    StageCandidate,
    Withdraw,
)
from reconciler.plan.course import steps_of, waits
from reconciler.plan.hold import is_open
from reconciler.plan.marks import RolloutRecord, rejection_from_tag, rejection_to_tag, release_to_tag
from reconciler.registry_roles import role


def ensure_gates_recorded(action: RecordGates, scene: Scene) -> After:
    """Put the verdict on the version, and our mark on its model."""
    if scene.facts.registered is not None and scene.facts.registered.tags.get(TAG_MANAGED) != MANAGER:
        scene.tag_model(TAG_MANAGED, MANAGER)
    scene.tag(action.version, TAG_GATES, action.verdict)
    return {"version": action.version, "gates": action.verdict}


def ensure_staged(action: StageCandidate, scene: Scene) -> After:
    """Make the version the candidate; the rollout record comes last, as it is what later steps build on."""
    version = scene.proven(action.release.version)
    if version not in scene.facts.holders(Stage.PRODUCTION):
        scene.set_stage(version.version, Stage.STAGING)
    record = RolloutRecord(
        release=action.release,
        stable=action.stable,
        stable_revision=action.stable_revision,
        step=0,
        since=scene.now,
        started=scene.now,
        wanted=scene.facts.wanted,
        percent=0,
        namespace=scene.live().namespace,
    )
    scene.tag(version.version, TAG_ROLLOUT, record.to_tag())
    _clear_rollouts(scene, keep=version.version)
    return {"version": version.version, "stage": Stage.STAGING.value, "rollout": record.to_tag()}


def ensure_step_begun(action: BeginStep, scene: Scene) -> After:
    """Write down that a step's traffic is effective, and since when."""
    record = scene.facts.rollout
    if record is None or record.release != action.release:
        raise Refused(f"no rollout of {action.release} is on record any more")
    steps = steps_of(scene.facts, record)
    begun = steps[action.step - 1] if action.step <= len(steps) else None
    changed = replace(
        record,
        step=action.step,
        since=action.since,
        percent=begun.traffic if begun else None,
        waits=begun is not None and is_open(begun),
        # Whoever was waited for does not eat up the time that the rest may take.
        counted=action.since if waits(scene.facts, record) else record.counted,
    )
    scene.tag(action.release.version, TAG_ROLLOUT, changed.to_tag())
    return {"step": action.step, "since": action.since.isoformat()}


def ensure_promoted(action: Promote, scene: Scene) -> After:
    """Make the version the only one in Production and end its rollout."""
    version = scene.proven(action.version)
    before = [v.version for v in scene.facts.holders(Stage.PRODUCTION) if v.version != version.version]
    if action.release is not None:
        # Before the stage: a version in Production counts as promoted, and nothing would write this after a crash.
        _record_release(scene, version, action.release)
    scene.set_stage(version.version, Stage.PRODUCTION)
    for other in scene.facts.holders(Stage.PRODUCTION):
        if other.version != version.version:
            scene.set_stage(other.version, Stage.ARCHIVED)
    _clear_rollouts(scene)
    return {"version": version.version, "stage": Stage.PRODUCTION.value, "archived": before}


def ensure_archived(action: Archive, scene: Scene) -> After:
    """Archive one version."""
    scene.set_stage(action.version, Stage.ARCHIVED)
    return {"version": action.version, "stage": Stage.ARCHIVED.value}


def ensure_rejected(action: Reject, scene: Scene) -> After:
    """Mark the version rejected, then let it go to its last stage, then end the rollout."""
    remembered = scene.facts.rejections.get(action.release)
    reason = remembered.reason if remembered else scene.reason
    at = remembered.at if remembered else scene.now
    rejection = Rejection(action.release, remembered.wanted if remembered else action.wanted, reason, at)
    scene.tag(action.release.version, TAG_REJECTED, rejection_to_tag(rejection))
    return {**_end(scene, action.release.version, action.stage), "rejected": reason}


def ensure_withdrawn(action: Withdraw, scene: Scene) -> After:
    """End a rollout without blame."""
    return _end(scene, action.release.version, action.stage)


def ensure_all_archived(action: ArchiveAll, scene: Scene) -> After:
    """Archive every version; nothing serves any more, and how it did is forgotten next."""
    for number in action.versions:
        _clear(scene, scene.version(number), TAG_RELEASE)
        scene.set_stage(number, Stage.ARCHIVED)
    return {"versions": list(action.versions), "stage": Stage.ARCHIVED.value}


def ensure_deleted(scene: Scene) -> After:
    """Delete the registered model with all versions."""
    scene.delete_registered()
    return {"deleted": scene.name}


def _record_release(scene: Scene, version: ModelVersion, release: Release) -> None:
    """Write down which release serves; a rejection of another release of the same version stands."""
    serves = release_to_tag(scene.live().namespace, release)
    if version.tags.get(TAG_RELEASE) != serves:
        scene.tag(version.version, TAG_RELEASE, serves)
    rejected = rejection_from_tag(version.tags.get(TAG_REJECTED))
    if rejected is None or rejected.release == release:
        _clear(scene, version, TAG_REJECTED)


def _end(scene: Scene, number: int, stage: Stage) -> After:
    version = scene.facts.version(number)
    if version is not None and role(version) is not stage:
        scene.set_stage(number, stage)
    _clear_rollouts(scene)
    return {"version": number, "stage": stage.value}


def _clear_rollouts(scene: Scene, keep: int = 0) -> None:
    for version in scene.facts.versions:
        if version.version != keep:
            _clear(scene, version, TAG_ROLLOUT)


def _clear(scene: Scene, version: ModelVersion, tag: str) -> None:
    if tag in version.tags:
        scene.tag(version.version, tag, None)
