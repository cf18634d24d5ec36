"""Every boundary of the reconciler on one page. Adapters raise only the errors of `reconciler.errors`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from reconciler.desired.state import Commit, DesiredModel, DesiredState
from reconciler.observed import (
    Failure,
    InferenceService,
    Known,
    ModelVersion,
    RegisteredModel,
    Release,
    ReleaseRecord,
    Side,
    Stage,
    TrainingRequest,
    TrainingRun,
    Unknown,
    VersionEvidence,
)

Clock = Callable[[], datetime]
"""Returns the time now, in UTC."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How the source stands: the last good commit, and since when and why fetching fails, if it does.

    `rewritten_from` is the commit acted on last, where `commit` does not descend from it and is followed by consent;
    `refused` is a commit that was found and is not followed for want of it. `line` stands for repository, ref and path:
    what was acted on is remembered for each line.
    """

    commit: Commit | None
    fetched_at: datetime | None
    failing_since: datetime | None = None
    error: str = ""
    rewritten_from: str | None = None
    refused: str | None = None
    line: str = ""


class Source(Protocol):
    """A Git repository of specs."""

    def fetch(self) -> SourceStatus:
        """Fetch; never raises for a failed fetch: the status says since when and why."""

    def desired(self) -> DesiredState | None:
        """Return the desired state at the last good commit (None before the first), parsing only changed blobs."""


class Registry(Protocol):
    """The MLflow model registry."""

    def read_all(self) -> Mapping[str, RegisteredModel]:
        """Return every registered model with all versions, by two bulk reads."""

    def read(self, name: str) -> RegisteredModel | None:
        """Return one model as it is now, None when the registry says that it does not exist."""

    def evidence(self, name: str, version: ModelVersion) -> VersionEvidence:
        """Return metrics, artifact location and signature of a version."""

    def artifact(self, name: str, version: int, path: str) -> bytes | None:
        """Return one small file of the version's artifact (at most 4 MiB), None when there is no such file."""

    def input_rows(self, name: str, version: int) -> Sequence[Any] | None:
        """Return the rows of the version's input example, None when none was logged."""

    def set_stage(self, name: str, version: int, stage: Stage, still: Callable[[], None] = lambda: None) -> None:
        """Make the version's stage and alias so; for Production and Staging every other holder loses it, atomically.

        `still` is called before each of the writes that this takes, and raises where it is not to be made any more.
        """

    def tag(self, name: str, version: int, key: str, value: str | None) -> None:
        """Set a version's tag, or remove it when `value` is None."""

    def tag_model(self, name: str, key: str, value: str | None) -> None:
        """Set a registered model's tag, or remove it when `value` is None."""

    def delete(self, name: str) -> None:
        """Delete a registered model with its versions. Absent already is success."""


class Serving(Protocol):
    """KServe, read from a watch cache."""

    @property
    def namespaces(self) -> Collection[str]:
        """Return the namespaces that `read_all` covers; none for all of them."""

    def read_all(self) -> Known[Mapping[tuple[str, str], InferenceService]] | Unknown:
        """Return all that it covers by (namespace, name), or why the cache cannot be trusted. No call is made."""

    def drift(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the fields of `manifest` whose live value differs, by a server-side-apply dry run."""

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Server-side apply without force, and wait until the watch has shown the result. Raises Conflict."""

    def trouble(self, live: InferenceService) -> Failure | None:
        """Return why the pods of the newest revision are not ready, asking the API at most every few seconds."""

    def take_over(self, manifest: Mapping[str, Any]) -> None:
        """Apply onto an object of ours, by force: what others hold of these fields is ours afterwards."""

    def adopt(self, manifest: Mapping[str, Any]) -> None:
        """Make ours the object that `manifest` names by uid and resourceVersion; refused while a tool tracks it."""

    def delete(self, namespace: str, name: str, uid: str) -> None:
        """Delete that very object (by uid). Absent already is success."""


class Training(Protocol):
    """A training backend."""

    @property
    def settle_seconds(self) -> float:
        """Return how long a request whose answer was lost may still land."""

    def runs(self, model: str) -> tuple[TrainingRun, ...]:
        """Return the model's runs, oldest first."""

    def ensure_started(self, request: TrainingRequest) -> TrainingRun:
        """Start the run of this key and attempt, or return the one that exists."""

    def ensure_stopped(self, model: str, run_id: str) -> None:
        """Stop a run. Ended already is success."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Where to send inference requests: `url` is the base that KServe reports, `protocol` v1 or v2."""

    url: str
    model: str
    protocol: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one target answered: one answer per input row sent, None where the request failed."""

    side: Side
    answers: tuple[Any, ...]


class Prober(Protocol):
    """Sends inference requests."""

    def probe(
        self, target: ProbeTarget, rows: Sequence[Any], requests: int, before_each: Callable[[], None]
    ) -> ProbeResult:
        """Send `requests` single-row requests, cycling over `rows`; a failed request is an error of that side.

        What `before_each` raises ends the probe: nothing more is sent, and it is raised. Threads call it.
        """


@dataclass(frozen=True, slots=True)
class Reading:
    """What a query answered: one finite number, or none, and then `why`."""

    value: float | None
    why: str = ""


class Metrics(Protocol):
    """Prometheus, or what speaks its query API."""

    def value(self, query: str, at: datetime, lookback: timedelta) -> Reading:
        """Evaluate a query at an instant, over values of at most that age.

        No series, NaN and what was evaluated at another time are no value. Raises Refused for a query that cannot
        have one number as its answer, Transient where nobody answers, or only in part.
        """


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A Job to run: `name` is the same for the same run, `model` who it belongs to."""

    namespace: str
    name: str
    model: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    timeout: timedelta


class Jobs(Protocol):
    """Kubernetes Jobs of ours."""

    def exit_code(self, request: JobRequest) -> int | None:
        """Begin the job unless it was begun; return how it ended, None before.

        Raises Refused where it ended without an exit code; then it is removed.
        """

    def remove(self, namespace: str, name: str) -> None:
        """Delete the job. Absent already is success."""


class Moment(StrEnum):
    """Which side of an action an entry records; a note stands alone."""

    INTENT = "intent"
    OUTCOME = "outcome"
    NOTE = "note"


class Result(StrEnum):
    """How an action ended."""

    PENDING = "Pending"
    DONE = "Done"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be recorded. `attempt_of` is the sequence number of the intent that an outcome belongs to.

    `evidence`, `before` and `after` are JSON values; `duration_ms` is the action's.
    """

    at: datetime
    moment: Moment
    model: str
    action: str
    reason: str
    commit: str = ""
    author: str = ""
    result: Result = Result.PENDING
    evidence: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    attempt_of: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it stands on the ledger: `hash` covers the entry, `seq` and `previous`."""

    seq: int
    entry: Entry
    previous: str
    hash: str


class Ledger(Protocol):
    """The append-only, hash-chained record."""

    def append(self, entry: Entry) -> Recorded:
        """Record an entry durably before returning. Raises Transient when it cannot: then nothing may be done."""

    def entries(
        self,
        *,
        model: str | None = None,
        actions: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        after_seq: int = 0,
        limit: int | None = None,
    ) -> Sequence[Recorded]:
        """Return entries in order of their sequence number; with `limit`, the newest so many."""


class Memory(Protocol):
    """What must survive a restart and is no evidence: last good specs, releases, claims, the commit acted on."""

    def last_good(self) -> Mapping[str, DesiredModel]:
        """Return the last good spec of every model that was ever taken over and not let go."""

    def remember(self, models: Iterable[DesiredModel]) -> None:
        """Keep these as the last good specs."""

    def forget(self, model: str, keep: Collection[Release] = ()) -> None:
        """Let go of a model, at once: its last good spec, and its releases but those to keep."""

    def releases(self, model: str) -> Mapping[Release, ReleaseRecord]:
        """Return what was applied for each release of a model."""

    def keep_release(self, model: str, record: ReleaseRecord) -> None:
        """Keep what is about to be applied for a release."""

    def claim(self, key: str, at: datetime) -> bool:
        """Claim a unique key; False when it was claimed before."""

    def acted_on(self, line: str) -> str | None:
        """Return the last commit of this line of Git that may have been acted on, None before the first."""

    def act_on(self, line: str, commit: str) -> None:
        """Keep which commit is acted on from now on; it is kept before the first action."""
