"""Which orders are in force, and what the planner makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.desired.documents import FreezeWindow, PolicySpec
from reconciler.observed import Order, OrderKind, Rejection, Release, TrafficTarget
from reconciler.plan.action import Analyse, CutTraffic, RouteAll
from reconciler.plan.facts import wanted_digest
from reconciler.plan.freezes import covered
from reconciler.plan.marks import RolloutRecord
from reconciler.plan.orders import ACTIONS, NONE, from_after, in_force, rejection_of, said, to_after
from reconciler.status import Health
from tests.plan.scenes import CANDIDATE, MINUTE, NOW, STABLE, Memory, Scene, settled

ABORT, PROMOTE, PAUSE, RESUME, RETRY, APPROVE = OrderKind
RELEASE, STARTED = Release(2, "abc"), NOW - timedelta(hours=2)
ABOUT = (RELEASE, STARTED)
FREEZE = PolicySpec(freezes=(FreezeWindow(name="nights", start="0 0 * * *", duration="24h"),))


def order(kind: OrderKind, minutes: int = 0, **changes: Any) -> Order:
    made = Order(kind, "ana", "it looks odd", STARTED + minutes * MINUTE, "w", release=RELEASE, rollout=STARTED)
    return replace(made, **changes)


def force(*given: Order, now: datetime = NOW) -> Any:
    return in_force(given, ABOUT, "w", now)


def canary(kind: OrderKind, *, age: timedelta = MINUTE, **changes: Any) -> Scene:
    """Roll version 2 out at 10 %, under an order."""
    return ordered(settled().rolling(10, step=1, age=age, **changes), kind)


def ordered(scene: Scene, kind: OrderKind) -> Scene:
    """Let the ledger hold an order for the rollout that is under way."""
    record = next(r for v in scene.versions if (r := RolloutRecord.from_tag(v.tags.get("reconciler.dev/rollout"))))
    given = Order(
        kind, "ana", "it looks odd", record.started, wanted_digest(scene.wanted.spec), record.release, record.started
    )
    return scene.sees(memory=Memory(orders=(given,)))


@pytest.mark.parametrize(
    ("given", "last"),
    [
        ((PROMOTE,), PROMOTE),
        ((PAUSE, RESUME), RESUME),
        ((PROMOTE, PAUSE), PAUSE),
        ((PAUSE, PROMOTE), PROMOTE),
        ((PROMOTE, PAUSE, RESUME), RESUME),
    ],
)
def test_the_last_word_on_a_rollouts_course_counts(given: tuple[OrderKind, ...], last: OrderKind) -> None:
    assert force(*(order(kind, n) for n, kind in enumerate(given))).course.kind is last


def test_an_abort_is_final_whatever_is_ordered_after_it() -> None:
    assert force(order(ABORT), order(RESUME, 1)).abort is not None


@pytest.mark.parametrize(
    "other", [{"release": Release(3, "abc")}, {"release": Release(2, "abd")}, {"rollout": STARTED + MINUTE}]
)
def test_an_order_for_another_rollout_means_nothing(other: dict[str, Any]) -> None:
    found = force(*(order(kind, **other) for kind in (ABORT, PROMOTE, PAUSE)))
    assert (found.abort, found.course, found.pauses) == (None, None, ())


def test_the_time_that_a_rollout_was_paused_is_summed_up() -> None:
    given = [order(PAUSE, 10), order(PAUSE, 15), order(RESUME, 30), order(RESUME, 40), order(PAUSE, 110)]
    assert covered(force(*given).pauses, STARTED) == 30 * MINUTE
    assert covered(force(*given[:1], now=STARTED).pauses, STARTED) == timedelta()


@pytest.mark.parametrize(("counted", "minutes"), [(0, 30), (10, 30), (20, 20), (30, 10), (40, 10), (115, 5), (120, 0)])
def test_of_a_pause_only_what_came_after_the_deadline_began_to_run_puts_it_off(counted: int, minutes: int) -> None:
    given = [order(PAUSE, 10), order(RESUME, 30), order(PAUSE, 110)]
    assert covered(force(*given).pauses, STARTED + counted * MINUTE) == minutes * MINUTE


PAUSED: dict[str, tuple[tuple[tuple[OrderKind, int], ...], int]] = {
    "never paused": (((PROMOTE, 10), (RESUME, 20)), 0),
    "paused until now": (((PAUSE, 90),), 30),
    "resumed": (((PAUSE, 10), (RESUME, 30)), 20),
    "promoted while it was paused": (((PAUSE, 10), (PROMOTE, 25)), 15),
    "an abort or an approval in between ends no pause": (((PAUSE, 10), (ABORT, 20), (APPROVE, 25), (RESUME, 30)), 20),
    "a pause again begins nothing anew": (((PAUSE, 10), (PAUSE, 20), (RESUME, 30)), 20),
    "paused twice": (((PAUSE, 10), (RESUME, 30), (PAUSE, 50), (RESUME, 55)), 25),
    "paused twice, until now": (((PAUSE, 10), (RESUME, 30), (PAUSE, 110)), 30),
    "resumed before it was paused, by clocks that disagree": (((PAUSE, 30), (RESUME, 10)), 0),
    "paused later than now, by clocks that disagree": (((PAUSE, 150),), 0),
}


@pytest.mark.parametrize("sentence", PAUSED)
def test_for_how_long_a_rollout_was_paused(sentence: str) -> None:
    given, minutes = PAUSED[sentence]
    assert covered(force(*(order(kind, minute) for kind, minute in given)).pauses, STARTED) == minutes * MINUTE


@pytest.mark.parametrize(
    ("given", "promotes", "pauses"),
    [((), False, False), ((PROMOTE,), True, False), ((PAUSE,), False, True), ((PAUSE, RESUME), False, False)],
)
def test_what_the_last_word_asks_for(given: tuple[OrderKind, ...], *, promotes: bool, pauses: bool) -> None:
    found = force(*(order(kind, n) for n, kind in enumerate(given)))
    assert (found.promote is not None, found.pause is not None) == (promotes, pauses)


def test_without_orders_nothing_is_in_force() -> None:
    assert force() is NONE
    assert (NONE.promote, NONE.pause, NONE.approved, NONE.tried("k")) == (None, None, None, 0)


def test_no_order_is_for_a_rollout_that_there_is_not() -> None:
    found = in_force((order(ABORT, release=None, rollout=None), order(PAUSE)), None, "w", NOW)
    assert (found.abort, found.course, found.pauses) == (None, None, ())


def test_the_first_abort_is_the_abort() -> None:
    first, second = order(ABORT, 1), order(ABORT, 2)
    assert force(order(PAUSE), first, second).abort is first


def test_of_approvals_the_last_counts() -> None:
    given = [order(APPROVE, n, version=n, release=None, rollout=None) for n in (2, 3)]
    assert force(*given).approved == 3
    assert force(*given).approval is given[1]
    assert force(order(PAUSE, version=2)).approved is None


def test_a_step_that_may_be_left_is_approved_for_its_rollout_and_is_no_version() -> None:
    given = order(APPROVE, step=2)
    found = force(given, order(PAUSE, 1, step=3), order(APPROVE, 1, step=1, rollout=NOW))
    assert found.steps == {2: given}
    assert found.approved is None


def test_a_retry_is_of_one_rejection_or_of_one_trainings_attempts() -> None:
    rejection = order(RETRY, rejected_at=NOW, rollout=None)
    training = order(RETRY, 1, key="k", attempt=3, release=None, rollout=None)
    found = force(rejection, training, order(RETRY), order(RETRY, release=None, rejected_at=NOW))
    assert found.retried == {(RELEASE, NOW)}
    assert (found.tries, found.tried("k"), found.tried("other")) == ({"k": training}, 3, 0)


def test_only_a_retry_lets_something_be_tried_again() -> None:
    found = force(order(PAUSE, rejected_at=NOW, key="k", attempt=3))
    assert (found.retried, found.tries) == (frozenset(), {})


def test_of_a_trainings_retries_the_last_counts() -> None:
    assert force(order(RETRY, key="k", attempt=3), order(RETRY, 1, key="k", attempt=6)).tried("k") == 6


def test_an_abort_is_a_rejection_in_the_words_of_who_gave_it() -> None:
    given = order(ABORT, 1)
    assert said(given, "paused") == "paused by ana: it looks odd"
    assert rejection_of(given) == Rejection(RELEASE, "w", "aborted by ana: it looks odd", given.at, STARTED)
    assert rejection_of(replace(given, release=None)) is None


WRITTEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "of a rollout": (
        {"release": RELEASE, "rollout": STARTED}, {"release": "2-abc", "rollout": STARTED.isoformat()},
    ),
    "of a rejection": (
        {"release": RELEASE, "rejected_at": NOW}, {"release": "2-abc", "rejectedAt": NOW.isoformat()},
    ),
    "of a training": ({"key": "k", "attempt": 3}, {"key": "k", "attempt": 3}),
    "of a version": ({"version": 7}, {"version": 7}),
    "of version 0": ({"version": 0}, {"version": 0}),
    "of a step": ({"release": RELEASE, "step": 2}, {"release": "2-abc", "step": 2}),
    "of nothing": ({}, {}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRITTEN)
def test_the_ledger_holds_what_an_order_is_about_and_no_more(sentence: str) -> None:
    changes, written = WRITTEN[sentence]
    given = replace(order(RETRY, release=None, rollout=None), **changes)
    assert to_after(given) == {"wanted": "w", **written}
    assert from_after("OrderRetry", (given.actor, given.reason, given.at), to_after(given)) == given


def test_orders_are_called_on_the_ledger_what_the_documentation_says() -> None:
    assert ACTIONS == {
        "OrderAbort": ABORT, "OrderPromote": PROMOTE, "OrderPause": PAUSE, "OrderResume": RESUME, "OrderRetry": RETRY,
        "OrderApprove": APPROVE,
    }  # fmt: skip


@pytest.mark.parametrize("wanted", ["w", "other"])
def test_an_approval_counts_under_the_wishes_that_it_was_given_under(wanted: str) -> None:
    found = force(order(APPROVE, version=2, wanted=wanted, release=None, rollout=None))
    assert found.approved == (2 if wanted == "w" else None)


@pytest.mark.parametrize("kind", OrderKind)
def test_an_order_reads_from_the_ledger_as_it_was_written(kind: OrderKind) -> None:
    given = order(kind, version=7, key="k", attempt=3, rejected_at=NOW, step=1)
    action = next(name for name, known in ACTIONS.items() if known is kind)
    assert from_after(action, (given.actor, given.reason, given.at), to_after(given)) == given


@pytest.mark.parametrize(
    "after",
    [
        {},
        {"wanted": "w", "rollout": "yesterday"},
        {"wanted": "w", "rejectedAt": "yesterday"},
        {"wanted": "w", "version": "two"},
        {"wanted": "w", "attempt": "two"},
        3,
    ],
)
def test_what_we_did_not_write_is_no_order(after: Any) -> None:
    assert from_after("OrderAbort", ("ana", "", NOW), after) is None
    assert from_after("Train", ("ana", "", NOW), {"wanted": "w"}) is None


def test_an_abort_begins_the_way_back_in_a_freeze_too() -> None:
    decision = replace(canary(ABORT), policy=FREEZE).decide()
    assert isinstance(decision.action, CutTraffic)
    assert decision.reason == "because aborted by ana: it looks odd"


def test_a_promotion_routes_everything_and_waits_for_a_freeze() -> None:
    scene = canary(PROMOTE)
    assert isinstance(scene.decide().action, RouteAll)
    held = replace(scene, policy=FREEZE).decide()
    assert held.action is None
    assert "nights" in held.blocked_by


def test_a_promotion_is_followed_after_the_deadline_too_where_the_version_is_ready() -> None:
    assert isinstance(canary(PROMOTE, age=timedelta(hours=3)).decide().action, RouteAll)


def test_a_promotion_of_what_is_not_ready_waits_and_ends_at_the_deadline() -> None:
    unready: dict[str, Any] = {"latest_ready": "iris-predictor-00001"}
    assert canary(PROMOTE, **unready).decide().action is None
    assert isinstance(canary(PROMOTE, age=timedelta(hours=3), **unready).decide().action, CutTraffic)


def test_a_pause_outlasts_the_deadline_and_says_who_ordered_it() -> None:
    decision = canary(PAUSE, age=timedelta(hours=3)).decide()
    assert decision.action is None
    assert decision.blocked_by == "paused by ana: it looks odd"
    assert "reconciler resume" in decision.waits_for
    assert decision.health is Health.SUSPENDED


def test_a_paused_rollout_is_suspended_while_it_is_measured_too_and_one_that_is_ill_stays_ill() -> None:
    check = {"name": "answers", "probe": {"inputs": {"from": "inputExample"}}}
    rollout = {"steps": [{"traffic": 10, "hold": "10m"}], "analysis": [check]}
    measured = ordered(settled(rollout=rollout).rolling(10, step=1), PAUSE).decide()
    assert isinstance(measured.action, Analyse)
    assert measured.health is Health.SUSPENDED
    shown = (TrafficTarget(CANDIDATE, 0, "latest", latest=True), TrafficTarget(STABLE, 100, "prev"))
    assert canary(PAUSE, unready=frozenset({STABLE}), traffic=shown).decide().health is Health.DEGRADED
