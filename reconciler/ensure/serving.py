"""Actions that write to KServe. Each sends the whole object that we own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.breakpoints import reached
from reconciler.ensure.scene import After, Scene
from reconciler.errors import Conflict
from reconciler.manifest import (
    contested,
    deployed_name,
    inference_service,
    own_name,
    predictor_name,
    share_of,
    under_name,
)
from reconciler.observed import InferenceService, Known, Release, ReleaseRecord, Stage
from reconciler.plan.action import (
    Adopt,
    CutTraffic,
    Deploy,
    FinishRollback,
    PutBack,
    RestoreStable,
    RouteAll,
    ScaleCanary,
    ShiftTraffic,
    StartCanary,
    TakeDown,
)
from reconciler.plan.adoption import adopted_record
from reconciler.plan.facts import past_stable, unserved
from reconciler.registry_roles import role


def ensure_deployed(action: Deploy, scene: Scene) -> After:
    """Serve a proven version with all traffic; one that was archived is taken out of the archive first."""
    version = scene.proven(action.release.version)
    if role(version) is Stage.ARCHIVED:
        scene.set_stage(version.version, Stage.NONE)
    return _apply(scene, _kept(scene, _in_place(scene, scene.release_record(action.release))), None)


def ensure_adopted(action: Adopt, scene: Scene) -> After:
    """Make the object ours as it stands; a version that was archived is taken out of the archive first."""
    live, serving = scene.live(), scene.desired.spec.serving
    version = scene.proven(action.release.version)
    if serving is None or live.uid != action.uid:
        raise Conflict(f"InferenceService {live.namespace}/{live.name} is not the one that was looked at")
    if role(version) is Stage.ARCHIVED:
        scene.set_stage(version.version, Stage.NONE)
    record = adopted_record(live, serving, version.version)
    scene.systems.memory.keep_release(scene.desired.name, record)
    manifest = inference_service(scene.desired.name, record, None)
    manifest["metadata"] |= {"uid": live.uid, "resourceVersion": live.resource_version}
    scene.systems.serving.adopt(manifest)
    return {"release": str(record.release), "storageUri": record.storage_uri, "from": live.owner}


def ensure_canary_started(action: StartCanary, scene: Scene) -> After:
    """Apply the candidate with 0 %."""
    scene.proven(action.release.version)
    record = scene.facts.rollout
    if record is not None:
        _kept(scene, scene.release_record(record.stable))
    return _apply(scene, _kept(scene, _beside(scene, scene.release_record(action.release))), 0)


def ensure_traffic(action: ShiftTraffic, scene: Scene) -> After:
    """Give the candidate its share, having looked once more that `prev` is the stable revision."""
    if action.percent > 0:
        _check_previous(scene, action.stable_revision)
    return _apply(scene, scene.release_record(action.release), action.percent)


def ensure_canary_scaled(action: ScaleCanary, scene: Scene) -> After:
    """Ask for more pods of the candidate, and leave its share as it is."""
    record = scene.release_record(action.release)
    return {**_apply(scene, record, action.percent, action.pods), "pods": action.pods}


def ensure_all_routed(action: RouteAll, scene: Scene) -> After:
    """Remove the split, having looked once more that `prev` is the stable revision, or that nobody is served."""
    if not _unserved(scene, action.stable_revision):
        _check_previous(scene, action.stable_revision)
    record, live = scene.release_record(action.release), scene.live()
    if not live.standard:
        return _apply(scene, record, None)
    heir = _heir(live, record, action.stable_revision)
    if live.succeeded:
        return _apply(scene, _kept(scene, heir), None)
    if _same_artifact(scene, record):
        # KServe refuses another name for the same artifact: the stable predictor becomes what the canary is, and goes
        # on without it once it is ready.
        return _applied(scene, record, inference_service(scene.desired.name, record, live.canary_percent, heir))
    return _apply(scene, record, None)


def _heir(live: InferenceService, record: ReleaseRecord, stable_revision: str) -> ReleaseRecord:
    """Return what the stable predictor becomes where the canary cannot take its name over."""
    return under_name(record, deployed_name(live.name, stable_revision))


def _same_artifact(scene: Scene, record: ReleaseRecord) -> bool:
    rollout = scene.facts.rollout
    return rollout is not None and scene.release_record(rollout.stable).storage_uri == record.storage_uri


def ensure_traffic_cut(action: CutTraffic, scene: Scene) -> After:
    """Give the candidate 0 %; where the split is gone, that would wake an older revision: stable takes its place."""
    live, record = scene.live(), scene.facts.rollout
    if live.canary_percent is None and record is not None and not live.standard:
        return ensure_stable_restored(RestoreStable(record.stable), scene)
    return _apply(scene, scene.release_record(action.release), 0)


def ensure_stable_restored(action: RestoreStable, scene: Scene) -> After:
    """Apply the stable release again, still with 0 %; in Standard mode it never left, and the canary goes."""
    return _apply(scene, scene.release_record(action.release), None if scene.live().standard else 0)


def ensure_rollback_finished(action: FinishRollback, scene: Scene) -> After:
    """Remove the split from the restored stable release."""
    return _apply(scene, scene.release_record(action.release), None)


def ensure_put_back(action: PutBack, scene: Scene) -> After:
    """Apply the live release again."""
    return _apply(scene, scene.release_record(action.release), scene.live().canary_percent)


def ensure_taken_down(action: TakeDown, scene: Scene) -> After:
    """Delete that very object."""
    scene.systems.serving.delete(action.namespace, scene.desired.name, action.uid)
    return {"deleted": f"{action.namespace}/{scene.desired.name}", "uid": action.uid}


def ensure_let_go(scene: Scene) -> After:
    """Forget the model; what is left to serve stays on record, so that it can be restored should the spec return."""
    name, live = scene.desired.name, scene.facts.live
    left = {live.release, *(live.revisions or {}).values()} if live is not None else set[Release | None]()
    scene.systems.memory.forget(name, [release for release in left if release is not None])
    return {"forgotten": name}


def _in_place(scene: Scene, record: ReleaseRecord) -> ReleaseRecord:
    """Keep a predictor's name in Standard mode: under another one KServe takes down what may just have come up."""
    live = scene.facts.live
    if live is None or not live.standard or live.latest_created is None:
        return record
    return under_name(record, deployed_name(live.name, live.latest_created))


def _beside(scene: Scene, record: ReleaseRecord) -> ReleaseRecord:
    """Give a canary in Standard mode a name, and another one than that of the predictor it stands beside.

    What was adopted may have served without a name, which KServe refuses of a canary.
    """
    live, rollout = scene.facts.live, scene.facts.rollout
    if live is None or not live.standard or rollout is None:
        return record
    name = predictor_name(record)
    free = name or own_name(record.release)
    if free == deployed_name(live.name, rollout.stable_revision):
        free = "a" if free.endswith("-b") else f"{free}-b"
    return record if free == name else under_name(record, free)


def _kept(scene: Scene, record: ReleaseRecord) -> ReleaseRecord:
    """Remember what is about to be applied, so that it can be restored whatever Git says by then."""
    scene.systems.memory.keep_release(scene.desired.name, record)
    reached("release kept")
    return record


def _apply(scene: Scene, record: ReleaseRecord, percent: int | None, pods: int = 0) -> After:
    stable = _stable(scene, percent)
    return _applied(scene, record, inference_service(scene.desired.name, record, percent, stable, pods))


def _applied(scene: Scene, record: ReleaseRecord, manifest: dict[str, Any]) -> After:
    live = scene.facts.live
    if live is None:
        scene.in_time()
    else:
        metadata: dict[str, Any] = manifest["metadata"]
        # The write is for the object as it was when this was decided; anything that came between decides anew.
        metadata["uid"], metadata["resourceVersion"] = live.uid, live.resource_version
    if live is not None and _takes(scene, manifest, live):
        scene.systems.serving.take_over(manifest)
    else:
        scene.systems.serving.apply(manifest)
    share = share_of(manifest)
    return {"release": str(record.release), "storageUri": record.storage_uri, "canaryTrafficPercent": share}


def _stable(scene: Scene, percent: int | None) -> ReleaseRecord | None:
    """Return what stands, and stays, beside a canary in Standard mode."""
    live, rollout = scene.facts.live, scene.facts.rollout
    if live is None or not live.standard or percent is None:
        return None
    if live.succeeded and rollout is not None:
        return _heir(live, scene.release_record(rollout.release), rollout.stable_revision)
    release = live.beside or live.release
    if release is None or (rollout is not None and release != rollout.stable):
        expected = rollout.stable if rollout else "a release of ours"
        raise Conflict(f"the stable predictor serves {release}, not {expected}")
    return scene.release_record(release)


def _takes(scene: Scene, manifest: Mapping[str, Any], live: InferenceService) -> bool:
    """Tell whether the spec says that fields are taken, and there are any to be taken; nothing else is ever forced."""
    serving = scene.desired.spec.serving
    return serving is not None and serving.take_ownership and bool(contested(manifest, live.held))


def _newest(scene: Scene) -> InferenceService | None:
    """Return the object as it is by now."""
    reading, live = scene.systems.serving.read_all(), scene.live()
    return reading.value.get((live.namespace, live.name)) if isinstance(reading, Known) else None


def _unserved(scene: Scene, stable_revision: str) -> bool:
    """Tell whether nobody is served: what crashed keeps KServe from tagging anything `prev`."""
    newest = _newest(scene)
    return newest is not None and unserved(newest, stable_revision)


def _check_previous(scene: Scene, stable_revision: str) -> None:
    rollout = scene.facts.rollout
    why = past_stable(_newest(scene), stable_revision, rollout.stable if rollout else None)
    if why is not None:
        raise Conflict(why, help="the next look decides anew")
