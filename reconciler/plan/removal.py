"""What happens when a spec leaves Git: traffic first, then the object, then the registry."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from reconciler.desired.documents import OnRemoval
from reconciler.desired.state import DesiredModel, DesiredState
from reconciler.observed import InferenceService, Known, Stage, Unknown
from reconciler.plan.action import ArchiveAll, DeleteModel, LetGo, StopTraining, TakeDown
from reconciler.plan.adoption import located
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import Facts, served
from reconciler.plan.training import ENDED
from reconciler.registry_roles import role
from reconciler.status import Health, Phase


def decide_removal(facts: Facts) -> Decision:
    """Decide the next step of taking a model down as its last good spec says."""
    if not facts.spec.retention.prune:
        what = "the spec left Git and says prune: false, so that nothing is taken down"
        kept = stall(what, Phase.IDLE, "the spec to come back, or to be removed without prune: false")
        return replace(kept, cause="NotPruned")
    on_removal = facts.spec.retention.on_removal
    why = f"because the spec left Git and says onRemoval: {on_removal.value}"
    if on_removal is OnRemoval.RETAIN:
        return act(LetGo(), why, Phase.ARCHIVING)
    return (
        _stop_training(facts, why)
        or _take_down(facts, why)
        or _still_served(facts, on_removal)
        or _registry(facts, on_removal, why)
    )


def _stop_training(facts: Facts, why: str) -> Decision | None:
    if facts.spec.training is None:
        return None
    runs = facts.observed.runs
    if not isinstance(runs, Known):
        return wait(f"training runs to be readable: {runs.why}", Phase.ARCHIVING)
    for run in runs.value:
        if run.state not in ENDED:
            return act(StopTraining(run.run_id, run.key), why, Phase.ARCHIVING)
    return None


def _take_down(facts: Facts, why: str) -> Decision | None:
    objects = [live for live in _objects(facts) if live.ours]
    for live in objects:
        if not live.deleting:
            return act(TakeDown(live.namespace, live.uid), why, Phase.ARCHIVING)
    return wait("the InferenceService to be deleted", Phase.ARCHIVING) if objects else None


def _objects(facts: Facts) -> list[InferenceService]:
    """Return every object that may serve the model: that of a rollout may be gone, and another one be there."""
    serving = facts.observed.serving
    wanted = serving.value if isinstance(serving, Known) else None
    found = (facts.live, wanted, *facts.observed.strays)
    return list({live.namespace: live for live in found if live is not None}.values())


def _still_served(facts: Facts, on_removal: OnRemoval) -> Decision | None:
    """Leave the registry as it is while an object serves a version and is not ours, or is not any more."""
    deletes = on_removal is OnRemoval.DELETE
    touched = {v.version for v in facts.versions} if deletes else set(_not_archived(facts))
    others = [live for live in _objects(facts) if not live.ours]
    if not touched or not others:
        return None
    if isinstance(facts.observed.locations, Unknown):
        return wait(f"the versions' locations: {facts.observed.locations.why}", Phase.ARCHIVING, Health.UNKNOWN)
    for live in others:
        serves = touched.intersection(_served_versions(facts, live))
        if serves:
            return _not_ours(live, max(serves), f"{facts.desired.registered_model} is not deleted" if deletes else "")
    return None


def _served_versions(facts: Facts, live: InferenceService) -> set[int]:
    labelled = {live.release, live.beside, *(release for release, _ in served(live, facts.rollout))}
    return {release.version for release in labelled if release is not None} | located(facts, live)


def _not_ours(live: InferenceService, version: int, kept: str) -> Decision:
    if live.deleting:
        return wait("the InferenceService to be deleted", Phase.ARCHIVING)
    what = (
        f"InferenceService {live.namespace}/{live.name} serves version {version} and belongs to "
        f"{live.owner or 'somebody else'}, so {kept or 'that version is not archived'}"
    )
    advice = "that object to be deleted or to serve something else, or the spec to come back with onRemoval: retain"
    return replace(stall(what, Phase.ARCHIVING, advice, Health.UNKNOWN), cause="NotOurs")


def _not_archived(facts: Facts) -> tuple[int, ...]:
    return tuple(v.version for v in facts.versions if role(v) is not Stage.ARCHIVED)


def _registry(facts: Facts, on_removal: OnRemoval, why: str) -> Decision:
    if on_removal is OnRemoval.DELETE and facts.registered is not None:
        return act(DeleteModel(), why, Phase.ARCHIVING)
    left = _not_archived(facts)
    if left:
        return act(ArchiveAll(left), why, Phase.ARCHIVING)
    return act(LetGo(), "because nothing of it is left to take down", Phase.ARCHIVING)


def losing(state: DesiredState) -> frozenset[str]:
    """Return the models that stay in Git without serving: what still serves them is taken down."""
    return frozenset(m.name for m in state.models.values() if m.spec.serving is None and not m.removed and _goes(m))


def removal_guard(state: DesiredState, served: Collection[str]) -> str:
    """Say why nothing is taken down when that is more models at once than the policy allows; empty when they may go.

    `served` are those of the models losing their serving that have an object of ours, or may have one.
    """
    removed = sum(1 for m in state.models.values() if m.removed and _goes(m))
    lost = len(losing(state).intersection(served))
    gone, total, limits = removed + lost, len(state.models), state.policy.deletion
    if gone <= limits.models or gone <= limits.share * total:
        return ""
    happened = " or ".join(what for what, many in (("left Git", removed), ("lost their serving", lost)) if many)
    return (
        f"{gone} of {total} models {happened} at once, more than {limits.models} and more than {limits.share:.0%}: "
        "bring them back, or raise spec.deletion in the RepositoryPolicy"
    )


def _goes(model: DesiredModel) -> bool:
    """Tell whether anything of it may be taken down; what never is would otherwise count for ever."""
    retention = model.spec.retention
    kept = model.removed and retention.on_removal is OnRemoval.RETAIN
    return retention.prune and not kept and not model.spec.suspend
