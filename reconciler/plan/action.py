"""Everything that the reconciler can do, one frozen value a kind.

Each is repeatable without harm: it names the state to reach, never a change relative to what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reconciler.observed import Release, Stage


@dataclass(frozen=True, slots=True)
class Train:
    """Start a training run for this key and attempt."""

    key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StopTraining:
    """Stop a run that nobody wants any more, or that takes too long."""

    run_id: str
    key: str


@dataclass(frozen=True, slots=True)
class RecordGates:
    """Put a version's verdict on record: `verdict` is "passed <digest>" or "failed <digest>"."""

    version: int
    verdict: str


@dataclass(frozen=True, slots=True)
class Deploy:
    """Serve for the first time: all traffic goes to this release once it is ready."""

    release: Release


@dataclass(frozen=True, slots=True)
class Adopt:
    """Make ours an InferenceService that exists and serves this release already."""

    release: Release
    uid: str


@dataclass(frozen=True, slots=True)
class StageCandidate:
    """Make the version the one candidate, and record which revision is stable while it is on its way."""

    release: Release
    stable: Release
    stable_revision: str


@dataclass(frozen=True, slots=True)
class StartCanary:
    """Apply the candidate with 0 % of the traffic."""

    release: Release


@dataclass(frozen=True, slots=True)
class ShiftTraffic:
    """Give the candidate this share of the traffic, in an apply that touches nothing else."""

    release: Release
    percent: int
    stable_revision: str


@dataclass(frozen=True, slots=True)
class ScaleCanary:
    """Ask for the pods that the candidate's next share needs, while it keeps the share that it has."""

    release: Release
    percent: int
    pods: int
    stable_revision: str


@dataclass(frozen=True, slots=True)
class BeginStep:
    """Record that this step's traffic is effective; its hold counts from now. Steps count from 1."""

    release: Release
    step: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Analyse:
    """Measure one check of the running step."""

    release: Release
    step: int
    check: str


@dataclass(frozen=True, slots=True)
class RouteAll:
    """Give the proven candidate all traffic by removing the canary split."""

    release: Release
    stable_revision: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Make the version the only one in Production; the one before is archived in the same write."""

    version: int
    release: Release | None


@dataclass(frozen=True, slots=True)
class Archive:
    """Archive a version that gets no traffic and is no candidate."""

    version: int


@dataclass(frozen=True, slots=True)
class CutTraffic:
    """Roll back, first half: the candidate gets 0 % at once. Its intent on the ledger is already the rejection.

    `started` tells which rollout of the release is meant: it is the one that is never resumed.
    """

    release: Release
    wanted: str
    started: datetime


@dataclass(frozen=True, slots=True)
class RestoreStable:
    """Roll back, second half: apply the stable release again with 0 %, so that it becomes the latest revision."""

    release: Release


@dataclass(frozen=True, slots=True)
class FinishRollback:
    """Roll back, end: the restored stable release is ready; remove the split."""

    release: Release


@dataclass(frozen=True, slots=True)
class Reject:
    """End a rolled-back rollout: mark the version rejected, with the evidence; it ends in `stage`."""

    release: Release
    wanted: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Withdraw:
    """End a rollout that is no longer wanted, without blame; the version ends in `stage`."""

    release: Release
    stage: Stage


@dataclass(frozen=True, slots=True)
class PutBack:
    """Apply the live release again because fields that we own drifted."""

    release: Release
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakeDown:
    """Delete an InferenceService of ours that is no longer wanted."""

    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class ArchiveAll:
    """Archive every version of a model that left Git."""

    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeleteModel:
    """Delete the registered model of a spec that left Git and said `onRemoval: delete`."""


@dataclass(frozen=True, slots=True)
class LetGo:
    """Forget a model that left Git and of which nothing is left to do."""


Action = (
    Adopt | Train | StopTraining | RecordGates | Deploy | StageCandidate | StartCanary | ShiftTraffic | ScaleCanary
    | BeginStep | Analyse | RouteAll | Promote | Archive | CutTraffic | RestoreStable | FinishRollback | Reject
    | Withdraw | PutBack | TakeDown | ArchiveAll | DeleteModel | LetGo
)  # fmt: skip
