"""The queue's bookkeeping, on times that the tests make up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.scheduler.lanes import EVENT_FLOOR, URGENT_IN_A_ROW, Lanes, Urgency

DEMAND, EVENT, ROUTINE = Urgency


def test_a_model_added_often_is_taken_once() -> None:
    lanes = Lanes()
    for urgency in (ROUTINE, EVENT, DEMAND, ROUTINE):
        lanes.add("iris", urgency, 0)
    assert lanes.depth() == 1
    assert [lanes.take(0), lanes.take(0)] == ["iris", None]


def test_a_model_in_work_is_not_handed_out_again_but_comes_back_when_it_was_added_meanwhile() -> None:
    lanes = Lanes()
    lanes.add("iris", EVENT, 0)
    lanes.take(0)
    lanes.add("iris", EVENT, 1)
    assert lanes.take(1) is None
    lanes.done("iris", 2)
    assert lanes.take(2) == "iris"
    lanes.done("iris", 3)
    assert lanes.take(3) is None


def test_events_go_before_routine_looks_and_an_event_moves_a_queued_model_ahead() -> None:
    lanes = Lanes()
    for name in ("a", "b", "c"):
        lanes.add(name, ROUTINE, 0)
    lanes.add("c", EVENT, 1)
    assert [lanes.take(1) for _ in range(3)] == ["c", "a", "b"]


def test_routine_looks_are_not_starved_by_events() -> None:
    lanes = Lanes()
    lanes.add("routine", ROUTINE, 0)
    for n in range(100):
        lanes.add(f"urgent-{n}", EVENT, 0)
    taken = [lanes.take(0) for _ in range(URGENT_IN_A_ROW + 1)]
    assert taken[-1] == "routine"


def test_a_model_is_due_when_its_timer_ends_and_not_before() -> None:
    lanes = Lanes()
    lanes.settle("iris", 10)
    assert lanes.next_due() == 10
    assert lanes.take(9.9) is None
    assert lanes.take(10) == "iris"
    assert lanes.next_due() is None


def test_the_last_step_decides_when_to_look_again() -> None:
    lanes = Lanes()
    lanes.settle("iris", 10)
    lanes.settle("iris", 20)
    assert lanes.take(10) is None
    lanes.settle("iris", None)
    assert lanes.take(20) is None


def test_a_failed_model_is_not_looked_at_by_routine_before_its_wait_is_over() -> None:
    lanes = Lanes()
    lanes.hold("iris", now=0, delay=600, look_again=None)
    lanes.add("iris", ROUTINE, 1)
    assert lanes.take(1) is None
    assert lanes.take(600) == "iris"


def test_an_event_brings_a_failed_models_next_try_forward_to_the_floor() -> None:
    lanes = Lanes()
    lanes.hold("iris", now=0, delay=600, look_again=None)
    lanes.add("iris", EVENT, 1)
    assert lanes.take(1) is None
    assert lanes.take(EVENT_FLOOR) == "iris"


def test_somebody_changing_what_is_wanted_ends_a_failed_models_wait() -> None:
    lanes = Lanes()
    lanes.hold("iris", now=0, delay=600, look_again=None)
    lanes.add("iris", DEMAND, 1)
    assert lanes.take(1) == "iris"


def test_an_event_during_a_failing_step_waits_for_the_floor_too() -> None:
    lanes = Lanes()
    lanes.add("iris", EVENT, 0)
    lanes.take(0)
    lanes.add("iris", EVENT, 1)
    lanes.hold("iris", now=2, delay=600, look_again=None)
    lanes.done("iris", 2)
    assert lanes.take(2) is None
    assert lanes.take(2 + EVENT_FLOOR) == "iris"


@pytest.mark.parametrize(
    ("look_again", "due"),
    [
        pytest.param(None, 600, id="without a hold the wait counts"),
        pytest.param(900, 600, id="a later hold does not lengthen the wait"),
        pytest.param(100, 100, id="an earlier hold shortens the wait"),
        pytest.param(1, EVENT_FLOOR, id="a hold at once still waits for the floor"),
    ],
)
def test_a_failed_model_is_tried_again(look_again: float | None, due: float) -> None:
    lanes = Lanes()
    lanes.hold("iris", now=0, delay=600, look_again=look_again)
    assert lanes.next_due() == due


def test_success_ends_the_wait_after_a_failure() -> None:
    lanes = Lanes()
    lanes.hold("iris", now=0, delay=600, look_again=None)
    lanes.settle("iris", None)
    lanes.add("iris", ROUTINE, 1)
    assert lanes.take(1) == "iris"


def test_timers_that_are_set_again_and_again_do_not_pile_up() -> None:
    lanes = Lanes()
    for n in range(10_000):
        lanes.settle("iris", 100_000 - n)
        lanes.settle("churn", 200_000 + n)
        lanes.next_due()
    assert len(lanes._heap) < 1000
    assert lanes.waiting() == 2


def test_the_oldest_is_the_one_that_waits_longest_in_either_lane() -> None:
    lanes = Lanes()
    assert lanes.oldest() is None
    lanes.add("a", ROUTINE, 5)
    lanes.add("b", EVENT, 7)
    assert lanes.oldest() == 5


_names = st.sampled_from(["a", "b", "c"])
_moves = st.one_of(
    st.tuples(st.just("add"), _names, st.sampled_from(Urgency)),
    st.tuples(st.just("take"), st.just(""), st.just(ROUTINE)),
    st.tuples(st.just("done"), _names, st.just(ROUTINE)),
    st.tuples(st.just("fail"), _names, st.just(ROUTINE)),
)


@given(st.lists(_moves, max_size=60))
def test_no_model_is_ever_in_two_hands_and_no_wake_up_is_ever_lost(moves: list[tuple[str, str, Urgency]]) -> None:
    lanes, now, working, owed = Lanes(), 0.0, set[str](), set[str]()
    for move, name, urgency in moves:
        now += 1
        if move == "add":
            lanes.add(name, urgency, now)
            if urgency is not ROUTINE:
                owed.add(name)
        elif move == "take" and (taken := lanes.take(now)):
            assert taken not in working
            working.add(taken)
            owed.discard(taken)
        elif move in ("done", "fail") and name in working:
            if move == "fail":
                lanes.hold(name, now, 1000, None)
            lanes.done(name, now)
            working.discard(name)
    for name in working:
        lanes.done(name, now)
    later = now + 2000
    while (taken := lanes.take(later)) is not None:
        owed.discard(taken)
    assert owed == set()
