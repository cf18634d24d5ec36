"""Actions on the training backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from reconciler.breakpoints import reached
from reconciler.desired.documents import NamedPipeline
from reconciler.ensure.scene import After, Scene
from reconciler.errors import Refused, Transient
from reconciler.observed import Package, PipelineVersion, TrainingRequest
from reconciler.plan.action import StopTraining, Train
from reconciler.ports import Moment, Recorded, Result


def ensure_training(action: Train, scene: Scene) -> After:
    """Start the run, or find it. A claim that stands already means that a request may still be on its way."""
    request = _request(action, scene)
    claim = f"{request.model}/{request.key}/{request.attempt}"
    if not scene.systems.memory.claim(claim, scene.now):
        entries = scene.systems.ledger.entries(model=scene.desired.name, actions=[Train.__name__], limit=20)
        started_as = _on_record(action, entries)
        if not started_as:
            _wait_until_settled(action, scene)
        request = replace(request, started_as=started_as)
    reached("claimed")
    run = scene.systems.training.ensure_started(request)
    return {"run": run.run_id, "key": run.key, "attempt": run.attempt}


def ensure_training_stopped(action: StopTraining, scene: Scene) -> After:
    """Stop the run."""
    scene.systems.training.ensure_stopped(scene.desired.name, action.run_id)
    return {"run": action.run_id}


def _on_record(action: Train, entries: Sequence[Recorded]) -> str:
    """Return the run that this key and attempt was started as, "" where the ledger names none."""
    for recorded in reversed(entries):
        after = recorded.entry.after
        done = recorded.entry.moment is Moment.OUTCOME and recorded.entry.result is Result.DONE
        if done and (after.get("key"), after.get("attempt")) == (action.key, action.attempt):
            return str(after.get("run", ""))
    return ""


def _wait_until_settled(action: Train, scene: Scene) -> None:
    """Raise Transient while an earlier request whose answer was lost may still be carried out."""
    settle = timedelta(seconds=scene.systems.training.settle_seconds)
    # By time and not by number: however often it was asked for since, that request is among them.
    entries = scene.systems.ledger.entries(model=scene.desired.name, actions=[Train.__name__], since=scene.now - settle)
    ended = {e.entry.attempt_of: e.entry.result for e in entries if e.entry.moment is Moment.OUTCOME}
    for recorded in entries[:-1]:
        entry = recorded.entry
        ours = entry.moment is Moment.INTENT and entry.after.get("key") == action.key
        if ours and ended.get(recorded.seq) is not Result.FAILED and scene.now - entry.at < settle:
            left = (entry.at + settle - scene.now).total_seconds()
            raise Transient("an earlier request to train may still be carried out", retry_after=left)


def _request(action: Train, scene: Scene) -> TrainingRequest:
    training = scene.desired.spec.training
    if training is None:
        raise Refused(f"{scene.desired.name} has no training in its spec any more")
    package = training.kubeflow_pipeline.package
    return TrainingRequest(
        model=scene.desired.name,
        key=action.key,
        attempt=action.attempt,
        registered_model=scene.name,
        pipeline=(
            PipelineVersion(package.name, package.version)
            if isinstance(package, NamedPipeline)
            else Package(package, scene.desired.files[package])
        ),
        parameters=json.loads(json.dumps(training.parameters)),
        timeout=training.timeout,
    )
