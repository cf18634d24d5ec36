"""Pictures of one model that the planner's tables begin from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciler.desired.documents import ModelSpec, PolicySpec
from reconciler.desired.question import question_of
from reconciler.desired.state import Commit, DesiredModel
from reconciler.observed import (
    TAG_GATES,
    TAG_REJECTED,
    TAG_ROLLOUT,
    TAG_TRAINING_KEY,
    InferenceService,
    Known,
    Memory,
    ModelVersion,
    ObservedModel,
    RegisteredModel,
    Release,
    RunState,
    Stage,
    TrafficTarget,
    TrainingRun,
    Unknown,
    VersionEvidence,
)
from reconciler.plan.decision import Decision
from reconciler.plan.describe import status_of
from reconciler.plan.facts import passed_mark, wanted_digest
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.planner import Rules, decide
from reconciler.plan.training import recipe_of
from reconciler.status import ModelStatus

NOW = datetime(2026, 8, 20, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PIPELINE = "pipelines/iris.yaml"
COMMIT = Commit("4f2c1ab" + 33 * "0", "Ana <ana@example.org>", NOW - timedelta(days=30), "a commit")
STABLE, CANDIDATE = "iris-predictor-00001", "iris-predictor-00002"


def spec(**changes: object) -> ModelSpec:
    """Return a spec with training, one gate and two steps with a check."""
    base: dict[str, object] = {
        "training": {"kubeflowPipeline": {"package": PIPELINE}, "parameters": {"n": 1}},
        "promotion": {"gates": [{"metric": "accuracy", "min": 0.9}]},
        "serving": {
            "namespace": "models",
            "predictor": {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}},
        },
        "rollout": {"steps": [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}]},
    }
    return ModelSpec.model_validate({**base, **changes})


@dataclass(frozen=True)
class Scene:
    """A model as Git wants it and as it is seen; each method returns the scene with one thing changed."""

    wanted: DesiredModel
    versions: tuple[ModelVersion, ...] = ()
    live: InferenceService | None = None
    seen: dict[str, Any] = field(default_factory=dict)
    policy: PolicySpec = field(default_factory=PolicySpec)
    guard: str = ""

    def release(self, version: int) -> Release:
        """Return the release of a version under this spec."""
        assert self.wanted.spec.serving is not None
        return Release(version, self.wanted.spec.serving.digest)

    def question(self, name: str) -> str:
        """Return what stands for the question of a check of this spec."""
        check = next(check for check in self.wanted.spec.rollout.analysis if check.name == name)
        return question_of(check, self.wanted.files)

    def version(self, number: int, stage: Stage = Stage.NONE, **tags: str | None) -> Scene:
        """Add a version of this spec's training whose gates passed; tags of None are left out."""
        recipe = recipe_of(self.wanted)
        own = {"key": recipe, "gates": passed_mark(self.wanted.spec), **tags}
        names = {"key": TAG_TRAINING_KEY, "gates": TAG_GATES, "rollout": TAG_ROLLOUT, "rejected": TAG_REJECTED}
        named = {names.get(k, k): v for k, v in own.items() if v is not None}
        made = ModelVersion(number, stage, frozenset(), named, "run", "", NOW - timedelta(days=1))
        return replace(self, versions=(*self.versions, made))

    def serving(self, version: int, **changes: Any) -> Scene:
        """Serve a version with all traffic."""
        release = self.release(version)
        live = InferenceService(
            "models", "iris", "uid", "1", 1, True, "", release, None, True, "",
            (TrafficTarget(STABLE, 100, "latest", latest=True),), STABLE, STABLE, STABLE, {STABLE: release},
        )  # fmt: skip
        return replace(self, live=replace(live, **changes))

    def rolling(self, percent: int | None, step: int = 0, age: timedelta = MINUTE, **changes: Any) -> Scene:
        """Roll version 2 out over version 1: this share was asked for, and is effective."""
        ours = [v for v in self.versions if v.version != 2]
        record = RolloutRecord(
            self.release(2), self.release(1), STABLE, step, NOW - age, NOW - age, wanted_digest(self.wanted.spec)
        )
        staged = replace(self, versions=tuple(ours)).version(2, Stage.STAGING, rollout=record.to_tag())
        asked = percent or 0
        canary = staged.serving(2).live
        assert canary is not None
        targets = (
            TrafficTarget(CANDIDATE, asked, "latest", latest=True),
            TrafficTarget(STABLE, 100 - asked, "prev"),
        )
        live = replace(
            canary, canary_percent=percent, traffic=targets, latest_created=CANDIDATE, latest_ready=CANDIDATE,
            revisions={STABLE: self.release(1), CANDIDATE: self.release(2)},
        )  # fmt: skip
        return replace(staged, live=replace(live, **changes))

    def sees(self, **seen: Any) -> Scene:
        """Change what is seen besides."""
        return replace(self, seen={**self.seen, **seen})

    def wants(self, **changes: Any) -> Scene:
        """Change the model as Git wants it."""
        return replace(self, wanted=replace(self.wanted, **changes))

    def evidence(self, number: int, **metrics: float) -> Scene:
        """Let a version's metrics be read."""
        read = {**self.seen.get("evidence", {}), number: Known(VersionEvidence(metrics, f"s3://m/{number}"), NOW)}
        return self.sees(evidence=read)

    def runs(self, *states: RunState, key: str | None = None, age: timedelta = MINUTE) -> Scene:
        """Let there be training runs, each begun and ended `age` ago."""
        own = key or recipe_of(self.wanted) or ""
        runs = tuple(
            TrainingRun(own, n, f"run-{n}", state, NOW - age, None if state is RunState.RUNNING else NOW - age, "boom")
            for n, state in enumerate(states, start=1)
        )
        return self.sees(runs=Known(runs, NOW))

    def decide(self, now: datetime = NOW) -> Decision:
        """Decide."""
        return decide(self.wanted, self.observed, Rules(self.policy, self.guard), now)

    def status(self, now: datetime = NOW) -> ModelStatus:
        """Decide, and tell people."""
        return status_of(self.wanted, self.observed, self.decide(now), now, "")

    @property
    def observed(self) -> ObservedModel:
        """Return what the systems say."""
        registered = RegisteredModel("iris", self.versions) if self.versions else None
        base = ObservedModel(Known(registered, NOW), Known(self.live, NOW), Known((), NOW))
        return replace(base, **self.seen)


def wanting(**changes: object) -> Scene:
    """Begin with a spec and nothing else."""
    made = DesiredModel("iris", spec(**changes), COMMIT, "models/iris.yaml", files={PIPELINE: b"pipeline"})
    return Scene(made)


def settled(**changes: object) -> Scene:
    """Begin with version 1 in Production, served as Git says."""
    return wanting(**changes).version(1, Stage.PRODUCTION).serving(1)


UNKNOWN = Unknown("it does not answer", NOW)
__all__ = ["CANDIDATE", "MINUTE", "NOW", "STABLE", "UNKNOWN", "Memory", "Scene", "settled", "spec", "wanting"]
