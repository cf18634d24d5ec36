"""What the systems say, as frozen values. Unknown is never Absent: absent is `Known(None)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

T = TypeVar("T")

TAG_PREFIX = "reconciler.dev/"
TAG_TRAINING_KEY = TAG_PREFIX + "training-key"
TAG_GATES = TAG_PREFIX + "gates"
TAG_ROLLOUT = TAG_PREFIX + "rollout"
TAG_REJECTED = TAG_PREFIX + "rejected"
TAG_RELEASE = TAG_PREFIX + "release"
TAG_MANAGED = TAG_PREFIX + "managed-by"
LABEL_RELEASE = TAG_PREFIX + "release"
LABEL_MODEL = TAG_PREFIX + "model"
MANAGER = "model-reconciler"
KNATIVE = "Knative"
STANDARD = "Standard"


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """An answer, and when it was true."""

    value: T
    at: datetime


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer that can be trusted, and why."""

    why: str
    since: datetime | None = None


class Stage(StrEnum):
    """MLflow's registry stages."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version in the registry; `aliases` are those that point at it."""

    version: int
    stage: Stage
    aliases: frozenset[str]
    tags: Mapping[str, str]
    run_id: str
    source: str
    created_at: datetime
    ready: bool = True


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model with all its versions, oldest first."""

    name: str
    versions: tuple[ModelVersion, ...]
    tags: Mapping[str, str] = field(default_factory=dict)

    def get(self, version: int) -> ModelVersion | None:
        """Return that version, or None."""
        return next((v for v in self.versions if v.version == version), None)


@dataclass(frozen=True, slots=True)
class Column:
    """One input or output of a model: `type` is MLflow's name of it, or a tensor's dtype and shape."""

    name: str | None
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a model."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class VersionEvidence:
    """What is read of a version only when a decision asks: metrics may hold nan and inf."""

    metrics: Mapping[str, float]
    artifact_uri: str
    signature: Signature | None = None


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """What callers get: a model version served by a template (digest of the serving fields)."""

    version: int
    template: str

    def __str__(self) -> str:
        """Write it as the label's value, such as 2-4f2c1ab09d."""
        return f"{self.version}-{self.template}"

    @staticmethod
    def parse(text: str | None) -> Release | None:
        """Read a label's value; None for anything that we did not write."""
        found = _RELEASE.fullmatch(text) if isinstance(text, str) else None
        return Release(int(found[1]), found[2]) if found else None


# A label's value has at most 63 characters. Digits are those of ASCII: there are others that int() takes, or does not.
_RELEASE = re.compile(r"([0-9]{1,10})-([0-9A-Za-z]{1,52})")


@dataclass(frozen=True, slots=True)
class TrafficTarget:
    """One entry of the InferenceService's effective traffic; `percent` 0..100."""

    revision: str
    percent: int
    tag: str | None = None
    latest: bool = False
    url: str | None = None


@dataclass(frozen=True, slots=True)
class HeldField:
    """A field that another manager holds: `path` is made of the elements of fieldsV1, such as f:spec."""

    path: tuple[str, ...]
    manager: str
    value: Any

    @property
    def dotted(self) -> str:
        """Write the path for people."""
        steps = (f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]" for step in self.path)
        return "".join(steps).removeprefix(".")


@dataclass(frozen=True, slots=True)
class InferenceService:
    """One live InferenceService, as its watch last showed it.

    `ours` is true when our field manager created it and our label names the model. `release` is what spec asks for
    (our label in the predictor); `revisions` maps revision names to the release in their label, None where the
    cluster does not serve Knative revisions. `failure` is set only for states that need a change of the spec
    (`terminal`) or that may pass. `held` are the fields of an object of ours that others hold. `unready` are
    revisions that say themselves that they are not ready, `unready_since` since when where they say so. Of an object
    that is not ours, `tracked` says which tool keeps it as it is ("" for none), and `found` what it serves, as serving
    fields.

    In Standard mode a revision is the Deployment of one predictor, `release` that of the canary where there is one, and
    `beside` then that of spec.predictor; `splits` is false where nothing can route shares, `listed` true where the
    HTTPRoute names the canary, whatever its share. `applied_at` is when an apply of ours last changed something, by the
    cluster's clock. `routed` is false while what stands between callers and pods has not taken up, or refuses, the
    shares that `traffic` tells. `canaries` is false where KServe was found to keep none in Standard mode. `short` are
    Deployments that Kubernetes calls unavailable or stuck, with how many pods they have; `steady_since` tells of the
    others since when they are not. `canary_pods` is how many the canary is asked to have, and `available` how many
    every Deployment has.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    ours: bool
    owner: str
    release: Release | None
    canary_percent: int | None
    ready: bool
    message: str
    traffic: tuple[TrafficTarget, ...]
    latest_created: str | None
    latest_ready: str | None
    latest_rolledout: str | None
    revisions: Mapping[str, Release | None] | None
    url: str | None = None
    failure: Failure | None = None
    deleting: bool = False
    held: tuple[HeldField, ...] = ()
    unready: frozenset[str] = frozenset()
    unready_since: Mapping[str, datetime] = field(default_factory=dict)
    tracked: str = ""
    found: Mapping[str, Any] | None = None
    mode: str = KNATIVE
    beside: Release | None = None
    splits: bool = True
    listed: bool = False
    applied_at: datetime | None = None
    routed: bool = True
    canaries: bool = True
    short: Mapping[str, str] = field(default_factory=dict)
    steady_since: Mapping[str, datetime] = field(default_factory=dict)
    canary_pods: int = 0
    available: Mapping[str, int] = field(default_factory=dict)

    @property
    def standard(self) -> bool:
        """Return whether it runs in Standard mode, where the stable version and the canary are two predictors."""
        return self.mode == STANDARD

    @property
    def succeeded(self) -> bool:
        """Return whether the predictor beside a canary is of the canary's release already, which was promoted so."""
        return self.beside is not None and self.beside == self.release

    @property
    def awaited(self) -> str | None:
        """Return the revision that has to come up: the newest one, or stable that is made what its canary is."""
        return self.latest_rolledout or self.latest_created if self.succeeded else self.latest_created


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an InferenceService or a revision does not become ready."""

    reason: str
    message: str
    terminal: bool


class RunState(StrEnum):
    """States of a training run, of every backend."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One attempt to train under a key; attempts count from 1."""

    key: str
    attempt: int
    run_id: str
    state: RunState
    created_at: datetime
    finished_at: datetime | None = None
    cause: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A compiled pipeline: its bytes and where they stand in the repository."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PipelineVersion:
    """A pipeline version known to the KFP API."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """Everything a backend needs to train once; `started_as` is the run on record for it, where there is one."""

    model: str
    key: str
    attempt: int
    registered_model: str
    pipeline: Package | PipelineVersion
    parameters: Mapping[str, Any]
    timeout: timedelta
    started_as: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of a probe answered: latencies in milliseconds of the answers that came."""

    requests: int
    errors: int
    latencies_ms: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Metered:
    """What one side's query said: `value` None where there is nothing to judge, and then `why`.

    `samples` is None where nobody counts requests, and `count_query` then "".
    """

    query: str
    value: float | None
    samples: int | None = None
    why: str = ""
    count_query: str = ""


@dataclass(frozen=True, slots=True)
class Metering:
    """The same query of both sides over the same window, which ends at the same instant."""

    candidate: Metered
    stable: Metered
    window_seconds: float


@dataclass(frozen=True, slots=True)
class JobRun:
    """A Job of a check; `exit_code` None while it runs."""

    name: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One interval of one check of a rollout step; `compared` answers were held against others, `agreed` matched.

    Of the `shape_compared` answers whose schema was held against stable's, `shape_agreed` have the same.

    `error` is set when the check itself could not be made: such a measurement counts as none, and its `metering` says
    no more than what was asked. `question` stands for what was asked (desired/question.py), "" where that was not
    written down yet. It is of the instant `at`, and was over when it `ended`. `forgotten` failures of its check in this
    step came before it, and are not kept one by one any more.
    """

    check: str
    release: Release
    step: int
    at: datetime
    candidate: Side
    stable: Side
    compared: int = 0
    agreed: int = 0
    error: str | None = None
    metering: Metering | None = None
    shape_compared: int = 0
    shape_agreed: int = 0
    job: JobRun | None = None
    question: str = ""
    ended: datetime | None = None
    forgotten: int = 0

    @property
    def over_at(self) -> datetime:
        """Return when it was over; of an older release only its instant is known."""
        return self.ended or self.at


@dataclass(frozen=True, slots=True)
class Rejection:
    """A release that was rolled back, under which wishes, and why; `rollout` is when that rollout was started."""

    release: Release
    wanted: str
    reason: str
    at: datetime
    rollout: datetime | None = None


class OrderKind(StrEnum):
    """What a person may order by hand."""

    ABORT = "abort"
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Order:
    """What a person ordered by hand, and for what alone; it means nothing for anything that comes later.

    Of a rollout: `release`, and `rollout`, when it was started. Of a rejection: `release` and `rejected_at`. Of a
    failed training: `key` and `attempt`. Of an approval: `version`, or a rollout's `step`. `wanted` are the wishes it
    was given under.
    """

    kind: OrderKind
    actor: str
    reason: str
    at: datetime
    wanted: str
    release: Release | None = None
    rollout: datetime | None = None
    rejected_at: datetime | None = None
    version: int | None = None
    key: str = ""
    attempt: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Meant:
    """What an order is meant for: `version` 0 for what is about none, `step` 0 for what is about no step."""

    version: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class By:
    """Who orders, why, and for what as he was shown it; `meant` None for whatever is there when it arrives."""

    actor: str
    reason: str
    meant: Meant | None = None


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """What was applied for a release, kept so that it can be restored: serving fields and storageUri."""

    release: Release
    storage_uri: str
    serving: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Memory:
    """What the ledger's database remembers of one model.

    `measurements` are those of the rollout in progress; `put_backs` the times of the last hour at which drift was
    put back; `orders` what people ordered by hand, oldest first.
    """

    rejections: tuple[Rejection, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    put_backs: tuple[datetime, ...] = ()
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Until when requests whose answers were lost may still be carried out; `archives`: a version may be archived."""

    until: datetime
    archives: bool = False


@dataclass(frozen=True, slots=True)
class ObservedModel:
    """Everything that deciding about one model may look at.

    `drift` names the fields that we own and whose live value differs; read only where the planner asks for it.
    `unmetered` is why nobody can be asked for metrics, "" if somebody can.
    `strays` are our InferenceServices of this model outside the wanted namespace. `unsettled` tells of requests
    about this model whose answers were lost. `records` are what was applied for releases, read only where others
    hold fields of the object or Git wants other serving fields; `locations` where the versions' artifacts lie, as
    KServe fetches them, read only where an object that is not ours is to be adopted, or stands where a removed model
    was to be served.
    """

    registry: Known[RegisteredModel | None] | Unknown
    serving: Known[InferenceService | None] | Unknown
    runs: Known[tuple[TrainingRun, ...]] | Unknown
    evidence: Mapping[int, Known[VersionEvidence] | Unknown] = field(default_factory=dict)
    drift: Known[tuple[str, ...]] | Unknown | None = None
    strays: tuple[InferenceService, ...] = ()
    unmetered: str = ""
    memory: Memory = field(default_factory=Memory)
    unsettled: Unsettled | None = None
    records: Mapping[Release, ReleaseRecord] = field(default_factory=dict)
    locations: Mapping[int, str] | Unknown = field(default_factory=dict)
