"""When a rollout has to be over: what counts against it, and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.desired.documents import FreezeWindow, PolicySpec
from reconciler.observed import Memory, Order, OrderKind
from reconciler.plan.action import CutTraffic, ShiftTraffic
from reconciler.plan.freezes import covered, frozen_spans
from tests.plan.scenes import MINUTE, NOW, STABLE, Scene
from tests.plan.test_rollout import canary, record, recorded, seen

HOUR, DAY = 60 * MINUTE, timedelta(days=1)


def slow(age: timedelta, **changes: Any) -> Scene:
    """Let a candidate take for ever to come up."""
    return seen(canary(0, 0, age=age, **changes), latest_ready=STABLE)


def committed(scene: Scene, ago: timedelta) -> Scene:
    return scene.wants(commit=replace(scene.wanted.commit, at=NOW - ago))


def frozen_from(scene: Scene, cron: str, duration: str) -> Scene:
    freezes = [{"name": "fair", "start": cron, "duration": duration}]
    return replace(scene, policy=PolicySpec.model_validate({"freezes": freezes}))


def cut_at(scene: Scene) -> datetime:
    """Return when the rollout is taken back for its deadline, found by looking again whenever it says so."""
    now = NOW
    for _ in range(50):
        decision = scene.decide(now)
        if isinstance(decision.action, CutTraffic):
            assert "did not end within 1h" in decision.reason
            return now
        assert decision.look_again_at is not None
        assert decision.look_again_at > now
        now = decision.look_again_at
    raise AssertionError("it is never taken back")


def test_it_counts_from_the_first_apply() -> None:
    assert cut_at(slow(20 * MINUTE)) == NOW + 40 * MINUTE


def test_it_counts_anew_from_a_commit_that_changes_the_spec_and_never_from_one_that_is_yet_to_come() -> None:
    assert cut_at(committed(slow(DAY), 20 * MINUTE)) == NOW + 40 * MINUTE
    scene = committed(slow(DAY), -DAY)
    assert scene.decide().look_again_at == NOW + HOUR


def test_a_freeze_puts_it_off_by_as_long_as_it_lasts() -> None:
    # NOW is 09:30: the freeze is from 09:40 to 11:40.
    scene = frozen_from(slow(20 * MINUTE), "40 9 * * *", "2h")
    assert cut_at(scene) == NOW + 2 * HOUR + 40 * MINUTE


def test_a_freeze_that_is_over_puts_it_off_only_by_what_lies_after_the_first_apply() -> None:
    scene = frozen_from(slow(50 * MINUTE), "0 8 * * *", "1h")
    assert cut_at(scene) == NOW + 30 * MINUTE


def test_a_pause_in_a_freeze_counts_once() -> None:
    scene = frozen_from(slow(70 * MINUTE), "40 8 * * *", "30m")
    found = record(scene)
    paused, resumed = (
        Order(kind, "ana", "logs", NOW - ago * MINUTE, "", found.release, found.started)
        for kind, ago in ((OrderKind.PAUSE, 45), (OrderKind.RESUME, 30))
    )
    assert cut_at(scene.sees(memory=Memory(orders=(paused, resumed)))) == NOW + 20 * MINUTE


def test_nothing_is_late_while_it_is_suspended() -> None:
    assert slow(DAY, suspend=True).decide().action is None
    assert slow(DAY, suspend=True).decide().blocked_by == ""


def test_after_a_suspension_it_counts_from_the_commit_that_ended_it() -> None:
    assert cut_at(committed(slow(DAY), MINUTE)) == NOW + 59 * MINUTE


def test_where_git_ended_the_waiting_it_counts_from_that_commit_if_that_is_the_younger() -> None:
    waited = recorded(canary(age=DAY), waits=True)
    assert isinstance(committed(waited, HOUR - MINUTE).decide().action, ShiftTraffic)
    assert isinstance(committed(waited, HOUR).decide().action, CutTraffic)
    assert isinstance(committed(waited, DAY + MINUTE).decide().action, ShiftTraffic)


OPEN = {"cron": "0 9 * * *", "duration": "1h"}


def test_once_a_window_is_open_it_counts_from_its_opening() -> None:
    unsure: dict[str, Any] = {"name": "answers", "probe": {"inputs": {"from": "inputExample"}}}
    steps = {"steps": [{"traffic": 10, "hold": OPEN}], "analysis": [unsure], "deadline": "45m"}
    scene = canary(age=DAY, rollout=steps)
    ends = NOW.replace(hour=9, minute=45)
    assert not isinstance(scene.decide(ends - MINUTE).action, CutTraffic)
    assert isinstance(scene.decide(ends).action, CutTraffic)
    shut = NOW.replace(hour=10)
    assert not isinstance(scene.decide(shut).action, CutTraffic)


def test_once_a_step_is_approved_it_counts_from_the_approval() -> None:
    unsure: dict[str, Any] = {"name": "answers", "probe": {"inputs": {"from": "inputExample"}}}
    steps = {"steps": [{"traffic": 10, "hold": "untilApproved"}], "analysis": [unsure]}
    scene = canary(age=DAY, rollout=steps)
    found = record(scene)
    assert not isinstance(scene.decide().action, CutTraffic)
    approval = Order(OrderKind.APPROVE, "ana", "fine", NOW - HOUR, "", found.release, found.started, step=1)
    approved = scene.sees(memory=Memory(orders=(approval,)))
    assert not isinstance(approved.decide(NOW - timedelta(seconds=1)).action, CutTraffic)
    assert isinstance(approved.decide().action, CutTraffic)


@pytest.mark.parametrize(
    ("spans", "minutes"),
    [
        ([], 0),
        ([(0, 5), (10, 15)], 10),
        ([(0, 10), (5, 15)], 15),
        ([(0, 20), (5, 10)], 20),
        ([(10, 15), (0, 5)], 10),
        ([(-20, -10)], 0),
        ([(-20, 10)], 10),
    ],
)
def test_time_that_several_spans_cover_counts_once(spans: list[tuple[int, int]], minutes: int) -> None:
    made = [(NOW + begin * MINUTE, NOW + end * MINUTE) for begin, end in spans]
    assert covered(made, NOW) == minutes * MINUTE


def test_every_time_that_a_freeze_was_in_force_is_a_span() -> None:
    window = FreezeWindow(name="nightly", start="0 1 * * *", duration="2h", models=("*",))
    spans = list(frozen_spans((window,), NOW - 2 * DAY - 8 * HOUR, NOW))
    nights = [NOW.replace(day=day, hour=1, minute=0) for day in (20, 19, 18)]
    assert spans == [(n, n + 2 * HOUR) for n in nights[:2]] + [(nights[2] + HOUR / 2, nights[2] + 2 * HOUR)]
    assert list(frozen_spans((window,), NOW, NOW)) == []
