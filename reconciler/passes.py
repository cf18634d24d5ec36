"""What the service asks of the reconciler: one pass over one model at a time. Implemented by `reconciler.reconcile`.

Every method may be called from any thread. `reconcile` is never called twice at once for the same name, but for
different names at the same time; `refresh_source` and `refresh_registry` are each called by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.errors import ReconcilerError
from reconciler.observed import By, OrderKind
from reconciler.status import ModelStatus, OrderAnswer, SystemStatus

GIT, REGISTRY, SERVING, TRAINING, LEDGER = SYSTEMS = ("git", "registry", "serving", "training", "ledger")

Changed = Callable[[str, str], None]
"""Called with namespace and name of an InferenceService that a watch saw change; returns at once."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step for one model.

    `status` None: the model is not known any more (it was let go), nothing is kept of it. `acted` is the kind of the
    action that was carried out, or tried: the model is stepped again at once, unless there is an `error`, which is
    backed off. `look_again_at` None: only an event, or the periodic look, leads to another step.
    """

    status: ModelStatus | None
    acted: str | None = None
    error: ReconcilerError | None = None
    look_again_at: datetime | None = None


class Reconciler(Protocol):
    """Observes, decides and acts, one model and one action at a time."""

    def refresh_source(self) -> frozenset[str]:
        """Fetch Git; return the models whose wishes changed (all of them the first time). Never raises for Git."""

    def refresh_registry(self) -> frozenset[str]:
        """Read the registry in bulk; return the models whose picture changed. Never raises for the registry."""

    def reconcile(self, name: str) -> StepResult:
        """Look at one model, decide, and do at most one action. Expected failures are in the result, not raised."""

    def order(self, name: str, kind: OrderKind, by: By) -> OrderAnswer:
        """Put what a person orders by hand on the ledger; from then on it counts. May be called while it is stepped.

        Raises Refused where there is nothing to order so, or another thing than was meant; Transient where nothing was
        recorded.
        """

    def names(self) -> frozenset[str]:
        """Return all known models, also those that left Git and are still being taken down."""

    def model_of(self, namespace: str, name: str) -> str | None:
        """Return the model that an InferenceService belongs to, None when it is none of ours."""

    def statuses(self) -> Mapping[str, ModelStatus]:
        """Return the last status of every model that was looked at."""

    def status_of_systems(self) -> Mapping[str, SystemStatus]:
        """Return how each of SYSTEMS answers."""
