"""The documents people write: Model and RepositoryPolicy, as pydantic models.

Field names are camelCase in YAML and snake_case here. Unknown fields are errors.
"""

from __future__ import annotations

import math
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from reconciler.desired.base import (
    UNION_PREFIX,
    Count,
    Document,
    Flag,
    Json,
    Name,
    Number,
    Pattern,
    by_key,
    refusal,
)
from reconciler.desired.checks import Check
from reconciler.desired.cron import check_cron
from reconciler.desired.digest import digest
from reconciler.desired.duration import Duration, format_duration, parse_duration
from reconciler.desired.holds import Hold, Step
from reconciler.desired.serving import LONGEST_STANDARD_NAME, Mode, Serving

API_VERSION = "reconciler.dev/v1alpha1"


def _package_kind(value: Any) -> str | None:
    match value:
        case str():
            return UNION_PREFIX + "path"
        case dict() | NamedPipeline():
            return UNION_PREFIX + "pipeline"
    return None


class Metadata(Document):
    """Who a model is."""

    name: Name = Field(description="Unique in the repository; also the InferenceService's name.")
    labels: dict[str, str] = Field(default_factory=dict, description="For people and filters.")


class NamedPipeline(Document):
    """A pipeline version that the KFP API already knows."""

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)


class KubeflowPipeline(Document):
    """Train by running a Kubeflow pipeline: a compiled package of this commit, or one known to the KFP API."""

    package: Annotated[
        Annotated[str, Tag(UNION_PREFIX + "path")] | Annotated[NamedPipeline, Tag(UNION_PREFIX + "pipeline")],
        Discriminator(
            _package_kind,
            custom_error_type="invalid-value",
            custom_error_message="write the path of a compiled pipeline in the repository, or {name, version}",
        ),
    ] = Field(description="Path of a compiled pipeline in the repository, or {name, version}.")


class Triggers(Document):
    """When to train."""

    on_change: Flag = Field(default=True, description="Train when the backend or the parameters change in Git.")
    schedule: str | None = Field(default=None, description='Cron, five fields, UTC; for example "0 3 * * 1".')
    max_age: Duration | None = Field(default=None, description="Train when the production version is older.")

    _cron = field_validator("schedule")(check_cron)


class Retries(Document):
    """How often a failed training is tried again under the same key."""

    limit: Count = Field(default=2, ge=0, le=10)
    backoff: Duration = Field(default=parse_duration("10m"), description="Doubles with each attempt.")


class Training(Document):
    """How new versions come to be. Without it nothing is trained."""

    kubeflow_pipeline: KubeflowPipeline
    parameters: dict[str, Json] = Field(default_factory=dict)
    triggers: Triggers = Triggers()
    timeout: Duration = parse_duration("2h")
    retries: Retries = Retries()


class MetricGate(Document):
    """A metric of the version's run against a limit, or against the production version."""

    metric: str = Field(min_length=1)
    min: Number | None = None
    max: Number | None = None
    against: Literal["production"] | None = None
    max_regression: Number | None = Field(default=None, ge=0, description="In the metric's own unit.")
    goal: Literal["maximize", "minimize"] = Field(default="maximize", description="Which direction is better.")

    @model_validator(mode="after")
    def _one_question(self) -> MetricGate:
        if self.against is None and self.max_regression is not None:
            raise ValueError("maxRegression needs `against: production`")
        if self.against is not None and self.max_regression is None:
            raise ValueError("`against: production` needs maxRegression, such as 0.01")
        if self.against is None and self.min is None and self.max is None:
            raise ValueError("a metric gate needs min, max, or `against: production` with maxRegression")
        return self


class TagGate(Document):
    """A tag of the model version that must have one value."""

    tag: str = Field(min_length=1)
    equals: str


class SignatureGate(Document):
    """The candidate still accepts what production's callers send, and answers what they expect."""

    signature: Literal["compatible"]


Gate = MetricGate | TagGate | SignatureGate
_GateByKey = Annotated[
    Annotated[MetricGate, Tag(UNION_PREFIX + "metric")]
    | Annotated[TagGate, Tag(UNION_PREFIX + "tag")]
    | Annotated[SignatureGate, Tag(UNION_PREFIX + "signature")],
    by_key("metric", "tag", "signature"),
]


class Promotion(Document):
    """Which version is wanted, and what it must prove."""

    version: str = Field(
        default="auto",
        pattern=r"^(auto|[1-9][0-9]{0,8})$",
        description='"auto": the newest version that passes the gates; or exactly one, such as "7".',
    )
    gates: tuple[_GateByKey, ...] = Field(default=(), max_length=100)
    approval: Literal["none", "required"] = Field(
        default="none", description="required: waits until Git names the version."
    )

    @cached_property
    def gates_digest(self) -> str:
        """Stand for the rules that a version is held against."""
        return digest([gate.digest for gate in self.gates])


_GIVE_STEPS = "add steps, such as [{traffic: 10, hold: 10m}]"
_NO_STEPS = "leave them out, or write strategy: canary; `steps: []` sets aside those of a policy"
_MEASURE = "write strategy: blueGreen to measure at 0 % first; `analysis: []` sets aside that of a policy"
_HOLD = "give each step its own hold, or write strategy: blueGreen"


def _roomy(least: timedelta) -> str:
    """Write twice as long, in whole hours, or minutes where that is less."""
    unit = timedelta(hours=1) if least >= timedelta(minutes=30) else timedelta(minutes=1)
    return format_duration(unit * math.ceil(2 * least / unit))


class Rollout(Document):
    """How a new version takes over. Without steps it goes from 0 to 100 % once it is ready."""

    strategy: Literal["canary", "blueGreen", "immediate"] | None = Field(
        default=None,
        description="canary: step by step; blueGreen: at 0 % while it is probed, then 100 %; immediate: 100 % once it "
        "is ready, nothing is measured. Default: canary where steps are given, else immediate.",
    )
    steps: tuple[Step, ...] = Field(default=(), max_length=99)
    hold: Hold | None = Field(
        default=None, description="blueGreen: held so long at 0 % before it gets everything; default: 0s."
    )
    analysis: tuple[Check, ...] = Field(default=(), max_length=50)
    deadline: Duration = Field(
        default=parse_duration("1h"),
        description="From the first apply to 100 %; waiting for an approval or a window does not count.",
    )
    on_failure: Literal["rollback", "pause"] = "rollback"
    on_revert: Literal["immediate", "steps"] = Field(
        default="immediate",
        description="Going back to an older version that callers had before: once it is ready, or by the steps.",
    )

    @cached_property
    def course(self) -> tuple[Step, ...]:
        """Return the steps that are taken; probing at 0 % is one, too."""
        if self.strategy == "blueGreen":
            return (Step(traffic=0, hold=timedelta() if self.hold is None else self.hold),)
        return self.steps

    @cached_property
    def least(self) -> timedelta:
        """Return how long the steps take at least, as the deadline counts: it begins anew after an open hold."""
        measured = max((check.passes_after for check in self.analysis if not check.dry_run), default=timedelta())
        longest = stretch = timedelta()
        for step in self.course:
            stretch = stretch + max(step.hold, measured) if isinstance(step.hold, timedelta) else timedelta()
            longest = max(longest, stretch)
        return longest

    @model_validator(mode="after")
    def _may_be_over_in_time(self) -> Rollout:
        if self.course and self.least >= self.deadline:
            least, deadline = format_duration(self.least), format_duration(self.deadline)
            raise refusal(
                "rollout-deadline",
                f"the steps take {least} at least, holds and checks, and the rollout has to be over within {deadline}",
                advice=f"write deadline: {_roomy(self.least)}, so that a candidate may come up slowly, or hold shorter",
            )
        return self

    @model_validator(mode="after")
    def _strategy_fits(self) -> Rollout:
        for wrong, field, what, advice in (
            (self.strategy == "canary" and not self.steps, "strategy", "a canary needs steps", _GIVE_STEPS),
            (self._at_once and bool(self.steps), "steps", f"{self.strategy} takes no steps", _NO_STEPS),
            (self.strategy == "immediate" and bool(self.analysis), "analysis", "immediate measures nothing", _MEASURE),
            (self.hold is not None and self.strategy != "blueGreen", "hold", "only blueGreen has a hold here", _HOLD),
        ):
            if wrong:
                raise refusal("rollout-strategy", what, at=(field,), advice=advice)
        return self

    @model_validator(mode="after")
    def _has_something_to_measure(self) -> Rollout:
        probed = any(check.probe for check in self.analysis)
        for index, check in enumerate(self.analysis):
            template = check.prometheus.template if check.prometheus else None
            if self.strategy == "blueGreen" and template and not probed:
                raise refusal(
                    "rollout-strategy",
                    f"blueGreen sends no callers to the candidate: {template} has nothing to read",
                    at=("analysis", index),
                    advice="add a probe, whose requests are counted too, or write strategy: canary",
                )
        return self

    @property
    def _at_once(self) -> bool:
        return self.strategy in ("blueGreen", "immediate")

    @model_validator(mode="after")
    def _steps_increase(self) -> Rollout:
        for index, (before, after) in enumerate(pairwise(self.steps), start=1):
            if after.traffic <= before.traffic:
                raise refusal(
                    "rollout-steps",
                    "canary steps must increase",
                    at=("steps", index, "traffic"),
                    advice=f"order the steps: {', '.join(map(str, sorted({s.traffic for s in self.steps})))}",
                    label=f"{after.traffic} follows {before.traffic}",
                )
        for index, step in enumerate(self.steps):
            if step.traffic in (0, 100):
                raise refusal(
                    "rollout-steps",
                    "canary steps are between 1 and 99",
                    at=("steps", index, "traffic"),
                    advice="leave this step out: 0 comes before the first, 100 after the last, by itself",
                )
        return self

    @model_validator(mode="after")
    def _checks_have_names_of_their_own(self) -> Rollout:
        names: set[str] = set()
        for index, check in enumerate(self.analysis):
            if check.name in names:
                raise refusal("check-name", f"a second check is named {check.name}", at=("analysis", index, "name"))
            names.add(check.name)
        return self


class OnRemoval(StrEnum):
    """What happens when the spec leaves Git."""

    ARCHIVE = "archive"
    RETAIN = "retain"
    DELETE = "delete"


class Retention(Document):
    """What happens to what is no longer wanted."""

    on_removal: OnRemoval = OnRemoval.ARCHIVE
    prune: Flag = Field(default=True, description="False: nothing of this model is ever taken down or archived.")


class ModelSpec(Document):
    """What is wanted for one model."""

    suspend: Flag = Field(default=False, description="No new action starts; rolling back is still allowed.")
    registered_model: str | None = Field(default=None, min_length=1, description="In MLflow; default: metadata.name.")
    training: Training | None = None
    promotion: Promotion = Promotion()
    serving: Serving | None = Field(default=None, description="Without it the model lives in the registry only.")
    rollout: Rollout = Rollout()
    retention: Retention = Retention()

    @cached_property
    def wanted_digest(self) -> str:
        """Stand for what decides which release is wanted and how it proves itself; training is no part of it."""
        return digest([self.promotion.digest, self.serving.digest if self.serving else None, self.rollout.digest])


class Model(Document):
    """A machine-learning model that Git describes."""

    api_version: Literal["reconciler.dev/v1alpha1"]
    kind: Literal["Model"]
    metadata: Metadata
    spec: ModelSpec

    @model_validator(mode="after")
    def _fits_standard(self) -> Model:
        serving, name = self.spec.serving, self.metadata.name
        if serving is not None and serving.mode is Mode.STANDARD and len(name) > LONGEST_STANDARD_NAME:
            raise refusal(
                "standard-mode",
                f"in Standard mode a name has at most {LONGEST_STANDARD_NAME} characters",
                at=("metadata", "name"),
                advice="shorten it: KServe adds the predictor's name to it, and a label's value has at most 63",
                label=f"{len(name)} characters",
            )
        return self

    @model_validator(mode="after")
    def _metrics_fit_the_mode(self) -> Model:
        serving = self.spec.serving
        if serving is None or serving.mode is not Mode.STANDARD:
            return self
        for index, check in enumerate(self.spec.rollout.analysis):
            flavour = check.prometheus.flavour if check.prometheus else None
            if flavour in ("knative", "knative-otel"):
                raise refusal(
                    "standard-mode",
                    f"metrics of flavour {flavour} come from Knative, which Standard mode does without",
                    at=("spec", "rollout", "analysis", index, "prometheus", "flavour"),
                    advice="write flavour: istio or kserve, or a query of your own",
                )
        return self


class FreezeWindow(Document):
    """A time in which no new action starts; rolling back is still allowed."""

    name: str = Field(min_length=1)
    start: str = Field(description='Cron, five fields, UTC: when the freeze begins; for example "0 18 * * 5".')
    duration: Duration
    models: tuple[Pattern, ...] = Field(default=("*",), max_length=1000, description="Names, `*` as wildcard.")

    _cron = field_validator("start")(check_cron)


class DeletionLimits(Document):
    """Removing more models than both at once stops and asks."""

    models: Count = Field(default=3, ge=0)
    share: Number = Field(default=0.10, ge=0, le=1)


class History(Document):
    """What Git's history may do."""

    rewrites: Literal["refuse", "follow"] = Field(
        default="refuse",
        description="A commit that does not descend from the last one acted on, as after a forced push; "
        "decided by the policy at the last commit acted on.",
    )


class PolicySpec(Document):
    """Rules for every model of the repository."""

    defaults: dict[str, Any] = Field(
        default_factory=dict,
        description="Laid under every Model's spec; `training` and `serving` only where the Model has that section.",
    )
    freezes: tuple[FreezeWindow, ...] = Field(default=(), max_length=100)
    allowed_namespaces: tuple[Pattern, ...] = Field(
        default=("*",), max_length=1000, description="Where models may be served, `*` as wildcard."
    )
    deletion: DeletionLimits = DeletionLimits()
    history: History = History()


class RepositoryPolicy(Document):
    """The one document beside the models that holds for all of them."""

    api_version: Literal["reconciler.dev/v1alpha1"]
    kind: Literal["RepositoryPolicy"]
    metadata: Metadata
    spec: PolicySpec
