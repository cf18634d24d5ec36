"""Which revisions need a server now; Knative's autoscaler reduced to one replica or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reconciler.demo.kserve.pods import Absent, Broken, Order, Pods, RevisionId
from reconciler.demo.kserve.router import Router

_DRAIN_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Demand:
    """A revision of one service: `routed` by a share or a tag, however small, or still to get ready."""

    order: Order
    routed: bool
    pending: bool
    min_scale: int


class Scaler:
    """Starts what is needed, and stops the rest once nothing is in flight there any more."""

    def __init__(
        self,
        pods: Pods,
        router: Router,
        clock: Callable[[], float],
        scale_down_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._pods = pods
        self._router = router
        self._clock = clock
        self._scale_down = scale_down_seconds
        self._idle = idle_seconds
        self._needed_at: dict[RevisionId, float] = {}

    def apply(self, demands: Iterable[Demand]) -> float | None:
        """Start and stop; return after how many seconds to look again, if at all."""
        waits = [self._apply(demand) for demand in demands]
        return min((wait for wait in waits if wait is not None), default=None)

    def _apply(self, demand: Demand) -> float | None:
        revision, now = demand.order.revision, self._clock()
        wanted_for = self._wanted_for(demand, now)
        if wanted_for > 0:
            return self._start(demand.order, wanted_for, now)
        if isinstance(self._pods.state(revision), Absent):
            return None
        if self._router.in_flight(revision):
            return _DRAIN_POLL_SECONDS
        self._router.backend(revision, None)
        self._pods.stop(revision)
        return 0.0  # the next pass writes that it is at zero

    def _start(self, order: Order, wanted_for: float, now: float) -> float | None:
        self._pods.ensure(order)
        state = self._pods.state(order.revision)
        if isinstance(state, Broken):
            wanted_for = min(wanted_for, max(state.retry_at - now, 0.0))
        return wanted_for if wanted_for != float("inf") else None

    def _wanted_for(self, demand: Demand, now: float) -> float:
        """Seconds that the revision is still wanted; not above 0 when it may go."""
        revision = demand.order.revision
        if demand.pending or (demand.routed and demand.min_scale > 0):
            self._needed_at[revision] = now
            return float("inf")
        if demand.routed:
            first = self._needed_at.setdefault(revision, now)
            return max(first, self._router.last_used(revision) or first) + self._idle - now
        last = self._needed_at.get(revision)
        return last + self._scale_down - now if last is not None else 0.0
