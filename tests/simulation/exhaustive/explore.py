"""Try every fault at every call of a story, and at every write of it every second one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.exhaustive.choices import choices, paired
from tests.simulation.exhaustive.differences import allowed
from tests.simulation.exhaustive.digest import digest
from tests.simulation.exhaustive.reference import Story
from tests.simulation.exhaustive.run import Asked, Ending, Faulted, Run, ending
from tests.simulation.faults import Kind

# So many more rounds than the calm run a faulted one may take.
PATIENCE = 40


@dataclass(frozen=True, slots=True)
class Known:
    """How a run goes on from a state that was met before: with how many calls, and to which end."""

    calls: int
    difference: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not end as the calm one did."""

    story: str
    faults: tuple[str, ...]
    why: str
    log: tuple[str, ...]

    def __str__(self) -> str:
        """Tell it."""
        return "\n  ".join([f"{self.story}: {'; then '.join(self.faults)}: {self.why}", *self.log])


@dataclass(slots=True)
class Report:
    """What was tried on one story.

    `asked` counts the calls that were really made while a fault was asked for, `spared` those that would have followed
    in runs that were not gone on with, as they met a state whose end is known.
    """

    story: str
    calls: int = 0
    runs: int = 0
    equal: int = 0
    asked: int = 0
    spared: int = 0
    seconds: float = 0.0
    differences: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class Explorer:
    """Tries faults on one story. `prune`: do not go on from a state whose end is known."""

    story: Story
    prune: bool = True
    report: Report = field(init=False)
    calm: list[Run] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    known: dict[int, Known] = field(default_factory=dict)
    end: Ending = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.report = Report(self.story.name)
        run, states = Run.of(self.story), []
        while not run.ended:
            assert len(self.calm) < 300, f"{self.story.name} does not come to rest"
            self.calm.append(run.copied())
            states.append(digest_of(run))
            self.asked.append(run.round({}))
        states.append(digest_of(run))
        self.end = ending(run.world)
        self._learn(states, [len(a.calls) for a in self.asked], "")
        run.stay_quiet()
        self.report.calls = sum(len(a.calls) for a in self.asked)

    def _learn(self, states: list[int], calls: list[int], difference: str, after: int = 0) -> None:
        """Remember the end of every state of a run; `calls` were made from each to the next."""
        for state, made in zip(reversed(states), (0, *reversed(calls)), strict=True):
            after += made
            self.known.setdefault(state, Known(after, difference))

    def singles(self) -> Report:
        """Try every fault at every call."""
        began = time.process_time()
        for start, asked in zip(self.calm, self.asked, strict=True):
            for at, kind in enumerate(asked.kinds):
                for fault in choices(kind):
                    self._try(start, {at: fault})
        self.report.seconds = time.process_time() - began
        return self.report

    def pairs(self) -> Report:
        """Try every second fault at every write after every first one."""
        began, tried = time.process_time(), set[int]()
        for start, asked in zip(self.calm, self.asked, strict=True):
            for first in writes(asked):
                for fault in paired(asked.kinds[first]):
                    self._seconds(start, {first: fault}, tried)
        self.report.seconds = time.process_time() - began
        return self.report

    def _seconds(self, start: Run, first: Faulted, tried: set[int]) -> None:
        """Try second faults in the round of the first, then in those after it, until they are known."""
        run = start.copied()
        try:
            asked = run.round(first)
            for at in writes(asked, beyond=max(first)):
                for fault in paired(asked.kinds[at]):
                    self._try(start, {**first, at: fault})
            while not run.ended:
                state = digest_of(run)
                if state in tried and self.prune:
                    return
                tried.add(state)
                here = run.copied()
                asked = run.round({})
                for at in writes(asked):
                    for fault in paired(asked.kinds[at]):
                        self._try(here, {at: fault})
        except Exception as error:  # noqa: BLE001  whatever goes wrong is the find
            self._failed(run, error)

    def _try(self, start: Run, faults: Faulted) -> None:
        """Run a round with faults, then go on until the end is known."""
        run, report = start.copied(), self.report
        report.runs += 1
        made = run.world.faults.calls
        try:
            run.round(faults)
            known = self._go_on(run)
        except Exception as error:  # noqa: BLE001  whatever goes wrong is the find
            self._failed(run, error)
        else:
            report.spared += known.calls
            report.equal += not known.difference
            if known.difference:
                report.differences[known.difference] += 1
        report.asked += run.world.faults.calls - made

    def _go_on(self, run: Run) -> Known:
        states, calls = list[int](), list[int]()
        while len(states) < len(self.calm) + PATIENCE:
            state = digest_of(run)
            known = self.known.get(state) if self.prune else None
            if known is not None:
                self._learn([*states, state], calls, known.difference, known.calls)
                return known
            states.append(state)
            if run.ended:
                difference = allowed(self.story, self.end, ending(run.world))
                run.stay_quiet()
                self._learn(states, calls, difference)
                return Known(0, difference)
            calls.append(len(run.round({}).calls))
        raise AssertionError(f"it did not come to rest within {len(states)} rounds")

    def _failed(self, run: Run, error: Exception) -> None:
        why = f"{type(error).__name__}: {error}"
        self.report.failures.append(Failure(self.story.name, tuple(run.told), why, tuple(run.world.faults.log)))


def digest_of(run: Run) -> int:
    """Stand for a run's state."""
    return hash((digest(run.world), run.stage, run.still, run.begun))


def writes(asked: Asked, beyond: int = -1) -> Iterator[int]:
    """Return the calls that change something, the ledger's among them."""
    return (at for at, kind in enumerate(asked.kinds) if at > beyond and kind is not Kind.READ)
