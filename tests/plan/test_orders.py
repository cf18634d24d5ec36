"""Which orders are in force, and what the planner makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.desired.documents import FreezeWindow, PolicySpec
from reconciler.observed import Order, OrderKind, Release
from reconciler.plan.action import CutTraffic, RouteAll
from reconciler.plan.facts import RolloutRecord, wanted_digest
from reconciler.plan.orders import ACTIONS, from_after, in_force, to_after
from tests.plan.scenes import MINUTE, NOW, Memory, Scene, settled

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
    scene = settled().rolling(10, step=1, age=age, **changes)
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
    assert (found.abort, found.course, found.held) == (None, None, timedelta())


def test_the_time_that_a_rollout_was_paused_is_summed_up() -> None:
    given = [order(PAUSE, 10), order(PAUSE, 15), order(RESUME, 30), order(RESUME, 40), order(PAUSE, 110)]
    assert force(*given).held == 30 * MINUTE
    assert force(*given[:1], now=STARTED).held == timedelta()


@pytest.mark.parametrize("wanted", ["w", "other"])
def test_an_approval_counts_under_the_wishes_that_it_was_given_under(wanted: str) -> None:
    found = force(order(APPROVE, version=2, wanted=wanted, release=None, rollout=None))
    assert found.approved == (2 if wanted == "w" else None)


@pytest.mark.parametrize("kind", OrderKind)
def test_an_order_reads_from_the_ledger_as_it_was_written(kind: OrderKind) -> None:
    given = order(kind, version=7, key="k", attempt=3, rejected_at=NOW)
    action = next(name for name, known in ACTIONS.items() if known is kind)
    assert from_after(action, (given.actor, given.reason, given.at), to_after(given)) == given


@pytest.mark.parametrize("after", [{}, {"wanted": "w", "rollout": "yesterday"}, {"wanted": "w", "version": "two"}])
def test_what_we_did_not_write_is_no_order(after: dict[str, Any]) -> None:
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
