"""Strategies, holds and reverts in the simulated world: what callers get, event by event."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.observed import TAG_REJECTED, Stage
from tests.simulation.stories import spec
from tests.simulation.test_kserve_pitfalls import Film, in_production, roles, share, shares
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME


def commit(film: Film, wish: Wish) -> None:
    film.made.source.write(NAME, spec_of(wish))


def two_in_production(**wish: object) -> Film:
    """Begin with version 2 in Production, and version 1 that was before."""
    film = in_production()
    commit(film, replace(Wish(parameters=2), **wish))  # type: ignore[arg-type]  # fields of Wish
    film.rest()
    assert shares(film) == {2: 100}
    return film


GREEN = Wish(parameters=2, strategy="blueGreen")
STABLE = "iris-predictor-00001"
# The turn of a tick in which KServe reads Knative's status before the route takes up what is ready by now.
REPORTS = 3


def test_blue_green_is_measured_at_no_traffic_and_then_gets_everything_at_once() -> None:
    film = in_production()
    commit(film, GREEN)
    pictures = film.rest()
    assert share(pictures, 2) == {0, 100}
    assert any(r.entry.action == "Analyse" for r in film.made.ledger.of[NAME])
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_blue_green_that_answers_badly_never_has_a_caller() -> None:
    film = in_production()
    film.made.bad.add(2)
    commit(film, GREEN)
    pictures = film.rest()
    assert share(pictures, 2) == {0}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert "failed at 0 %" in film.made.registry.models[NAME].versions[1].tags[TAG_REJECTED]


def test_what_the_route_still_takes_for_the_candidate_is_not_measured_in_its_place() -> None:
    film = in_production()
    film.made.bad.add(2)
    commit(film, GREEN)
    film.until(lambda: any(r.entry.action == "StartCanary" for r in film.made.ledger.of[NAME]))
    component = film.made.serving.live[KEY].component
    while component.ready != component.created or component.created == STABLE:
        assert film.made.tick(turn=REPORTS)
        component = film.made.serving.live[KEY].component
    assert [s.revision for s in component.shares if s.tag == "latest"] == [STABLE]
    assert {film.made.one_pass() for _ in range(5)} == {""}
    assert _waits_for(film) == "the route to take up version 2"
    assert share(film.rest(), 2) == {0}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_immediate_gives_everything_once_the_candidate_is_ready() -> None:
    film = in_production()
    commit(film, Wish(parameters=2, strategy="immediate"))
    pictures = film.rest()
    assert share(pictures, 2) == {0, 100}
    assert not any(r.entry.action == "BeginStep" for r in film.made.ledger.of[NAME])


def test_immediate_that_does_not_become_ready_is_taken_back_at_the_deadline() -> None:
    film = in_production()
    film.made.serving.never_ready.add(2)
    commit(film, Wish(parameters=2, strategy="immediate"))
    pictures = film.rest()
    assert share(pictures, 1) == {100}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


@pytest.mark.parametrize("strategy", [None, "blueGreen"])
def test_a_step_that_waits_for_a_person_waits_past_the_deadline_and_a_commit_lets_it_go_on(
    strategy: str | None,
) -> None:
    film = in_production()
    wish = Wish(parameters=2, strategy=strategy, hold="untilApproved", analysed=False)
    commit(film, wish)
    film.until(lambda: "approval of step 1" in _waits_for(film))
    film.made.now += timedelta(days=1)
    film.rest()
    assert roles(film)[2] is Stage.STAGING
    assert "approval of step 1" in _waits_for(film)
    commit(film, replace(wish, hold="5s"))
    film.rest()
    assert roles(film)[2] is Stage.PRODUCTION


def _waits_for(film: Film) -> str:
    status = film.made.status()
    return status.waits_for if status else ""


def test_a_step_is_left_only_inside_its_window() -> None:
    film = in_production()
    commit(film, Wish(parameters=2, hold="window", steps=(20,)))
    film.rest()
    assert roles(film)[2] is Stage.PRODUCTION
    everything = next(r for r in film.made.ledger.of[NAME] if r.entry.action == "RouteAll")
    assert everything.entry.at.minute % 15 < 4


def test_a_reverted_version_comes_back_without_steps() -> None:
    film = two_in_production()
    commit(film, Wish())
    pictures = film.rest()
    assert share(pictures, 1) == {0, 100}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_a_reverted_version_goes_by_the_steps_where_git_asks_for_them() -> None:
    film = two_in_production()
    commit(film, Wish(on_revert="steps"))
    pictures = film.rest()
    assert {10, 50, 100} <= share(pictures, 1)


def test_a_revert_in_the_middle_of_the_next_canary_goes_back_to_stable_without_steps() -> None:
    film = two_in_production()
    commit(film, Wish(parameters=3))
    film.until(lambda: "step 1 of 2" in _waits_for(film))
    commit(film, Wish())
    pictures = film.rest()
    assert share(pictures[1:], 3) <= {0, 10}
    assert share(pictures, 1) == {0, 100}
    assert roles(film)[1] is Stage.PRODUCTION


def test_a_commit_between_the_routing_of_a_share_and_its_status_archives_nothing_that_has_traffic() -> None:
    film = two_in_production()
    commit(film, Wish(parameters=3))
    film.until(lambda: shares(film) == {2: 90, 3: 10})
    commit(film, Wish())
    film.rest()
    assert shares(film) == {1: 100}
    assert roles(film)[1] is Stage.PRODUCTION


def test_an_older_version_that_never_served_goes_by_the_steps() -> None:
    film = in_production()
    film.made.registry.register(NAME, {}, {"accuracy": 0.95}, film.made.now)
    film.made.registry.register(NAME, {}, {"accuracy": 0.95}, film.made.now)
    film.rest()
    assert shares(film) == {3: 100}
    film.made.source.write(NAME, spec(promotion={"version": "2", "gates": []}))
    pictures = film.rest()
    assert {10, 50, 100} <= share(pictures, 2)
