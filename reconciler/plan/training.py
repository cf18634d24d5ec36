"""When to train, under which key, and what to do with a run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.desired.cron import last_fire, next_fire
from reconciler.desired.digest import digest
from reconciler.desired.documents import NamedPipeline, Training
from reconciler.desired.state import DesiredModel
from reconciler.observed import TAG_TRAINING_KEY, Known, ModelVersion, RegisteredModel, RunState, Stage, TrainingRun
from reconciler.plan.action import StopTraining, Train
from reconciler.plan.decision import Decision, act, stall, wait
from reconciler.plan.facts import Facts
from reconciler.plan.orders import said
from reconciler.registry_roles import role
from reconciler.status import Health, Phase

ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)
REGISTRY_LAG = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Due:
    """A training that is due: its key and why."""

    key: str
    why: str


def recipe_of(desired: DesiredModel) -> str | None:
    """Stand for what is trained and with what: backend and parameters. None without training."""
    training = desired.spec.training
    if training is None:
        return None
    recipe = desired.memo.get("recipe")
    if recipe is None:
        recipe = desired.memo["recipe"] = _recipe(desired, training)
    return recipe


def _recipe(desired: DesiredModel, training: Training) -> str:
    package = training.kubeflow_pipeline.package
    if isinstance(package, NamedPipeline):
        backend = f"{package.name}@{package.version}"
    else:
        backend = hashlib.sha256(desired.files.get(package, b"")).hexdigest()
    return digest({"backend": backend, "parameters": training.parameters})


def of_recipe(version: ModelVersion, recipe: str) -> bool:
    """Return whether a version was trained by this recipe, whatever the trigger."""
    key = version.tags.get(TAG_TRAINING_KEY, "")
    return key == recipe or key.startswith(f"{recipe}-")


def due_training(desired: DesiredModel, registered: RegisteredModel | None, now: datetime) -> Due | None:
    """Return the training that is due and has not produced a version yet."""
    training, recipe = desired.spec.training, recipe_of(desired)
    if training is None or recipe is None or desired.removed:
        return None
    versions = registered.versions if registered else ()
    trained = [v for v in versions if of_recipe(v, recipe)]
    due = _due(training, recipe, versions, trained, now)
    if due is None or any(v.tags.get(TAG_TRAINING_KEY) == due.key for v in versions):
        return None
    return due


def _due(
    training: Training, recipe: str, versions: tuple[ModelVersion, ...], trained: list[ModelVersion], now: datetime
) -> Due | None:
    triggers = training.triggers
    if not trained and triggers.on_change:
        why = "training.parameters or the pipeline changed" if versions else "nothing is registered"
        return Due(recipe, why)
    newest = max((v.created_at for v in trained), default=None)
    if triggers.schedule:
        fire = last_fire(triggers.schedule, now)
        if newest is not None and newest < fire:
            return Due(f"{recipe}-s{fire:%Y%m%d%H%M}", f"the schedule {triggers.schedule} was due at {fire:%F %H:%M}Z")
    production = max((v for v in versions if role(v) is Stage.PRODUCTION), key=lambda v: v.version, default=None)
    if triggers.max_age and production and now - production.created_at > triggers.max_age:
        age = (now - production.created_at).days
        return Due(f"{recipe}-a{production.version}", f"production version {production.version} is {age} days old")
    return None


def next_trigger(desired: DesiredModel, registered: RegisteredModel | None, now: datetime) -> datetime | None:
    """Return when a trigger of time next fires."""
    if desired.spec.training is None:
        return None
    triggers = desired.spec.training.triggers
    times = [next_fire(triggers.schedule, now)] if triggers.schedule else []
    if triggers.max_age and registered:
        age = triggers.max_age + timedelta(seconds=1)
        times += [v.created_at + age for v in registered.versions if role(v) is Stage.PRODUCTION]
    return min((t for t in times if t > now), default=None)


def decide_training(facts: Facts) -> Decision | None:
    """Train, stop, wait or give up; None when nothing is due and nothing runs."""
    training = facts.spec.training
    due = due_training(facts.desired, facts.registered, facts.now)
    runs = facts.observed.runs
    if not isinstance(runs, Known):
        if due is None:
            return None
        return wait(f"training runs to be readable: {runs.why}", Phase.TRAINING, Health.UNKNOWN)
    for run in runs.value:
        if run.state not in ENDED and (due is None or run.key != due.key):
            return _stop_superseded(facts, run, due)
    if due is None or training is None:
        return None
    return _advance(facts, training, due, [r for r in runs.value if r.key == due.key])


def _stop_superseded(facts: Facts, run: TrainingRun, due: Due | None) -> Decision | None:
    if any(v.tags.get(TAG_TRAINING_KEY) == run.key for v in facts.versions):
        return None  # it has registered its version and is about to end by itself
    why = f"Git now wants another training ({due.key})" if due else "Git wants no training with these parameters"
    return act(StopTraining(run.run_id, run.key), why, Phase.TRAINING)


def _advance(facts: Facts, training: Training, due: Due, runs: list[TrainingRun]) -> Decision:
    running = next((r for r in runs if r.state not in ENDED), None)
    if running is not None:
        ends = running.created_at + training.timeout
        if facts.now >= ends:
            return act(StopTraining(running.run_id, due.key), "it takes longer than training.timeout", Phase.TRAINING)
        what = f"training run {running.run_id}, attempt {running.attempt}, {running.state.value.lower()}"
        return wait(what, Phase.TRAINING, until=ends)
    if runs and runs[-1].state is RunState.SUCCEEDED:
        return _unregistered(facts, runs[-1], due)
    order = facts.orders.tries.get(due.key)
    failed = [r for r in runs if failed_run(r, training.timeout) and r.attempt > facts.orders.tried(due.key)]
    attempt = max((r.attempt for r in runs), default=0) + 1
    if not failed:
        why = said(order, "retried") if order else due.why
        return act(Train(due.key, attempt), f"because {why}", Phase.TRAINING)
    return _retry(facts, training, due, failed, attempt)


def _retry(facts: Facts, training: Training, due: Due, failed: list[TrainingRun], attempt: int) -> Decision:
    last = failed[-1]
    cause = last.cause or "the run gave no cause"
    if len(failed) > training.retries.limit:
        what = f"training failed {len(failed)} times, the last time: {cause}"
        needs = "`reconciler retry`, or a commit that changes the pipeline or its parameters"
        return stall(what, Phase.TRAINING, needs)
    due_at = (last.finished_at or last.created_at) + training.retries.backoff * 2 ** (len(failed) - 1)
    if facts.now < due_at:
        return wait(f"the next attempt after a failed training: {cause}", Phase.TRAINING, Health.DEGRADED, due_at)
    return act(Train(due.key, attempt), f"because attempt {attempt - 1} failed: {cause}", Phase.TRAINING)


def failed_run(run: TrainingRun, timeout: timedelta) -> bool:
    """Return whether a run counts against the retries; one that was stopped for another reason does not."""
    if run.state is RunState.STOPPED:
        return (run.finished_at or run.created_at) - run.created_at >= timeout
    return run.state is RunState.FAILED


def _unregistered(facts: Facts, run: TrainingRun, due: Due) -> Decision:
    patience = (run.finished_at or run.created_at) + REGISTRY_LAG
    if facts.now < patience:
        return wait(
            f"the version of training run {run.run_id} to appear in the registry", Phase.TRAINING, until=patience
        )
    what = (
        f"training run {run.run_id} succeeded, but registered no version of {facts.desired.registered_model} with "
        f"the tag {TAG_TRAINING_KEY}={due.key}"
    )
    return stall(what, Phase.TRAINING, "a pipeline that tags its version with the parameter reconciler_training_key")
