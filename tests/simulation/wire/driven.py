"""The adapter without its threads: whoever would wait for a watch lets the watches take their steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from reconciler.ports import Clock
from reconciler.systems.serving.api import DEPLOYMENTS, HTTP_ROUTES, INFERENCE_SERVICES, REVISIONS
from reconciler.systems.serving.kserve import KServe, Options
from tests.simulation.wire.kube_api import WireApi

_PLURALS = tuple(r.plural for r in (INFERENCE_SERVICES, REVISIONS, DEPLOYMENTS, HTTP_ROUTES))
_MOST_STEPS = 5_000


@dataclass(slots=True)
class Watch:
    """A reflector's steps, and before when it takes none."""

    plural: str
    steps: Iterator[float]
    due: float = 0.0


class Driven(KServe):
    """One process's adapter; `sleep` lets time pass."""

    def __init__(
        self, api: WireApi, now: Clock, sleep: Callable[[float], None], namespaces: tuple[str, ...] = ()
    ) -> None:
        options = Options(namespaces, monotonic=api.monotonic, service_url="http://{namespace}//{service}")
        super().__init__(api, options, now, Random(1))
        self._wire = api
        self._sleep = sleep
        self._driven = [Watch(p, r.steps()) for p, r in zip(_PLURALS, self._reflectors, strict=True)]

    def show(self) -> None:
        """Let the watches catch up; the tape may leave some of it for later."""
        steps = self._wire.pick((_MOST_STEPS, _MOST_STEPS, _MOST_STEPS, 0, 1, 2, 3))
        for _ in range(steps):
            if not self._step():
                return
        assert steps < _MOST_STEPS, "the watches never come to rest"

    def leave_out(self, plural: str) -> list[Watch]:
        """Let the watches of one kind bring nothing any more; return them."""
        left = [watch for watch in self._driven if watch.plural == plural]
        self._driven = [watch for watch in self._driven if watch.plural != plural]
        return left

    def take_in(self, watches: list[Watch]) -> None:
        """Let these watches go on."""
        self._driven += watches

    def _step(self) -> bool:
        """Let one watch take one step; False when none has anything to do now."""
        ready = [watch for watch in self._driven if self._is_ready(watch)]
        if not ready:
            return False
        watch = self._wire.pick(ready) if len(ready) > 1 else ready[0]
        watch.due = self._wire.monotonic() + next(watch.steps)
        return True

    def _is_ready(self, watch: Watch) -> bool:
        stream = self._wire.streams.get(watch.plural)
        return self._wire.monotonic() >= watch.due and (stream is None or stream.ready())

    def _wait(self, holds: Callable[[], bool], timeout: timedelta) -> bool:
        """Let watches and time go on until something holds."""
        ends = self._wire.monotonic() + timeout.total_seconds()
        while not holds():
            now = self._wire.monotonic()
            if self._step():
                continue
            if now >= ends:
                return False
            later = [watch.due for watch in self._driven if watch.due > now]
            self._sleep(max(0.001, min([ends, *later]) - now))
        return True
