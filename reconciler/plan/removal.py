"""What happens when a spec leaves Git: traffic first, then the object, then the registry."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from reconciler.desired.documents import OnRemoval
from reconciler.desired.state import DesiredModel, DesiredState
from reconciler.observed import InferenceService, Known, Stage
from reconciler.plan.action import ArchiveAll, DeleteModel, LetGo, StopTraining, TakeDown
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import Facts
from reconciler.plan.training import ENDED
from reconciler.registry_roles import role
from reconciler.status import Phase


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
    return _stop_training(facts, why) or _take_down(facts, why) or _registry(facts, on_removal, why)


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


def _registry(facts: Facts, on_removal: OnRemoval, why: str) -> Decision:
    if on_removal is OnRemoval.DELETE and facts.registered is not None:
        return act(DeleteModel(), why, Phase.ARCHIVING)
    left = tuple(v.version for v in facts.versions if role(v) is not Stage.ARCHIVED)
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
