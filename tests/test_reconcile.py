"""What the pass tells of Git, and what it puts right in the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.desired.documents import DeletionLimits, PolicySpec
from reconciler.desired.state import DesiredModel, DesiredState, Diagnostic
from reconciler.errors import Transient
from reconciler.observed import InferenceService, Known, OrderKind, Stage
from reconciler.passes import GIT, StepResult
from reconciler.ports import Entry, Moment, ProbeResult, ProbeTarget, Recorded, Result, SourceStatus
from reconciler.registry_roles import CHAMPION
from reconciler.status import OrderAnswer, Phase
from reconciler.systems.probe import HttpProber
from tests.ensure.stage import in_canary
from tests.simulation.stories import until, world
from tests.simulation.systems import SimLedger, SimSource
from tests.simulation.world import KEY, NAME, World
from tests.systems.scripted_http import Answer, scripted


@dataclass(slots=True)
class OddSource:
    """The story's source, with a forced push, a problem in a spec, or a state that cannot be read."""

    inner: SimSource
    rewritten_from: str | None = None
    refused: str | None = None
    problem: Diagnostic | None = None
    error: Transient | None = None
    given: DesiredState | None = None

    def fetch(self) -> SourceStatus:
        return replace(self.inner.fetch(), rewritten_from=self.rewritten_from, refused=self.refused)

    def desired(self) -> DesiredState | None:
        if self.error is not None:
            raise self.error
        state = self.given or self.inner.desired()
        assert state is not None
        return replace(state, diagnostics=(self.problem,) if self.problem else ())


@dataclass(slots=True)
class IllStable:
    """The story's serving, where the revision tagged prev says itself that it is not ready."""

    inner: Any

    def read_all(self) -> Any:
        seen = self.inner.read_all().value
        ill = {key: replace(live, unready=frozenset(_previous(live))) for key, live in seen.items()}
        return Known(ill, self.inner.clock())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _previous(live: InferenceService) -> Iterator[str]:
    return (target.revision for target in live.traffic if target.tag == "prev")


class FullLedger(SimLedger):
    """A ledger whose disk is full."""

    def append(self, entry: Entry) -> Recorded:
        del entry
        raise Transient("the ledger's disk is full")


class Models(dict[str, DesiredModel]):
    """Models of a commit; whenever somebody goes through them, a pass looks at the world beside it."""

    def beside(self, made: World) -> Models:
        self.made, self.passes = made, list[threading.Thread]()
        return self

    def values(self) -> Any:
        looked = threading.Event()
        sound = self.made.observer.systems
        self.made.observer.systems = replace(sound, serving=Watched(self.made.serving, looked))
        one = threading.Thread(target=self.made.reconciler.reconcile, args=(NAME,))
        one.start()
        assert looked.wait(20)
        self.made.observer.systems = sound
        self.passes.append(one)
        return super().values()


@dataclass(slots=True)
class Watched:
    """The story's serving, which tells that it was looked at."""

    inner: Any
    looked: threading.Event

    def read_all(self) -> Any:
        self.looked.set()
        return self.inner.read_all()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def settled() -> tuple[World, OddSource]:
    made = world()
    made.settle()
    source = OddSource(made.source)
    made.reconciler.source = source
    return made, source


def test_a_forced_push_is_put_on_the_ledger_once() -> None:
    made, source = settled()
    source.rewritten_from = "a" * 40
    for _ in range(3):
        made.reconciler.refresh_source()
    notes = [r.entry for r in made.ledger.records if r.entry.moment is Moment.NOTE]
    assert [n.action for n in notes] == ["FollowRewrite"]
    assert "does not descend from aaaaaaa" in notes[0].reason


def test_a_forced_push_that_is_not_followed_is_put_on_the_ledger_once() -> None:
    made, source = settled()
    source.refused = "b" * 40
    for _ in range(3):
        made.reconciler.refresh_source()
    notes = [r.entry for r in made.ledger.records if r.entry.moment is Moment.NOTE]
    assert [(n.action, n.after["refused"]) for n in notes] == [("RefuseRewrite", "b" * 40)]


def test_the_commit_acted_on_is_kept_after_its_rewrite_is_on_record() -> None:
    made, source = settled()
    (before,) = made.memory.lines.values()
    source.rewritten_from = "a" * 40
    made.source.write(NAME, None)
    systems = made.reconciler.systems
    made.reconciler.systems = replace(systems, ledger=FullLedger(made.ledger.faults))
    with pytest.raises(Transient):
        made.reconciler.refresh_source()
    assert list(made.memory.lines.values()) == [before]


def test_a_pass_beside_a_new_commit_holds_a_removal_against_the_rules_of_that_commit() -> None:
    made, source = settled()
    made.source.rule(PolicySpec(deletion=DeletionLimits(models=0, share=0.0)))
    made.reconciler.refresh_source()
    made.source.write(NAME, None)
    made.source.fetch()
    state = made.source.desired()
    assert state is not None
    models = Models(state.models).beside(made)
    source.given = replace(state, models=models)
    made.reconciler.refresh_source()
    for beside in models.passes:
        beside.join(20)
    assert KEY in made.serving.live
    made.reconciler.reconcile(NAME)
    status = made.status()
    assert status is not None
    assert "1 of 1 models left Git at once" in status.blocked_by


def test_a_problem_in_a_spec_is_told_with_its_place_while_git_is_well() -> None:
    made, source = settled()
    source.problem = Diagnostic("unknown-field", "unknown field `trafic`", "models/x.yaml", 7, 3)
    made.reconciler.refresh_source()
    status = made.reconciler.status_of_systems()[GIT]
    assert status.ok
    assert status.error == "1 problems in the specs, the first: models/x.yaml:7:3: unknown field `trafic`"


def test_wishes_that_cannot_be_read_make_git_fail_until_they_can_be() -> None:
    made, source = settled()
    source.error = Transient("the ledger's disk is full")
    with pytest.raises(Transient):
        made.reconciler.refresh_source()
    assert not made.reconciler.status_of_systems()[GIT].ok
    source.error = None
    made.reconciler.refresh_source()
    assert made.reconciler.status_of_systems()[GIT].ok


def test_an_alias_that_somebody_moved_to_another_version_is_put_back() -> None:
    made = world()
    made.settle()
    other = made.registry.register(NAME, {}, {"accuracy": 0.1}, made.now)
    made.registry._transition(NAME, other, Stage.ARCHIVED)
    made.registry._point(NAME, CHAMPION, other)
    made.settle()
    holders = [v.version for v in made.registry.models[NAME].versions if CHAMPION in v.aliases]
    assert holders == [1]


def test_that_a_bad_candidate_keeps_its_traffic_as_stable_is_ill_too_is_put_on_the_ledger_once() -> None:
    made = in_canary()
    sound = made.observer.systems
    made.observer.systems = replace(sound, serving=IllStable(sound.serving))
    made.bad.add(2)

    def notes() -> list[Entry]:
        return [r.entry for r in made.ledger.records if r.entry.action == "HoldRollback"]

    until(made, lambda: made.ledger.records[-1].entry.action == "Analyse")
    leads, made.reconciler.leads = made.reconciler.leads, lambda: False
    made.one_pass()
    status = made.status()
    assert status is not None
    assert status.conditions.stalled.reason == "StableNotReady"
    assert not notes(), "only the replica that leads writes"
    made.reconciler.leads = leads
    made.one_pass()
    assert notes()
    for _ in range(5):
        made.one_pass()
    made.restart()
    made.observer.systems = replace(made.observer.systems, serving=IllStable(made.observer.systems.serving))
    for _ in range(5):
        made.one_pass()
    (note,) = notes()
    assert (note.moment, note.result, note.model) == (Moment.NOTE, Result.DONE, NAME)
    assert "the candidate is to lose its 10 %" in note.reason
    assert [check["check"] for check in note.evidence["checks"]] == ["answers"]
    assert note.after["release"].startswith("2-")
    assert made.serving.shares(KEY).get(2) == 10
    made.observer.systems = replace(made.observer.systems, serving=made.serving)
    until(made, lambda: made.serving.shares(KEY) == {1: 100})
    assert len(notes()) == 1


@dataclass(slots=True)
class SlowModel:
    """Sends what a check asks to a real server that takes its time, whatever revision is meant."""

    inner: HttpProber
    url: str

    def probe(
        self, target: ProbeTarget, rows: Sequence[Any], requests: int, before_each: Callable[[], None]
    ) -> ProbeResult:
        return self.inner.probe(replace(target, url=self.url), rows, requests * 50, before_each)


@contextmanager
def measuring() -> Iterator[tuple[World, threading.Thread, list[StepResult]]]:
    """Yield a world in whose canary a check is being measured that would take a minute, and the pass that does it."""
    made = in_canary()
    until(made, lambda: made.ledger.records[-1].entry.action == "Analyse")
    made.now += timedelta(minutes=1)
    results: list[StepResult] = []
    slow, patience = Answer({"predictions": [1]}, delay=0.3), timedelta(seconds=60)
    with scripted(lambda _: slow) as server, HttpProber(timedelta(seconds=5), patience) as prober:
        systems = made.reconciler.systems
        made.reconciler.systems = replace(systems, prober=SlowModel(prober, server.url))
        one = threading.Thread(target=lambda: results.append(made.reconciler.reconcile(NAME)))
        one.start()
        ends = time.monotonic() + 20
        while not server.asked:
            assert time.monotonic() < ends
            time.sleep(0.01)
        yield made, one, results
        one.join(20)
        made.reconciler.systems = systems


def test_an_abort_cuts_a_check_off_that_is_being_measured_and_leaves_no_evidence() -> None:
    with measuring() as (made, one, results):
        answer = made.order(OrderKind.ABORT)
        assert isinstance(answer, OrderAnswer)
        one.join(30)
        assert not one.is_alive()
    (result,) = results
    assert "aborted by ana: it looks odd" in str(result.error)
    last = made.ledger.records[-1].entry
    assert (last.action, last.result, last.after) == ("Analyse", Result.FAILED, {})
    assert made.one_pass() == "CutTraffic"


def test_what_is_ordered_is_shown_at_once_while_a_check_is_being_measured() -> None:
    with measuring() as (made, one, _):
        made.order(OrderKind.PAUSE)
        status = made.status()
        assert one.is_alive()
        assert status is not None
        assert [(o.order, o.actor) for o in status.orders] == [("pause", "ana")]
        made.order(OrderKind.ABORT)
        status = made.status()
        assert status is not None
        assert [o.order for o in status.orders] == ["pause", "abort"]
        assert status.phase is Phase.ROLLING_BACK
        assert status.next_action == "CutTraffic"


def test_a_look_that_began_before_an_order_does_not_hide_it() -> None:
    made = in_canary()
    shown = made.status()
    made.order(OrderKind.PAUSE)
    assert shown is not None
    made.reconciler._publish(replace(shown, updated_at=made.now), instead_of=shown)
    status = made.status()
    assert status is not None
    assert [o.order for o in status.orders] == ["pause"]
