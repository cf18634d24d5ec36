"""A revision that was ready loses all its pods: what its callers get, and how the next commit goes on."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.observed import TAG_REJECTED, TAG_ROLLOUT, OrderKind, Stage
from reconciler.plan.facts import BACK_WITHIN
from tests.simulation.faults import Fault
from tests.simulation.standard import Routing
from tests.simulation.stories import Script, good, spec, training, world
from tests.simulation.test_kserve_pitfalls import Film, in_canary, in_production, roles, share, shares
from tests.simulation.world import KEY, NAME

STEPS = [{"traffic": 10, "hold": "30s"}, {"traffic": 50, "hold": "30s"}]
UNMEASURED: dict[str, Any] = {"rollout": {"steps": STEPS, "deadline": "10m"}}
STRATEGIES: dict[str, dict[str, Any]] = {
    "canary": {},
    "a canary that nobody measures": UNMEASURED,
    "blueGreen": {"rollout": {"strategy": "blueGreen", "hold": "30s", "deadline": "10m"}},
    "immediate": {"rollout": {"strategy": "immediate", "deadline": "10m"}},
}
MODES = ("Knative", "Standard")


def serving(mode: str) -> dict[str, Any]:
    model = {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2"}
    return {"namespace": "models", "mode": mode, "predictor": {"model": model, "minReplicas": 1}}


def begun(**changes: object) -> Film:
    """Begin with version 1 in Production."""
    film = Film(world(Script(), good))
    film.made.source.write(NAME, spec(**changes))
    film.rest()
    return film


def newest(film: Film) -> str:
    return film.made.serving.live[KEY].newest


def crash(film: Film, revision: str) -> None:
    film.made.serving.crash(KEY, revision)


def commit(film: Film, n: int, **changes: object) -> None:
    film.made.source.write(NAME, spec(training=training(n), **changes))


def in_first_step(**changes: object) -> tuple[Film, str, str]:
    """Begin with version 2 in its first step; return the revisions of both."""
    film = begun(**changes)
    stable = newest(film)
    commit(film, 2, **changes)
    film.until(lambda: shares(film) == {1: 90, 2: 10} and "step 1 of 2" in waits_for(film))
    return film, stable, newest(film)


def waits_for(film: Film) -> str:
    status = film.made.status()
    return status.waits_for if status else ""


def stalled(film: Film) -> tuple[str, str]:
    status = film.made.status()
    assert status is not None
    return status.conditions.stalled.reason, status.conditions.stalled.message


def rejected(film: Film, version: int) -> str:
    return film.made.registry.models[NAME].versions[version - 1].tags.get(TAG_REJECTED, "")


# Stable.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fix_gets_everything_once_it_is_ready_where_stable_crashed(strategy: str, mode: str) -> None:
    changes = {**STRATEGIES[strategy], "serving": serving(mode)}
    film = begun(**changes)
    crash(film, newest(film))
    commit(film, 2, **changes)
    pictures = film.rest()
    assert share(pictures, 2) == {0, 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


@pytest.mark.parametrize("mode", MODES)
def test_a_stable_that_is_back_within_a_minute_is_not_given_up(mode: str) -> None:
    film = begun(serving=serving(mode))
    commit(film, 2, serving=serving(mode))
    film.until(lambda: film.pictures[-1].asked == 2)
    crash(film, next(iter(film.made.serving.live[KEY].templates)))
    film.until(lambda: "all callers are sent to it" in waits_for(film))
    film.made.now += BACK_WITHIN / 2
    film.made.serving.recover(KEY)
    pictures = film.rest()
    assert {10, 50} < share(pictures, 2)


def test_what_served_before_comes_back_where_what_replaced_it_crashed() -> None:
    film = in_production()
    commit(film, 2)
    film.rest()
    crash(film, newest(film))
    commit(film, 1)
    film.rest()
    assert shares(film) == {1: 100}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_a_fix_in_standard_mode_that_keeps_its_artifact_gets_everything_too() -> None:
    film = begun(serving=serving("Standard"))
    crash(film, newest(film))
    more = serving("Standard")
    more["predictor"]["model"]["resources"] = {"limits": {"memory": "8Gi"}}
    commit(film, 1, serving=more)
    film.rest()
    live = film.made.serving.live[KEY]
    assert live.manifest["spec"]["predictor"]["model"]["resources"] == {"limits": {"memory": "8Gi"}}
    assert live.up == {live.shares[0].revision}


def test_what_crashed_before_its_promotion_ended_is_promoted_and_then_replaced() -> None:
    script = Script()
    script.then("PointAlias(alias='champion'", Fault.REFUSED)
    film = Film(world(script, good))
    film.made.source.write(NAME, spec())
    film.until(lambda: not script.faults)
    assert roles(film) == {1: Stage.STAGING}
    crash(film, newest(film))
    commit(film, 2)
    film.rest()
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_role_that_was_moved_by_hand_goes_back_to_what_callers_have_also_where_that_crashed() -> None:
    film = in_production()
    crash(film, newest(film))
    film.made.registry._transition(NAME, 1, Stage.NONE)
    film.made.registry._point(NAME, "champion", None)
    film.made.reconciler.refresh_registry()
    assert roles(film) == {1: Stage.NONE}
    film.rest()
    assert roles(film) == {1: Stage.PRODUCTION}


ROUTINGS: tuple[Routing, ...] = ("weights", "none")


@pytest.mark.parametrize("routing", ROUTINGS)
def test_what_serves_in_standard_mode_and_crashed_is_degraded_with_routes_and_without(routing: Routing) -> None:
    made = world(Script(), good)
    made.serving.routing = routing
    film = Film(made)
    made.source.write(NAME, spec(serving=serving("Standard")))
    film.rest()
    crash(film, newest(film))
    film.rest()
    status = made.status()
    assert status is not None
    assert (status.sync, status.health) == ("Synced", "Degraded")


@pytest.mark.parametrize("mode", MODES)
def test_what_was_deployed_first_and_crashed_before_it_was_promoted_is_degraded(mode: str) -> None:
    film = Film(world(Script(), good))
    film.made.source.write(NAME, spec(serving=serving(mode)))
    film.until(lambda: bool(film.made.serving.live) and bool(film.made.serving.live[KEY].shares))
    crash(film, newest(film))
    film.rest()
    status = film.made.status()
    assert status is not None
    assert (status.phase, status.health) == ("Deploying", "Degraded")
    assert "version 1 to become ready" in status.waits_for


@pytest.mark.parametrize("mode", MODES)
def test_a_stable_that_crashes_between_two_steps_is_told_and_a_person_may_promote(mode: str) -> None:
    film, stable, _ = in_first_step(serving=serving(mode))
    crash(film, stable)
    film.until(lambda: not film.made.one_pass() and stalled(film)[0] == "StableNotReady")
    assert stalled(film)[1] == f"version 2 gets no other share of the traffic: {stable} is not ready"
    assert "`reconciler promote`" in waits_for(film)
    assert "HoldRollback" not in {r.entry.action for r in film.made.ledger.records}
    film.made.order(OrderKind.PROMOTE)
    film.rest()
    assert shares(film) == {2: 100}


@pytest.mark.parametrize("mode", MODES)
def test_a_stable_that_comes_back_between_two_steps_lets_them_go_on(mode: str) -> None:
    film, stable, _ = in_first_step(serving=serving(mode))
    crash(film, stable)
    film.until(lambda: not film.made.one_pass() and stalled(film)[0] == "StableNotReady")
    film.made.serving.recover(KEY)
    pictures = film.rest()
    assert {50, 100} < share(pictures, 2)


# A candidate.


def test_a_candidate_that_crashes_with_callers_loses_them_by_its_checks() -> None:
    film, _, candidate = in_first_step()
    crash(film, candidate)
    film.made.bad.add(2)
    pictures = film.rest()
    assert share(pictures, 2) == {0, 10}
    assert shares(film) == {1: 100}
    assert "answers failed at 10 %" in rejected(film, 2)


def test_a_candidate_that_crashes_unmeasured_gets_no_more_callers_and_loses_them_at_its_deadline() -> None:
    film, _, candidate = in_first_step(**UNMEASURED)
    crash(film, candidate)
    pictures = film.rest()
    assert share(pictures, 2) == {0, 10}
    assert shares(film) == {1: 100}
    assert "the rollout did not end within 10m" in rejected(film, 2)


@pytest.mark.parametrize("both", [False, True], ids=["it alone", "stable too"])
def test_a_fix_of_a_candidate_that_crashed_is_rolled_out_over_the_restored_stable_template(*, both: bool) -> None:
    film, stable, candidate = in_first_step(**UNMEASURED)
    crash(film, candidate)
    if both:
        crash(film, stable)
    commit(film, 3, **UNMEASURED)
    pictures = film.rest()
    assert share(pictures, 2) <= {0, 10}
    assert shares(film) == {3: 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.PRODUCTION}


def test_a_candidate_that_comes_back_while_it_is_taken_away_hands_its_share_to_nobody() -> None:
    film, _, candidate = in_first_step(**UNMEASURED)
    crash(film, candidate)
    commit(film, 3, **UNMEASURED)
    film.until(lambda: film.pictures[-1].percent == 0)
    film.made.serving.recover(KEY)
    pictures = film.rest()
    assert share([p for p in pictures if p.asked == 3 and p.percent == 0], 3) == {0}
    assert shares(film) == {3: 100}


def test_a_paused_candidate_that_crashed_begins_anew_after_a_commit() -> None:
    rollout = {"steps": STEPS, "deadline": "10m", "onFailure": "pause"}
    film, _, candidate = in_first_step(rollout=rollout)
    crash(film, candidate)
    film.until(lambda: "the rollout is paused" in stalled(film)[1])
    commit(film, 2, rollout={**rollout, "deadline": "20m"})
    film.rest()
    assert shares(film) == {2: 100}


CUT_SHORT = {"nothing": {1: 100}, "a fix": {3: 100}, "a revert": {1: 100}, "an abort": {1: 100}}


@pytest.mark.parametrize("back", [False, True], ids=["for good", "for a while"])
@pytest.mark.parametrize("then", CUT_SHORT)
def test_a_candidate_that_crashes_before_its_promotion_shows_gives_way(then: str, *, back: bool) -> None:
    film = in_canary()
    film.until(lambda: film.pictures[-1].asked == 2 and film.pictures[-1].percent is None)
    crash(film, newest(film))
    if then == "an abort":
        film.made.order(OrderKind.ABORT)
    elif then != "nothing":
        commit(film, 3 if then == "a fix" else 1)
    if back:
        film.until(lambda: film.pictures[-1].percent == 0)
        film.made.serving.recover(KEY)
    pictures = film.rest()
    assert 100 not in share(pictures, 2)
    assert {p.percent for p in pictures if p.asked == 2} <= {None}
    assert shares(film) == CUT_SHORT[then]


def test_a_candidate_that_crashes_with_all_callers_is_promoted_and_the_next_commit_replaces_it() -> None:
    film = in_canary()
    film.until(lambda: shares(film) == {2: 100})
    crash(film, newest(film))
    commit(film, 3)
    film.rest()
    assert shares(film) == {3: 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.PRODUCTION}


# A restored stable template.


def restoring() -> tuple[Film, str]:
    """Let version 2 be rolled back, and version 1 not come up again; return the revision that serves it."""
    film = in_production()
    stable = newest(film)
    commit(film, 2)
    film.until(lambda: shares(film) == {1: 90, 2: 10})
    film.made.bad.add(2)
    film.made.serving.never_ready.add(1)
    film.until(lambda: "version 1 to be ready again" in waits_for(film))
    return film, stable


@pytest.mark.parametrize("crashes", [False, True], ids=["stable serves", "stable crashed too"])
def test_a_restored_template_that_does_not_come_up_keeps_no_fix_out(*, crashes: bool) -> None:
    film, stable = restoring()
    if crashes:
        crash(film, stable)
    commit(film, 3)
    film.rest()
    assert shares(film) == {3: 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.PRODUCTION}
    assert "answers failed at 10 %" in rejected(film, 2)


def test_a_rollback_that_was_closed_for_a_fix_ends_where_git_does_not_want_that_any_more() -> None:
    film, _ = restoring()
    commit(film, 3)
    film.until(lambda: all(TAG_ROLLOUT not in v.tags for v in film.made.registry.models[NAME].versions))
    assert film.made.serving.live[KEY].percent == 0
    commit(film, 1)
    film.until(lambda: film.made.one_pass() == "" and "to be ready again" in waits_for(film))
    film.made.serving.never_ready.clear()
    film.rest()
    assert shares(film) == {1: 100}
    assert film.made.serving.live[KEY].percent is None
