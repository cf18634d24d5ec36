"""What a commit would do to every model: the whole plan, before anything is done. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.desired.state import DesiredModel, DesiredState, Diagnostic, Severity
from reconciler.observed import InferenceService, Known, ModelVersion, ObservedModel, Stage
from reconciler.plan.action import (
    Action,
    Archive,
    ArchiveAll,
    CutTraffic,
    DeleteModel,
    Deploy,
    LetGo,
    PutBack,
    RestoreStable,
    RouteAll,
    StageCandidate,
    StartCanary,
    TakeDown,
    Train,
)
from reconciler.plan.decision import Decision
from reconciler.plan.forecast import Assumptions, Way, forecast
from reconciler.plan.planner import Rules, decide
from reconciler.plan.spec_changes import FieldChange, model_changes, policy_changes
from reconciler.registry_roles import role
from reconciler.status import Sync


class Outcome(StrEnum):
    """What a plan means for a model, the most drastic first; the value is the verb that people read."""

    DELETE = "delete"
    ARCHIVE = "archive"
    LET_GO = "let go"
    TAKE_DOWN = "take down"
    ROLL_BACK = "roll back"
    TRAIN = "train"
    RETRAIN = "retrain"
    DEPLOY = "deploy"
    ROLL_OUT = "roll out"
    TIDY = "tidy up"
    ADD = "add"
    UPDATE = "update"
    WAIT = "wait"
    PUT_BACK = "put back"
    NOTHING = "nothing"


REMOVALS = (Outcome.DELETE, Outcome.ARCHIVE, Outcome.LET_GO, Outcome.TAKE_DOWN)
# What the commit does not bring about: said, but not counted as a change.
NO_CHANGE = (Outcome.WAIT, Outcome.PUT_BACK, Outcome.NOTHING)


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What happens to one model: `base` is the spec before (None: it is new), `decision` the next action.

    `way` is the whole way to convergence, `changes` what the spec changes, `drift` the fields whose live value
    differs from Git before anything was changed. `assumed` is true where no registry was asked, so that version
    numbers are only counted from 1.
    """

    desired: DesiredModel
    base: DesiredModel | None
    observed: ObservedModel
    decision: Decision
    way: Way
    changes: tuple[FieldChange, ...]
    drift: tuple[str, ...] = ()
    assumed: bool = False
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        # Worked out once: every count and every order asks for it.
        object.__setattr__(self, "outcome", _outcome(self))

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.desired.name

    @property
    def actions(self) -> tuple[Action, ...]:
        """Return every action on the way, in order."""
        return tuple(step.action for step in self.way.steps)

    @property
    def live(self) -> InferenceService | None:
        """Return what serves the model now."""
        return self.observed.serving.value if isinstance(self.observed.serving, Known) else None

    @property
    def versions(self) -> tuple[ModelVersion, ...]:
        """Return the versions that are registered now, oldest first."""
        model = self.observed.registry.value if isinstance(self.observed.registry, Known) else None
        return model.versions if model else ()

    @property
    def serving_version(self) -> int | None:
        """Return the version in Production now."""
        return max((v.version for v in self.versions if role(v) is Stage.PRODUCTION), default=None)

    @property
    def converges(self) -> bool:
        """Return whether the way ends as Git says."""
        return self.way.forgotten or self.way.last.sync is Sync.SYNCED


@dataclass(frozen=True, slots=True)
class Compared:
    """What is planned (a commit, or the working tree) against what; `assumed` says so where no system was asked."""

    what: str
    against: str
    assumed: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The plans of all models, the most drastic first."""

    plans: tuple[ModelPlan, ...]
    compared: Compared
    assumptions: Assumptions
    policy: tuple[FieldChange, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def changed(self) -> tuple[ModelPlan, ...]:
        """Return the plans by which something changes."""
        return tuple(plan for plan in self.plans if plan.outcome not in NO_CHANGE)

    @property
    def waiting(self) -> tuple[ModelPlan, ...]:
        """Return the plans of models that are not as Git says, with nothing to do about it now."""
        return tuple(plan for plan in self.plans if plan.outcome is Outcome.WAIT)

    @property
    def unchanged(self) -> int:
        """Count the models that neither change nor wait."""
        return len(self.plans) - len(self.changed) - len(self.waiting)

    @property
    def drifted(self) -> tuple[ModelPlan, ...]:
        """Return the plans of models whose live fields differ from what was applied."""
        return tuple(plan for plan in self.plans if plan.drift)

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """Count the models by what changes for them, the most drastic first."""
        found = Counter(plan.outcome for plan in self.changed)
        return {outcome: found[outcome] for outcome in Outcome if found[outcome]}

    @property
    def took(self) -> timedelta:
        """Return how long until every model that changes has converged; they do so side by side."""
        return max((plan.way.took for plan in self.changed), default=timedelta())

    @property
    def failed(self) -> bool:
        """Return whether a spec or a system could not be read, so that the plan is not whole."""
        unread = any(plan.decision.sync is Sync.UNKNOWN for plan in self.plans)
        return unread or any(problem.severity is Severity.ERROR for problem in self.diagnostics)


@dataclass(frozen=True, slots=True)
class Outlook:
    """From where a plan looks ahead: the rules in force, the time, and how long things are assumed to take."""

    rules: Rules
    now: datetime
    assumptions: Assumptions


Observe = Callable[[DesiredModel], ObservedModel]


def propose(
    state: DesiredState,
    base: DesiredState | Mapping[str, DesiredModel],
    observe: Observe,
    outlook: Outlook,
    compared: Compared,
) -> Proposal:
    """Plan every model of a commit; `base` is what was wanted before, `observe` tells what is there."""
    before = base.models if isinstance(base, DesiredState) else base
    plans = [
        replace(plan_model(model, before.get(name), observe(model), outlook), assumed=bool(compared.assumed))
        for name, model in sorted(state.models.items())
    ]
    order = list(Outcome)
    return Proposal(
        plans=tuple(sorted(plans, key=lambda plan: (order.index(plan.outcome), plan.name))),
        compared=compared,
        assumptions=outlook.assumptions,
        policy=policy_changes(base.policy, state.policy) if isinstance(base, DesiredState) else (),
        diagnostics=state.diagnostics,
    )


def plan_model(
    desired: DesiredModel, base: DesiredModel | None, observed: ObservedModel, outlook: Outlook
) -> ModelPlan:
    """Plan one model."""
    rules, now = outlook.rules, outlook.now
    return ModelPlan(
        desired=desired,
        base=base,
        observed=observed,
        decision=decide(desired, observed, rules, now),
        way=forecast(desired, observed, rules, now, outlook.assumptions),
        changes=() if desired.removed or base is None else model_changes(base, desired),
        drift=observed.drift.value if isinstance(observed.drift, Known) else (),
    )


_BY_ACTION: tuple[tuple[type[Action] | tuple[type[Action], ...], Outcome], ...] = (
    (DeleteModel, Outcome.DELETE),
    (ArchiveAll, Outcome.ARCHIVE),
    ((CutTraffic, RestoreStable), Outcome.ROLL_BACK),
    (Train, Outcome.RETRAIN),
    (Deploy, Outcome.DEPLOY),
    ((StageCandidate, StartCanary, RouteAll), Outcome.ROLL_OUT),
    (TakeDown, Outcome.TAKE_DOWN),
    (LetGo, Outcome.LET_GO),
    (Archive, Outcome.TIDY),
)


def _outcome(plan: ModelPlan) -> Outcome:
    if plan.desired.removed:
        return _removal(plan)
    if not plan.actions:
        return _without_action(plan)
    if all(isinstance(action, PutBack) for action in plan.actions):
        return Outcome.UPDATE if plan.changes else Outcome.PUT_BACK
    for kinds, outcome in _BY_ACTION:
        if any(isinstance(action, kinds) for action in plan.actions):
            return Outcome.TRAIN if outcome is Outcome.RETRAIN and not plan.versions else outcome
    return Outcome.TIDY


def _without_action(plan: ModelPlan) -> Outcome:
    if plan.decision.sync is Sync.UNKNOWN:
        return Outcome.WAIT
    if plan.changes:
        return Outcome.UPDATE
    if plan.decision.sync is Sync.SYNCED:
        return Outcome.NOTHING
    return Outcome.ADD if plan.base is None else Outcome.WAIT


def _removal(plan: ModelPlan) -> Outcome:
    match plan.desired.spec.retention.on_removal:
        case "delete":
            return Outcome.DELETE
        case "retain":
            return Outcome.LET_GO
        case _:
            return Outcome.ARCHIVE
