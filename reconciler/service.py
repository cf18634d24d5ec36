"""The running service: queue, workers, readers, timers and API around a reconciler."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from queue import SimpleQueue
from threading import Thread
from types import FrameType

from reconciler.logs import get_logger
from reconciler.metrics import Metrics, Sources
from reconciler.observed import By, OrderKind
from reconciler.passes import Changed, Reconciler
from reconciler.ports import Clock
from reconciler.redaction import Redactor
from reconciler.scheduler.backoff import Backoff, Uniform
from reconciler.scheduler.loop import Loop
from reconciler.scheduler.queue import Monotonic, WorkQueue
from reconciler.scheduler.timers import Timer, Timers
from reconciler.scheduler.workers import Reader, Workers, join_all
from reconciler.settings import Settings
from reconciler.status import OrderAnswer
from reconciler.web.address import Address, remove_address, write_address
from reconciler.web.app import View, create_app
from reconciler.web.orders import Desk
from reconciler.web.server import Server, allowed_hosts, listen, url_of
from reconciler.web.tokens import TokenFile

_log = get_logger(__name__)

_BEAT = timedelta(seconds=1)
# A pass asks systems with time-outs of half a minute; one of many minutes hangs.
_STUCK_SECONDS = 15 * 60
_LATE_BEAT_SECONDS = 60
# In each interval every slot of models has its turn; more than one turn a second would be a busy loop.
_MOST_SLOTS = 60


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the service takes from outside: time, chance, and where it counts and hides.

    `subscribe` is called once with the function that a watch has to call for every InferenceService it saw change.
    `sick_watches` names the watches that only a restart helps.
    """

    clock: Clock
    uniform: Uniform
    metrics: Metrics
    redactor: Redactor
    subscribe: Callable[[Changed], None]
    sick_watches: Callable[[], tuple[str, ...]]
    monotonic: Monotonic = time.monotonic


class Service:
    """Starts and stops everything that runs around a reconciler."""

    def __init__(self, reconciler: Reconciler, settings: Settings, surroundings: Surroundings) -> None:
        self._reconciler = reconciler
        self._settings = settings
        self._monotonic = surroundings.monotonic
        self._stopping = False
        self._queue = WorkQueue(surroundings.monotonic)
        pace = settings.loop
        slots = max(1, min(_MOST_SLOTS, int(pace.interval.total_seconds())))
        self._loop = Loop(
            reconciler=reconciler,
            queue=self._queue,
            backoff=Backoff(pace.backoff_min, pace.backoff_max, surroundings.uniform),
            metrics=surroundings.metrics,
            clock=surroundings.clock,
            monotonic=surroundings.monotonic,
            slots=slots,
        )
        self._workers = Workers(self._queue, self._loop.handle, pace.workers)
        source = Reader("read-source", self._loop.read_source)
        registry = Reader("read-registry", self._loop.read_registry)
        self._readers = (source, registry)
        self._timers = Timers(
            (
                Timer("git", settings.git.poll_interval, source.ask),
                Timer("registry", settings.mlflow.read_interval, registry.ask),
                Timer("look-around", pace.interval / slots, self._loop.look_around),
                Timer("training", settings.training.poll_interval, self._loop.poll_training),
                Timer("beat", _BEAT, self._loop.beat),
            )
        )
        self._surroundings = surroundings
        self._server: Server | None = None
        self.url = ""

    def start(self) -> None:
        """Start; returns at once. Raises SettingsError when the API's address or its token file cannot be had."""
        tokens = TokenFile(self._settings.api.tokens) if self._settings.api.tokens else None
        listener = listen(self._settings.http)
        self.url = url_of(listener)
        metrics = self._surroundings.metrics
        metrics.read_from(Sources(self._reconciler.statuses, self._reconciler.status_of_systems, self._queue.figures))
        view = View(
            names=self._reconciler.names,
            statuses=self._reconciler.statuses,
            systems=self._reconciler.status_of_systems,
            sick=self.sick,
            unready=self.unready,
            metrics=metrics.exposition,
        )
        desk = Desk(tokens, self.order, self._monotonic)
        app = create_app(view, self._surroundings.redactor, allowed_hosts(self._settings.http.host), desk)
        self._server = Server(app, listener)
        self._surroundings.subscribe(self._loop.wake_service)
        self._workers.start()
        for reader in self._readers:
            reader.start()
        self._timers.start()
        self._server.start()
        write_address(self._settings.state_dir, Address(self.url, os.getpid()))
        _log.info("the service runs", url=self.url, workers=self._settings.loop.workers)

    def order(self, name: str, kind: OrderKind, by: By) -> OrderAnswer:
        """Take an order by hand, and have the model looked at at once."""
        answer = self._reconciler.order(name, kind, by)
        told = {"order": kind.value, "about": answer.order.about, "actor": by.actor, "repeated": answer.repeated}
        _log.info("ordered by hand", model=name, **told)
        self.wake(name)
        return answer

    def wake(self, name: str) -> None:
        """Have a model looked at soon. May be called from any thread."""
        self._loop.wake(name)

    def poll(self) -> None:
        """Have Git and the registry read now, as when a webhook says that they changed."""
        for reader in self._readers:
            reader.ask()

    def sick(self) -> tuple[str, ...]:
        """Return why the service should be restarted, one sentence each; empty when it lives."""
        reasons = []
        if not self._stopping and not self._workers.alive():
            reasons.append("a worker thread has ended")
        if not self._stopping and not all(reader.thread.is_alive() for reader in self._readers):
            reasons.append("a thread that reads Git or the registry has ended")
        if not self._stopping and (late := self._loop.beat_age()) > _LATE_BEAT_SECONDS:
            reasons.append(f"the timers have not run for {late:.0f} s")
        working = self._queue.figures().working
        if len(working) == self._settings.loop.workers and min(working.values()) > _STUCK_SECONDS:
            reasons.append(f"every worker has been busy with one model for more than {_STUCK_SECONDS} s")
        reasons.extend(() if self._stopping else self._surroundings.sick_watches())
        return tuple(reasons)

    def unready(self) -> tuple[str, ...]:
        """Return why the service is not ready, one sentence each."""
        return ("the service is stopping",) if self._stopping else self._loop.unready()

    def stop(self, timeout: timedelta) -> tuple[str, ...]:
        """Begin nothing new, wait for what runs, then close the API; return the names of threads that still run."""
        self._stopping = True
        for reader in self._readers:
            reader.stop()
        self._queue.close()
        timers = Thread(target=self._timers.stop, name="timers", daemon=True)
        timers.start()
        running = [timers, *self._workers.threads, *(reader.thread for reader in self._readers)]
        left = join_all(running, timeout.total_seconds(), self._monotonic)
        if self._server is not None:
            self._server.stop()
        remove_address(self._settings.state_dir, os.getpid())
        return left


def run(reconciler: Reconciler, settings: Settings, surroundings: Surroundings) -> int:
    """Run until SIGTERM or SIGINT, then end what was begun; return the exit code. A second signal ends at once."""
    # Of all that can wake a thread only this queue is made to be used by a signal handler.
    signals: SimpleQueue[int] = SimpleQueue()
    seen: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if seen:
            remove_address(settings.state_dir, os.getpid())
            os._exit(128 + number)
        seen.append(number)
        signals.put(number)

    service = Service(reconciler, settings, surroundings)
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        service.start()
        signals.get()
        _log.info("stopping; a second signal ends at once", timeout=str(settings.loop.shutdown_timeout))
        left = service.stop(settings.loop.shutdown_timeout)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if left:
        _log.warning("left actions that did not end in time; the next start settles them", threads=list(left))
    _log.info("stopped")
    return 0
