"""Bugs in acting and remembering: executor, ledger, training, removal, pictures, restarts."""

# ruff: noqa: ARG001, ARG005  what is planted keeps the signature of what it replaces

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler import executor, observe, reconcile, registry_writes
from reconciler.desired.documents import OnRemoval
from reconciler.ensure import registry, serving, training
from reconciler.ensure.scene import Scene
from reconciler.errors import ReconcilerError, UnknownOutcome
from reconciler.observed import Known, RunState, Stage
from reconciler.passes import StepResult
from reconciler.plan import facts, removal, selection
from reconciler.plan import training as plan_training
from reconciler.plan.action import DeleteModel, LetGo, StopTraining, Train
from reconciler.plan.decision import act
from reconciler.ports import Recorded
from reconciler.status import Phase
from tests.simulation.museum.planting import Bug, Patch


class _Deaf:
    """A ledger whose failures nobody hears."""

    def __init__(self, sound: Any) -> None:
        self.sound = sound

    def append(self, entry: Any) -> Any:
        """Append, or pretend to."""
        try:
            return self.sound.append(entry)
        except ReconcilerError:
            return Recorded(0, entry, "", "")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)


def _deaf(sound: Any) -> Any:
    return lambda seen, decision, systems, ordered: sound(
        seen, decision, replace(systems, ledger=_Deaf(systems.ledger)), ordered
    )


def _acted_first(sound: Any) -> Any:
    def execute(seen: Any, decision: Any, systems: Any, ordered: Any) -> Any:
        executor._ensure(decision.action, Scene(seen, systems, decision.reason, ordered))
        return sound(seen, decision, systems, ordered)

    return execute


def _twice(sound: Any) -> Any:
    def start(action: Any, scene: Any) -> Any:
        try:
            return sound(action, scene)
        except UnknownOutcome:
            return sound(replace(action, attempt=action.attempt + 1), scene)

    return start


def _endless(_: Any) -> Any:
    def retry(seen: Any, spec: Any, due: Any, failed: Any, attempt: int) -> Any:
        return act(Train(due.key, attempt), "it failed", Phase.TRAINING)

    return retry


def _no_pause(sound: Any) -> Any:
    def retry(seen: Any, spec: Any, due: Any, failed: Any, attempt: int) -> Any:
        decided = sound(seen, spec, due, failed, attempt)
        if decided.action is None and not decided.stalled:
            return act(Train(due.key, attempt), "it failed", Phase.TRAINING)
        return decided

    return retry


def _same_attempt(sound: Any) -> Any:
    def advance(seen: Any, spec: Any, due: Any, runs: Any) -> Any:
        decided = sound(seen, spec, due, runs)
        return replace(decided, action=Train(due.key, 1)) if isinstance(decided.action, Train) else decided

    return advance


def _success_forgotten(sound: Any) -> Any:
    return lambda seen, spec, due, runs: sound(seen, spec, due, [r for r in runs if r.state is not RunState.SUCCEEDED])


def _stops_its_own(_: Any) -> Any:
    def advance(seen: Any, spec: Any, due: Any, runs: Any) -> Any:
        for run in runs:
            if run.state not in plan_training.ENDED:
                return act(StopTraining(run.run_id, run.key), "it runs", Phase.TRAINING)
        return act(Train(due.key, len(runs) + 1), "it is due", Phase.TRAINING)

    return advance


def _only_wanted(sound: Any) -> Any:
    def decide(seen: Any) -> Any:
        due, runs = plan_training.due_training(seen.desired, seen.registered, seen.now), seen.observed.runs
        if due is None or not isinstance(runs, Known):
            return sound(seen)
        wanted = replace(runs, value=tuple(r for r in runs.value if r.key == due.key))
        return sound(replace(seen, observed=replace(seen.observed, runs=wanted)))

    return decide


def _retained_too(_: Any) -> Any:
    def decide(seen: Any) -> Any:
        return removal._take_down(seen, "it left Git") or removal._registry(seen, OnRemoval.ARCHIVE, "it left")

    return decide


def _registry_first(_: Any) -> Any:
    def decide(seen: Any) -> Any:
        first = removal._registry(seen, seen.spec.retention.on_removal, "it left Git")
        if isinstance(first.action, LetGo):
            return removal._take_down(seen, "it left Git") or first
        return first

    return decide


def _always_deleted(_: Any) -> Any:
    def left(seen: Any, on_removal: Any, why: str) -> Any:
        if seen.registered is not None:
            return act(DeleteModel(), why, Phase.ARCHIVING)
        return act(LetGo(), why, Phase.ARCHIVING)

    return left


def _let_go_at_once(_: Any) -> Any:
    return lambda seen, on_removal, why: act(LetGo(), why, Phase.ARCHIVING)


STAGED_HERE: set[str] = set()


def _in_memory(sound: Any) -> Any:
    def rollout(registered: Any) -> Any:
        return sound(registered) if registered is not None and registered.name in STAGED_HERE else None

    return rollout


def _remembers(sound: Any) -> Any:
    def staged(action: Any, scene: Any) -> Any:
        STAGED_HERE.add(scene.name)
        return sound(action, scene)

    return staged


def _forgets(sound: Any) -> Any:
    def begin(self: Any) -> Any:
        STAGED_HERE.clear()
        return sound(self)

    return begin


CUT_HERE: list[Any] = []


def _own_cuts(sound: Any) -> Any:
    return lambda ledger, name: tuple(r for r in sound(ledger, name) if r.rollout in CUT_HERE)


def _cuts(sound: Any) -> Any:
    def cut(action: Any, scene: Any) -> Any:
        CUT_HERE.append(action.started)
        return sound(action, scene)

    return cut


def _forgets_cuts(sound: Any) -> Any:
    def begin(self: Any) -> Any:
        CUT_HERE.clear()
        return sound(self)

    return begin


def _others_first(sound: Any) -> Any:
    def step(self: Any, name: str) -> Any:
        if any(s.conditions.stalled.message for other, s in self._statuses.items() if other != name):
            return StepResult(self._statuses.get(name))
        return sound(self, name)

    return step


def _marks_with_time(sound: Any) -> Any:
    return lambda seen, verdict: f"{sound(seen, verdict)} at {seen.now.isoformat()}"


def _old_picture(_: Any) -> Any:
    return lambda self, error: None


def _stages_first(sound: Any) -> Any:
    def writes(model: Any, version: int, stage: Any) -> Any:
        yield from reversed(tuple(sound(model, version, stage)))

    return writes


def _drifts(sound: Any) -> Any:
    def drift(self: Any, *seen: Any) -> Any:
        reading = sound(self, *seen)
        return replace(reading, value=("spec",)) if isinstance(reading, Known) else reading

    return drift


def _any_object(_: Any) -> Any:
    def taken_down(action: Any, scene: Any) -> Any:
        for (namespace, name), live in tuple(scene.systems.serving.live.items()):
            if name == scene.desired.name:
                scene.systems.serving.delete(namespace, name, live.uid)
        return {}

    return taken_down


def _future_is_fresh(sound: Any) -> Any:
    def refresh(self: Any, name: str) -> Any:
        if self.systems.clock() - self._fresh.get(name, observe.NEVER) <= observe.FRESH:
            return False
        return sound(self, name)

    return refresh


BUGS = (
    Bug("intent-optional", "An action is carried out although its intent could not be recorded.", "I6",
        (Patch(executor, "execute", _deaf),)),
    Bug("intent-afterwards", "An action is recorded after it was carried out.", "I6",
        (Patch(executor, "execute", _acted_first),)),
    Bug("second-training", "A second training is started when the answer of the first one is lost.", "I5",
        (Patch(training, "ensure_training", _twice),)),
    Bug("retries-unlimited", "A training that fails is tried for ever.", "I5", (
        Patch(plan_training, "_retry", _endless),)),
    Bug("retries-without-pause", "A failed training is tried again at once.", "I5", (
        Patch(plan_training, "_retry", _no_pause),)),
    Bug("attempts-not-counted", "Every attempt of a training is called the first.", "liveness I5",
        (Patch(plan_training, "_advance", _same_attempt),)),
    Bug("success-forgotten", "A training that succeeded, but shows no version yet, is started again.", "I5",
        (Patch(plan_training, "_advance", _success_forgotten),
         Patch(observe.Observer, "_just_trained", lambda _: lambda *a: False))),
    Bug("wanted-training-stopped", "The training that Git asks for is stopped as if it were another.", "liveness I5",
        (Patch(plan_training, "_advance", _stops_its_own),)),
    Bug("superseded-training-goes-on", "A training begins beside the one that it supersedes.", "I5",
        (Patch(plan_training, "decide_training", _only_wanted),)),
    Bug("trainings-forgotten", "Trainings that were started before a restart are not looked for.", "removal",
        (Patch(observe.Observer, "remember_in_flight", lambda _: lambda self: None),)),
    Bug("retention-ignored", "A model that was to be kept is taken down.", "I4",
        (Patch(removal, "decide_removal", _retained_too),)),
    Bug("archived-before-traffic-is-gone", "A removed model is archived while it still serves.", "I3",
        (Patch(removal, "decide_removal", _registry_first),)),
    Bug("deleted-instead-of-archived", "A removed model is deleted, whatever the spec says.", "I3",
        (Patch(removal, "_registry", _always_deleted),)),
    Bug("let-go-early", "A removed model is forgotten before its versions are archived.", "removal",
        (Patch(removal, "_registry", _let_go_at_once),)),
    Bug("rollout-in-memory", "A rollout is known only to the process that began it.", "I2 I3 I7 liveness",
        (Patch(facts, "rollout_of", _in_memory), Patch(registry, "ensure_staged", _remembers),
         Patch(observe.Observer, "remember_in_flight", _forgets))),
    Bug("rollback-in-memory", "That a rollout was decided against is known only to the process that did.", "I7 I2",
        (Patch(observe, "rejections", _own_cuts), Patch(serving, "ensure_traffic_cut", _cuts),
         Patch(observe.Observer, "remember_in_flight", _forgets_cuts))),
    Bug("ledger-forgotten", "What the ledger says of a rollback is not asked for.", "I7 I2",
        (Patch(observe, "rejections", lambda _: lambda ledger, name: ()),)),
    Bug("stalled-model-stops-others", "While one model needs a person, the others are not looked at.", "liveness",
        (Patch(reconcile.ModelReconciler, "reconcile", _others_first),)),
    Bug("marks-carry-the-time", "The verdict on a version is written anew at each look.", "liveness I8",
        (Patch(selection, "verdict_mark", _marks_with_time),)),
    Bug("drift-everywhere", "Fields that somebody else defaults are told as drift.", "I8 liveness I10",
        (Patch(observe.Observer, "_drift", _drifts),)),
    Bug("stale-registry-trusted", "A picture of the registry that cannot be renewed is acted on.",
        "I1 I2 I3 I5 I7 removal", (Patch(observe.Observer, "_registry_failed", _old_picture),
         Patch(observe.Observer, "refresh_model", lambda _: lambda self, name: False))),
    Bug("promotion-in-wrong-order", "The stage is written before what makes a cut promotion visible.",
        "I1 I3 liveness", (Patch(registry_writes, "_both", _stages_first),)),
    Bug("any-object-deleted", "Taking down deletes every object of that name, not the one that was seen.", "I2 I4",
        (Patch(serving, "ensure_taken_down", _any_object),)),
    Bug("archived-stays-archived", "A version that is served again is left in the archive.", "I3",
        (Patch(serving, "role", lambda _: lambda version: Stage.NONE),)),
    Bug("future-picture-is-fresh", "After the clock went back, what was read in the future is not read again.",
        "I1 I2 I3 I5 liveness", (Patch(observe.Observer, "refresh_model", _future_is_fresh),)),
    Bug("old-evidence-of-runs", "A run that ended long ago counts as running.", "liveness I5",
        (Patch(plan_training, "ENDED", lambda _: (RunState.FAILED, RunState.STOPPED)),)),
)  # fmt: skip
