"""What happens when: wake-ups in, steps out. Runs nothing itself; workers, readers and timers call it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from threading import Lock

from reconciler.errors import ReconcilerError, UnknownOutcome
from reconciler.logs import bound, get_logger
from reconciler.metrics import Metrics
from reconciler.passes import GIT, REGISTRY, Reconciler, StepResult
from reconciler.ports import Clock
from reconciler.scheduler.backoff import Backoff
from reconciler.scheduler.first_look import FirstLook, unknown_systems
from reconciler.scheduler.lanes import Urgency
from reconciler.scheduler.queue import Monotonic, WorkQueue
from reconciler.status import Phase

_log = get_logger(__name__)

# No convergence takes so many actions without a wait: more is a fault, which must not keep a worker to itself.
MOST_ACTIONS_IN_A_ROW = 100
# A look that is due already comes so late: should each ask for the next one at once, others get their turn. In seconds.
SHORTEST_DELAY = 0.1


class Loop:
    """Turns events into queued models, and results of steps into timers."""

    def __init__(
        self,
        *,
        reconciler: Reconciler,
        queue: WorkQueue,
        backoff: Backoff,
        metrics: Metrics,
        clock: Clock,
        monotonic: Monotonic,
        slots: int,
    ) -> None:
        self._reconciler = reconciler
        self._queue = queue
        self._backoff = backoff
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._first_look = FirstLook()
        self._lock = Lock()
        self._unread = {GIT, REGISTRY}
        self._working_systems: dict[str, bool] = {}
        self._training: set[str] = set()
        self._acts: dict[str, int] = {}
        self._slots = slots
        self._slot = 0
        self._last_beat = monotonic()

    # Wake-ups

    def wake(self, name: str) -> None:
        """Have a model looked at soon, also when it is being held back after a failure."""
        self._queue.add(name, Urgency.DEMAND)

    def wake_service(self, namespace: str, name: str) -> None:
        """Have the model of an InferenceService looked at soon; services of others are ignored."""
        model = self._reconciler.model_of(namespace, name)
        if model is not None:
            self._queue.add(model, Urgency.EVENT)

    def read_source(self) -> None:
        """Fetch Git, and wake the models whose wishes changed."""
        self._read(GIT, self._reconciler.refresh_source, Urgency.DEMAND)

    def read_registry(self) -> None:
        """Read the registry, and wake the models whose picture changed."""
        self._read(REGISTRY, self._reconciler.refresh_registry, Urgency.EVENT)

    def look_around(self) -> None:
        """Queue the models of the next slot."""
        self._slot = (self._slot + 1) % self._slots
        for name in self._reconciler.names():
            if slot_of(name, self._slots) == self._slot:
                self._queue.add(name, Urgency.ROUTINE)

    def poll_training(self) -> None:
        """Queue the models that are being trained."""
        with self._lock:
            training = tuple(self._training)
        self._add_all(training, Urgency.EVENT)

    def beat(self) -> None:
        """Note that the timers run; wake all models when a system answers again, or is known for the first time."""
        self._last_beat = self._monotonic()
        self._see_systems()

    # Steps

    def handle(self, name: str) -> None:
        """Step one model; whatever goes wrong with it stays with it."""
        started = self._monotonic()
        counts = self._first_look.counting
        with bound(model=name):
            result = self._step(name)
        if counts:
            self._first_look.looked(name)
        self._metrics.passed(result, self._monotonic() - started)

    def _step(self, name: str) -> str:
        try:
            return self._settle(name, self._reconciler.reconcile(name))
        except ReconcilerError as error:
            self._hold(name, error, None)
            return "failed"
        except Exception:  # noqa: BLE001  the one edge of a model: a fault in one must not stop the others
            _log.exception("the pass failed in a way nobody expected; the model is tried again later")
            self._hold(name, None, None)
            return "crashed"

    def _settle(self, name: str, result: StepResult) -> str:
        self._note_phase(name, result)
        if result.acted is not None:
            self._metrics.acted(result.acted, _outcome(result.error))
        if result.error is not None:
            self._hold(name, result.error, result)
            return "failed"
        self._backoff.succeeded(name)
        if result.acted is None:
            self._acts.pop(name, None)
            self._queue.settle(name, self._delay(result.look_again_at))
            return "settled"
        return self._go_on(name, result.acted)

    def _go_on(self, name: str, acted: str) -> str:
        _log.info("acted", action=acted)
        self._acts[name] = self._acts.get(name, 0) + 1
        if self._acts[name] >= MOST_ACTIONS_IN_A_ROW:
            _log.error("acts without end; the model is held back", action=acted, actions=self._acts.pop(name))
            self._hold(name, None, None)
            return "failed"
        self._queue.settle(name, None)
        self._queue.add(name, Urgency.EVENT)
        return "acted"

    def _hold(self, name: str, error: ReconcilerError | None, result: StepResult | None) -> None:
        delay = self._backoff.failed(name, error)
        self._queue.hold(name, delay, self._delay(result.look_again_at) if result else None)
        if error is not None:
            _log.warning(
                error.message,
                help=error.help,
                error=type(error).__name__,
                action=result.acted if result else None,
                failures=self._backoff.failures(name),
                retry_in_seconds=round(delay, 3),
            )

    def _note_phase(self, name: str, result: StepResult) -> None:
        with self._lock:
            if result.status is not None and result.status.phase is Phase.TRAINING:
                self._training.add(name)
            else:
                self._training.discard(name)

    def _delay(self, at: datetime | None) -> float | None:
        return None if at is None else max((at - self._clock()).total_seconds(), SHORTEST_DELAY)

    # Reads

    def _read(self, system: str, refresh: Callable[[], frozenset[str]], urgency: Urgency) -> None:
        changed: frozenset[str] = frozenset()
        try:
            changed = refresh()
        finally:
            self._after_read(system, changed, urgency)

    def _after_read(self, system: str, changed: frozenset[str], urgency: Urgency) -> None:
        with self._lock:
            first = system in self._unread
            self._unread.discard(system)
            complete = not self._unread
        # Deciding with half a picture would only say Unknown: the first look waits until both were tried.
        if complete:
            self._add_all(self._reconciler.names() if first else changed, urgency)
        self._see_systems()

    def _see_systems(self) -> None:
        systems = self._reconciler.status_of_systems()
        with self._lock:
            if self._unread:
                return
            recovered = [name for name, system in systems.items() if system.ok and not self._was_working(name)]
            self._working_systems = {name: system.ok for name, system in systems.items()}
        if self._first_look.begin(systems) or recovered:
            self._add_all(self._reconciler.names(), Urgency.EVENT)

    def _was_working(self, system: str) -> bool:
        return self._working_systems.get(system, True)

    def _add_all(self, names: Iterable[str], urgency: Urgency) -> None:
        for name in names:
            self._queue.add(name, urgency)

    # How it stands

    def beat_age(self) -> float:
        """Return the seconds since the timers last ran."""
        return self._monotonic() - self._last_beat

    def unready(self) -> tuple[str, ...]:
        """Return what is missing from the first full observation, one sentence each; empty once it was complete."""
        if self._first_look.complete:
            return ()
        unknown = unknown_systems(self._reconciler.status_of_systems())
        names = self._reconciler.names()
        missing = self._first_look.missing(names)
        if self._first_look.complete:
            return ()
        if missing:
            return (*unknown, f"{missing} of {len(names)} models have not been looked at yet")
        return unknown or ("the first look has not begun yet",)


def slot_of(name: str, slots: int) -> int:
    """Return the slot in which a model has its periodic look: evenly spread, and the same after a restart."""
    return zlib.crc32(name.encode()) % slots


def _outcome(error: ReconcilerError | None) -> str:
    if error is None:
        return "done"
    return "unknown" if isinstance(error, UnknownOutcome) else "failed"
