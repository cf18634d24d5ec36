"""What every `ensure_*` works with: the decision's input and the systems to act on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.artifact_location import Refusal, storage_uri
from reconciler.desired.digest import digest
from reconciler.desired.state import DesiredModel
from reconciler.errors import Refused, Transient
from reconciler.manifest import serving_fields, standing
from reconciler.observed import (
    TAG_GATES,
    InferenceService,
    Known,
    ModelVersion,
    ObservedModel,
    Order,
    Release,
    ReleaseRecord,
    Stage,
)
from reconciler.plan.facts import Facts
from reconciler.plan.orders import in_force, said
from reconciler.ports import Clock, Jobs, Ledger, Memory, Metrics, Prober, Registry, Serving, Training

After = Mapping[str, Any]
"""What an action leaves behind, for the ledger."""


@dataclass(frozen=True, slots=True)
class Systems:
    """Every port, as bootstrap built them."""

    registry: Registry
    serving: Serving
    training: Training
    prober: Prober
    metrics: Metrics | None
    jobs: Jobs
    ledger: Ledger
    memory: Memory
    clock: Clock
    artifact_destinations: Mapping[str, str]
    settle: timedelta
    """How long a request whose answer was lost may still be carried out, and how old a decision may be carried out."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One action's surroundings: what was wanted and seen when it was decided, and why it was.

    `ordered` returns what people ordered of the model by hand by now.
    """

    facts: Facts
    systems: Systems
    reason: str
    ordered: Callable[[], tuple[Order, ...]]

    @property
    def desired(self) -> DesiredModel:
        """Return what Git wants."""
        return self.facts.desired

    @property
    def observed(self) -> ObservedModel:
        """Return what was seen."""
        return self.facts.observed

    @property
    def name(self) -> str:
        """Return the registered model's name."""
        return self.desired.registered_model

    @property
    def now(self) -> datetime:
        """Return the decision's time."""
        return self.facts.now

    def set_stage(self, number: int, stage: Stage) -> None:
        """Set a version's stage, if the decision still holds."""
        self.in_time()
        self.systems.registry.set_stage(self.name, number, stage, self.in_time)

    def tag(self, number: int, key: str, value: str | None) -> None:
        """Set or remove a version's tag, if the decision still holds."""
        self.in_time()
        self.systems.registry.tag(self.name, number, key, value)

    def tag_model(self, key: str, value: str) -> None:
        """Set the registered model's tag, if the decision still holds."""
        self.in_time()
        self.systems.registry.tag_model(self.name, key, value)

    def delete_registered(self) -> None:
        """Delete the registered model, if the decision still holds."""
        self.in_time()
        self.systems.registry.delete(self.name)

    def in_time(self) -> None:
        """Raise Transient where so much time went by that another replica may have gone on.

        MLflow would not notice, nor would Kubernetes where an object is made: there is no version of it to be bound to.
        """
        age = self.systems.clock() - self.now
        # Below zero the clock was set back, and nobody knows how much time went by.
        if not timedelta() <= age <= self.systems.settle:
            raise Transient(f"this was decided {age.total_seconds():.0f} s ago; it is looked at again")

    def unless_aborted(self) -> None:
        """Raise Transient where the rollout was aborted since this was decided: nobody waits for a measurement then."""
        rollout = self.facts.rollout
        if rollout is None:
            return
        about = (rollout.release, rollout.started)
        abort = in_force(self.ordered(), about, self.facts.wanted, self.systems.clock()).abort
        if abort is not None:
            raise Transient(f"cut off, and no evidence: {said(abort, 'aborted')}")

    def version(self, number: int) -> ModelVersion:
        """Return a version of the registry. Raises Refused when it is gone."""
        version = self.facts.version(number)
        if version is None:
            raise Refused(f"version {number} of {self.name} is not in the registry any more")
        return version

    def proven(self, number: int) -> ModelVersion:
        """Return a version whose passed gates are on record. Raises Refused otherwise: nothing else gets traffic."""
        version = self.version(number)
        if not self.facts.proven(version):
            what = f"version {number} of {self.name} has no passed gates on record (tag {TAG_GATES})"
            raise Refused(what, help="the gates are asked again at the next look")
        return version

    def live(self) -> InferenceService:
        """Return the live object. Raises Refused when it is gone."""
        if self.facts.live is None:
            raise Refused(f"the InferenceService of {self.desired.name} is gone")
        return self.facts.live

    def release_record(self, release: Release) -> ReleaseRecord:
        """Return what is applied for a release: as it was applied before, else as Git and the registry say now.

        Raises Refused where the artifact is not where KServe can fetch it, or the release's template is not known.
        """
        kept = self.systems.memory.releases(self.desired.name).get(release)
        if kept is not None:
            return kept
        serving = self.desired.spec.serving
        fields = serving_fields(serving) if serving else {}
        if digest(fields) != release.template:
            raise Refused(
                f"the serving fields of release {release} are not on record, and Git says something else by now",
                help="set the spec back to what served, or delete the InferenceService to deploy it anew",
            )
        return standing(ReleaseRecord(release, self._storage_uri(release.version), fields), self.facts.live)

    def _storage_uri(self, number: int) -> str:
        version = self.version(number)
        reading = self.observed.evidence.get(number)
        evidence = reading.value if isinstance(reading, Known) else self.systems.registry.evidence(self.name, version)
        found = storage_uri(evidence.artifact_uri, self.systems.artifact_destinations)
        if isinstance(found, Refusal):
            raise Refused(f"version {number} of {self.name}: {found.message}", help=found.help)
        return found.uri
