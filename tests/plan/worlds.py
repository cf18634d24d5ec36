"""Specs and plans that the tests of the renders begin from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from reconciler.desired.documents import ModelSpec, PolicySpec
from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.observed import ObservedModel
from reconciler.plan.assumed import assumed_world
from reconciler.plan.forecast import Assumptions
from reconciler.plan.planner import Rules
from reconciler.plan.proposal import Compared, Observe, Outlook, Proposal, propose

NOW = datetime(2026, 8, 20, 9, 31, tzinfo=UTC)
OLD = Commit("9be0d13" + 33 * "0", "Ana <ana@example.org>", NOW, "as it was")
NEW = Commit("4f2c1ab" + 33 * "0", "Raj <raj@example.org>", NOW, "as it should be")
PIPELINE = "pipelines/train.yaml"
COMPARED = Compared("4f2c1ab", "main 9be0d13")
PREDICTOR = {"model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}}


def spec(*, trees: int = 50, **changes: object) -> ModelSpec:
    """Return a spec with training, two gates and a two-step canary with one probe."""
    base: dict[str, object] = {
        "training": {"kubeflowPipeline": {"package": PIPELINE}, "parameters": {"n_estimators": trees}},
        "promotion": {
            "gates": [{"metric": "auc", "min": 0.91}, {"metric": "f1", "against": "production", "maxRegression": 0.01}]
        },
        "serving": {"namespace": "models", "predictor": PREDICTOR},
        "rollout": {
            "steps": [{"traffic": 10, "hold": "10m"}, {"traffic": 50, "hold": "10m"}],
            "analysis": [{"name": "answers", "interval": "2m", "probe": {"inputs": {"from": "inputExample"}}}],
        },
    }
    return ModelSpec.model_validate({**base, **changes})


def model(name: str, wanted: ModelSpec | None = None, commit: Commit = NEW, **fields: object) -> DesiredModel:
    """Return a model as Git wants it."""
    made = DesiredModel(name, wanted or spec(), commit, f"models/{name}.yaml", files={PIPELINE: b"compiled"})
    return replace(made, **fields)  # type: ignore[arg-type]  # the fields' own types


def state(*models: DesiredModel, policy: PolicySpec | None = None) -> DesiredState:
    """Return what Git says at the new commit."""
    return DesiredState(NEW, {m.name: m for m in models}, policy or PolicySpec())


def proposal(
    wanted: DesiredState,
    base: Mapping[str, DesiredModel] | DesiredState,
    *,
    observe: Observe | None = None,
    compared: Compared = COMPARED,
) -> Proposal:
    """Plan against a world in which the base has converged, or against another one."""
    before = base.models if isinstance(base, DesiredState) else base
    assumptions = Assumptions()

    def converged(one: DesiredModel) -> ObservedModel:
        return assumed_world(before.get(one.name), one, NOW, assumptions)

    outlook = Outlook(Rules(wanted.policy), NOW, assumptions)
    return propose(wanted, base, observe or converged, outlook, compared)


def retrain_and_archive() -> Proposal:
    """Plan a commit that changes a parameter of fraud and removes churn, beside one model that stays."""
    before = {name: model(name, commit=OLD) for name in ("churn", "fraud", "iris")}
    after = state(replace(before["churn"], removed=True, commit=NEW), model("fraud", spec(trees=200)), before["iris"])
    return proposal(after, before)
