"""What people order by hand, each order as its story: it counts, survives everything, and harms nothing later."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest

from reconciler.errors import Refused
from reconciler.observed import TAG_REJECTED, TAG_ROLLOUT, By, Meant, OrderKind, RegisteredModel, Stage
from reconciler.registry_roles import role
from reconciler.status import OrderAnswer
from tests.simulation.faults import Fault
from tests.simulation.registry import SimRegistry
from tests.simulation.stories import Script, good, spec, training, until, world
from tests.simulation.world import KEY, NAME, World

ABORT, PROMOTE, PAUSE, RESUME, RETRY, APPROVE = OrderKind
AFTER = [Fault.CALM, Fault.REFUSED, Fault.CRASH_BEFORE, Fault.CRASH_AFTER]


def roles(made: World) -> dict[int, Stage]:
    return {v.version: role(v) for v in made.registry.models[NAME].versions}


def recorded(made: World, kind: OrderKind) -> int:
    return sum(r.entry.action == f"Order{kind.value.capitalize()}" for r in made.ledger.records)


def in_canary() -> World:
    made = world(Script(), good)
    made.settle()
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: made.serving.shares(KEY).get(2) == 10)
    return made


def ordered(made: World, kind: OrderKind, fault: Fault = Fault.CALM) -> OrderAnswer:
    """Order it until it is known to be recorded: a person whose answer was lost sends it again."""
    assert isinstance(made.faults.choose, Script)
    if fault is not Fault.CALM:
        made.faults.choose.then(f"ledger note Order{kind.value.capitalize()}", fault)
        assert not isinstance(made.order(kind), OrderAnswer)
        made.reconciler.refresh_source()
        made.reconciler.refresh_registry()
    answer = made.order(kind)
    assert isinstance(answer, OrderAnswer), answer
    assert recorded(made, kind) == 1
    return answer


@pytest.mark.parametrize("fault", AFTER)
def test_an_abort_in_the_middle_of_a_canary_ends_it_and_the_version_is_not_tried_again(fault: Fault) -> None:
    made = in_canary()
    answer = ordered(made, ABORT, fault)
    assert "version 2 gets no more traffic" in answer.follows
    made.restart()
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert made.serving.shares(KEY) == {1: 100}
    assert "aborted by ana: it looks odd" in made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert recorded(made, ABORT) == 1


def test_an_abort_sent_again_after_it_was_carried_out_is_the_same_abort() -> None:
    made = in_canary()
    first = ordered(made, ABORT)
    made.settle()
    again = made.order(ABORT)
    assert isinstance(again, OrderAnswer)
    assert again.repeated
    assert again.order == first.order
    assert recorded(made, ABORT) == 1


def test_an_abort_in_the_words_of_one_of_a_week_ago_is_refused_where_there_is_nothing_to_abort() -> None:
    made = in_canary()
    ordered(made, ABORT)
    made.settle()
    made.pass_time(made.now + timedelta(days=7))
    assert made.order(ABORT) == "no rollout of iris is under way"
    assert recorded(made, ABORT) == 1


@pytest.mark.parametrize("call", ["serving.apply iris 2-", "serving.apply iris 1-", TAG_REJECTED, TAG_ROLLOUT])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST, Fault.LATE, Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_an_abort_is_carried_out_whatever_call_fails_after_it(call: str, fault: Fault) -> None:
    made = in_canary()
    ordered(made, ABORT)
    assert isinstance(made.faults.choose, Script)
    made.faults.choose.then(call, fault)
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert made.serving.shares(KEY) == {1: 100}


def test_an_abort_before_the_candidate_was_applied_keeps_it_from_being_applied() -> None:
    made = world(Script(), good)
    made.settle()
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: roles(made).get(2) is Stage.STAGING)
    ordered(made, ABORT)
    writes = made.serving.writes
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert made.serving.writes == writes


@pytest.mark.parametrize("fault", AFTER)
def test_a_promotion_at_the_first_step_skips_the_other_steps_and_the_checks(fault: Fault) -> None:
    made = in_canary()
    before = made.now
    ordered(made, PROMOTE, fault)
    made.restart()
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert made.serving.shares(KEY) == {2: 100}
    assert made.now - before < timedelta(seconds=30)


def test_a_promotion_of_a_version_that_fails_its_checks_is_what_the_person_said() -> None:
    made = in_canary()
    made.bad.add(2)
    ordered(made, PROMOTE)
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_promotion_never_gives_traffic_to_what_is_not_ready() -> None:
    made = world(Script(), good)
    made.settle()
    made.serving.never_ready.add(2)
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: made.serving.live[KEY].percent == 0)
    ordered(made, PROMOTE)
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def hold(made: World, minutes: int) -> None:
    """Let time pass minute by minute, with passes in between."""
    for _ in range(minutes):
        made.pass_time(made.now + timedelta(minutes=1))
        made._round([NAME])


@pytest.mark.parametrize("fault", AFTER)
def test_a_rollout_paused_for_longer_than_its_deadline_holds_and_goes_on_when_it_is_resumed(fault: Fault) -> None:
    made = in_canary()
    ordered(made, PAUSE, fault)
    made.restart()
    hold(made, 30)
    while made.one_pass():
        pass
    assert made.serving.shares(KEY) == {1: 90, 2: 10}
    status = made.status()
    assert status is not None
    assert status.blocked_by == "paused by ana: it looks odd"
    assert [order.order for order in status.orders] == ["pause"]
    ordered(made, RESUME)
    made.restart()
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_paused_rollout_whose_version_begins_to_fail_is_taken_back() -> None:
    made = in_canary()
    ordered(made, PAUSE)
    hold(made, 2)
    made.bad.add(2)
    hold(made, 2)
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_the_last_word_counts_a_paused_promotion_holds_and_a_promoted_pause_ends() -> None:
    made = in_canary()
    ordered(made, PROMOTE)
    ordered(made, PAUSE)
    hold(made, 3)
    assert made.serving.shares(KEY) == {1: 90, 2: 10}
    made.order(PROMOTE)
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_pause_ends_with_the_release_it_was_meant_for() -> None:
    made = in_canary()
    ordered(made, PAUSE)
    made.source.write(NAME, spec(training=training(3)))
    made.settle()
    assert roles(made)[3] is Stage.PRODUCTION


@pytest.mark.parametrize("fault", AFTER)
def test_a_rejected_version_is_tried_again_after_a_retry_and_rejected_anew_if_it_still_fails(fault: Fault) -> None:
    made = in_canary()
    made.bad.add(2)
    made.settle()
    ordered(made, RETRY, fault)
    made.restart()
    until(made, lambda: made.serving.shares(KEY).get(2) == 10)
    status = made.status()
    assert status is not None
    assert [order.order for order in status.orders] == ["retry"]
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    made.bad.clear()
    answer = made.order(RETRY, reason="the store is mended")
    assert isinstance(answer, OrderAnswer)
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


@pytest.mark.parametrize("fault", AFTER)
def test_a_training_that_was_given_up_is_tried_again_after_a_retry(fault: Fault) -> None:
    results = iter([None, None, None])
    made = world(Script(), lambda: next(results, {"accuracy": 0.95}))
    made.settle()
    assert roles(made) == {} if NAME in made.registry.models else True
    answer = ordered(made, RETRY, fault)
    assert answer.follows == "attempt 4 of the training starts"
    made.restart()
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION}
    assert len(made.training.started) == 4


def waiting_for_approval() -> World:
    made = world(Script(), good)
    made.settle()
    made.source.write(NAME, spec(training=training(2), promotion={"approval": "required"}))
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}
    return made


@pytest.mark.parametrize("fault", AFTER)
def test_an_approved_version_is_rolled_out_as_if_git_named_it_and_the_next_one_waits_again(fault: Fault) -> None:
    made = waiting_for_approval()
    ordered(made, APPROVE, fault)
    made.restart()
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    made.source.write(NAME, spec(training=training(3), promotion={"approval": "required"}))
    made.settle()
    assert made.serving.shares(KEY) == {2: 100}
    status = made.status()
    assert status is not None
    assert "approval" in status.waits_for


def test_a_version_on_its_way_by_approval_goes_on_when_a_newer_one_waits() -> None:
    made = waiting_for_approval()
    ordered(made, APPROVE)
    until(made, lambda: made.serving.shares(KEY).get(2) == 10)
    key = made.registry.models[NAME].versions[1].tags["reconciler.dev/training-key"]
    made.registry.register(NAME, {"reconciler.dev/training-key": f"{key}-again"}, {"accuracy": 0.99}, made.now)
    made.settle()
    assert made.serving.shares(KEY) == {2: 100}


def test_an_approval_ends_when_git_changes_what_is_wanted() -> None:
    made = waiting_for_approval()
    ordered(made, APPROVE)
    gates = [{"metric": "accuracy", "min": 0.8}]
    made.source.write(NAME, spec(training=training(2), promotion={"approval": "required", "gates": gates}))
    made.settle()
    assert made.serving.shares(KEY) == {1: 100}


@pytest.mark.parametrize("kind", OrderKind)
def test_what_there_is_nothing_to_order_for_is_refused_and_recorded_nowhere(kind: OrderKind) -> None:
    made = world(Script(), good)
    made.settle()
    before = len(made.ledger.records)
    assert isinstance(made.order(kind), str)
    assert len(made.ledger.records) == before
    assert made.one_pass() == ""


@pytest.mark.parametrize("kind", [ABORT, PROMOTE, PAUSE])
def test_an_order_for_the_candidate_that_was_shown_does_not_hit_the_next_one(kind: OrderKind) -> None:
    made = in_canary()
    status = made.status()
    assert status is not None
    (shown,) = (each for each in status.orderable if each.order == kind.value)
    made.source.write(NAME, spec(training=training(3)))
    until(made, lambda: made.serving.shares(KEY).get(3) == 10)
    answer = made.order(kind, meant=Meant(shown.version, shown.step))
    assert answer == (
        f"it was ordered for version 2, but {kind.value} is now about the rollout of version 3; nothing was recorded"
    )
    assert recorded(made, kind) == 0
    assert isinstance(made.order(kind, meant=Meant(3)), OrderAnswer)


@pytest.mark.parametrize("kind", [ABORT, PROMOTE, PAUSE])
def test_an_order_for_a_release_that_is_gone_by_then_does_nothing(kind: OrderKind) -> None:
    made = in_canary()
    ordered(made, kind)
    made.source.write(NAME, spec())
    made.settle()
    made.source.write(NAME, spec(training=training(3)))
    made.settle()
    assert roles(made)[3] is Stage.PRODUCTION
    status = made.status()
    assert status is not None
    assert status.orders == ()
    assert status.sync == "Synced"


@dataclass
class HeldUp:
    """A registry in which reading a model waits for something."""

    inner: SimRegistry
    awaited: Callable[[str], object]

    def read(self, name: str) -> RegisteredModel | None:
        self.awaited(name)
        return self.inner.read(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def held_up(made: World, awaited: Callable[[str], object]) -> World:
    systems = replace(made.observer.systems, registry=HeldUp(made.registry, awaited))
    made.observer.systems = made.reconciler.systems = systems
    made.pass_time(made.now + timedelta(minutes=1))  # what was read long ago is read again
    return made


def test_an_order_for_one_model_does_not_wait_for_what_hangs_for_another() -> None:
    made, hangs, go_on = in_canary(), Event(), Event()
    made.source.write("rose", spec())
    made.settle(NAME, "rose")

    def hang(name: str) -> None:
        if name == NAME:
            hangs.set()
            go_on.wait(20)

    held_up(made, hang)
    with ThreadPoolExecutor(2) as pool:
        hanging = pool.submit(made.reconciler.order, NAME, PAUSE, By("ana", "it looks odd"))
        assert hangs.wait(20)
        other = pool.submit(made.reconciler.order, "rose", PAUSE, By("ana", "it looks odd"))
        try:
            assert str(other.exception(20)) == "no rollout of rose is under way"
        finally:
            go_on.set()
        assert isinstance(hanging.exception(20), Refused)


def test_two_who_order_the_same_at_once_are_recorded_once() -> None:
    both = Barrier(2)
    made = held_up(in_canary(), lambda _name: both.wait(20))
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda who: made.reconciler.order(NAME, PAUSE, By(who, "it looks odd")), ("ana", "bo")))
    assert recorded(made, PAUSE) == 1
    assert {answer.repeated for answer in answers} == {False, True}
    assert answers[0].order == answers[1].order


def test_an_order_is_not_taken_while_what_is_there_is_not_known() -> None:
    made = in_canary()
    made.serving.blind = True
    assert "is not known now" in str(made.order(ABORT))
    assert recorded(made, ABORT) == 0
