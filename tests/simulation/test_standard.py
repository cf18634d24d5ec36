"""Standard mode in the simulated world: two predictors and the weights of a route, event by event."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.manifest import share_of
from reconciler.observed import TAG_REJECTED, TAG_ROLLOUT, OrderKind, Stage
from reconciler.plan.begin import NOT_ROUTED
from reconciler.ports import Result
from tests.simulation.standard import Routing, canary_of, release_of, stable_name
from tests.simulation.stories import Script, good, world
from tests.simulation.test_kserve_pitfalls import Film, roles, share, shares
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME

FIRST = Wish(mode="Standard")
SECOND = replace(FIRST, parameters=2)
PRODUCTION = Stage.PRODUCTION
GREEN = replace(SECOND, strategy="blueGreen")


def commit(film: Film, wish: Wish) -> None:
    film.made.source.write(NAME, spec_of(wish))


def in_production(routing: Routing = "weights", wish: Wish = FIRST) -> Film:
    """Begin with version 1 in Production."""
    film = Film(world(Script(), good))
    film.made.serving.routing = routing
    commit(film, wish)
    film.rest()
    assert shares(film) == {1: 100}
    return film


def in_canary(wish: Wish = SECOND) -> Film:
    """Begin with version 2 at 10 % over version 1."""
    film = in_production()
    commit(film, wish)
    film.until(lambda: shares(film) == {1: 90, 2: 10} and "step 1 of 2" in waits_for(film))
    return film


def waits_for(film: Film) -> str:
    status = film.made.status()
    return status.waits_for if status else ""


def stalled(film: Film) -> str:
    """Return why nothing goes on, by its word."""
    status = film.made.status()
    return status.conditions.stalled.reason if status else ""


def name_of(film: Film) -> str:
    """Return the Deployment of the stable predictor."""
    return stable_name(film.made.serving.live[KEY].manifest)


def asked(film: Film) -> int | None:
    return share_of(film.made.serving.live[KEY].manifest)


def began(film: Film) -> int:
    """Return how many steps were begun."""
    return sum(r.entry.action == "BeginStep" and r.entry.result is Result.DONE for r in film.made.ledger.of[NAME])


def test_a_canary_goes_by_its_steps_and_stable_goes_when_nobody_is_sent_to_it() -> None:
    film = in_production()
    commit(film, SECOND)
    pictures = film.rest()
    percents = [p.percent for p in pictures if p.asked == 2]
    assert [p for n, p in enumerate(percents) if n == 0 or percents[n - 1] != p] == [0, 10, 50, 100, None]
    assert share(pictures, 2) == {0, 10, 50, 100}
    alone = next(p for p in pictures if p.asked == 2 and p.percent is None)
    assert alone.shares == {2: 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
    assert list(film.made.serving.live[KEY].templates) == [name_of(film)]


def test_a_step_begins_when_the_route_has_its_share_and_not_when_the_spec_does() -> None:
    film = in_production()
    commit(film, SECOND)
    film.until(lambda: asked(film) == 10)
    for _ in range(10):
        assert film.made.one_pass() == ""
    assert began(film) == 0
    assert "10 % of the traffic to reach version 2" in waits_for(film)
    film.until(lambda: shares(film) == {1: 90, 2: 10})
    film.until(lambda: began(film) == 1)


def test_what_keeps_its_artifact_is_promoted_under_the_name_that_stable_had() -> None:
    film = in_production()
    before, old = name_of(film), set(film.made.serving.releases(KEY))
    commit(film, replace(FIRST, replicas=2))
    pictures = film.rest()
    assert name_of(film) == before
    assert list(film.made.serving.live[KEY].templates) == [before]
    assert film.made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == 2
    assert {10, 50, 100} <= {p.percent for p in pictures}
    assert not old & film.made.serving.releases(KEY).keys()
    status = film.made.status()
    assert status is not None
    assert status.sync == "Synced"


@pytest.mark.parametrize("lowered", [False, True])
def test_an_abort_in_the_middle_of_a_promotion_in_place_goes_back_to_what_was_there(*, lowered: bool) -> None:
    film = in_production()
    made, old = film.made, set(film.made.serving.releases(KEY))
    commit(film, replace(FIRST, replicas=2))

    def promoting() -> bool:
        manifest = made.serving.live[KEY].manifest
        canary = canary_of(manifest)
        alike = canary is not None and release_of(manifest["spec"]["predictor"]) == release_of(canary["predictor"])
        return alike and (asked(film) == 0) is lowered

    film.until(promoting)
    answer = made.order(OrderKind.ABORT)
    film.rest()
    assert not isinstance(answer, str)
    assert set(made.serving.releases(KEY)) == old
    assert canary_of(made.serving.live[KEY].manifest) is None
    assert made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == 1


def test_a_promotion_in_place_that_hangs_is_told_and_callers_stay_with_the_canary_unless_it_is_aborted() -> None:
    film = in_production()
    made, old = film.made, set(film.made.serving.releases(KEY))
    commit(film, replace(FIRST, replicas=2))
    film.until(lambda: bool(made.serving.live[KEY].updating))
    made.serving.never_ready.add(1)
    film.until(lambda: bool(stalled(film)))
    status = made.status()
    assert status is not None
    assert (status.health, "CrashLoopBackOff" in status.conditions.stalled.message) == ("Degraded", True)
    assert "or `reconciler abort`" in waits_for(film)
    for _ in range(3):
        made.now += timedelta(hours=1)
        assert (made.one_pass(), asked(film)) == ("", 100)
    assert not old & made.serving.releases(KEY).keys()
    made.order(OrderKind.ABORT)
    film.until(lambda: set(made.serving.releases(KEY)) == old)
    assert canary_of(made.serving.live[KEY].manifest) is None


def test_a_newer_template_of_stable_that_hangs_is_told_and_the_fix_goes_out_once_that_starts() -> None:
    film = in_production()
    film.made.serving.never_ready.add(1)
    film.made.serving.label_by_hand(KEY, {"team": "x"})
    film.rest()
    commit(film, SECOND)
    film.rest()
    status = film.made.status()
    assert status is not None
    assert (status.health, shares(film)) == ("Degraded", {1: 100})
    assert "CrashLoopBackOff" in status.conditions.stalled.message
    assert "what changed its pods to be undone" in waits_for(film)
    film.made.serving.label_by_hand(KEY, {"team": None})
    film.made.serving.never_ready.clear()
    film.rest()
    assert shares(film) == {2: 100}


def test_a_promotion_in_place_that_came_up_late_goes_on_by_itself() -> None:
    film = in_production()
    commit(film, replace(FIRST, replicas=2))
    film.until(lambda: bool(film.made.serving.live[KEY].updating))
    film.made.serving.never_ready.add(1)
    film.until(lambda: bool(stalled(film)))
    film.made.serving.never_ready.clear()
    film.rest()
    assert (stalled(film), asked(film), roles(film)) == ("", None, {1: Stage.PRODUCTION})


def test_a_canary_that_the_route_ignores_stalls_and_is_taken_back_at_its_deadline() -> None:
    film = in_production("ignored")
    commit(film, SECOND)
    film.until(lambda: stalled(film) == NOT_ROUTED)
    assert asked(film) == 10
    assert began(film) == 0
    pictures = film.rest()
    assert share(pictures, 2) == {0}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert "did not end within 10m" in film.made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert asked(film) is None


@pytest.mark.parametrize("routing", ["none", "unused"])
def test_a_canary_is_not_begun_where_there_are_no_routes(routing: Routing) -> None:
    film = in_production(routing)
    assert roles(film) == {1: Stage.PRODUCTION}
    commit(film, SECOND)
    pictures = film.rest()
    assert stalled(film) == NOT_ROUTED
    assert {p.asked for p in pictures} == {1}
    assert shares(film) == {1: 100}
    assert TAG_ROLLOUT not in film.made.registry.models[NAME].versions[1].tags


@pytest.mark.parametrize("wish", [SECOND, GREEN])
def test_a_kserve_that_keeps_no_canary_is_told_and_asked_once(wish: Wish) -> None:
    film = in_production()
    film.made.serving.keeps_canaries = False
    commit(film, wish)
    film.until(lambda: stalled(film) == NOT_ROUTED)
    status = film.made.status()
    assert status is not None
    assert "this KServe has no spec.canary" in status.conditions.stalled.message
    pictures = film.rest()
    assert [r.entry.result for r in film.made.ledger.of[NAME] if r.entry.action == "StartCanary"][1:] == [Result.FAILED]
    assert {p.asked for p in pictures} <= {1}
    assert shares(film) == {1: 100}
    commit(film, FIRST)
    film.rest()
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


@pytest.mark.parametrize("routing", ["weights", "ignored", "none", "unused"])
def test_blue_green_moves_callers_in_one_step_whoever_routes_them(routing: Routing) -> None:
    film = in_production(routing)
    commit(film, GREEN)
    pictures = film.rest()
    assert share(pictures, 2) == {0, 100}
    assert any(r.entry.action == "Analyse" for r in film.made.ledger.of[NAME])
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


@pytest.mark.parametrize("routing", ["weights", "ignored", "none", "unused"])
def test_blue_green_that_answers_badly_never_has_a_caller(routing: Routing) -> None:
    film = in_production(routing)
    film.made.bad.add(2)
    commit(film, GREEN)
    pictures = film.rest()
    assert share(pictures, 2) == {0}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_a_bad_candidate_loses_its_callers_before_its_pods() -> None:
    film = in_canary()
    stable = name_of(film)
    film.made.bad.add(2)
    film.until(lambda: asked(film) == 0)
    # The route does not follow yet.
    assert shares(film) == {1: 90, 2: 10}
    for _ in range(10):
        assert film.made.one_pass() == ""
    assert asked(film) == 0
    film.until(lambda: asked(film) is None)
    assert shares(film) == {1: 100}
    film.rest()
    assert list(film.made.serving.live[KEY].templates) == [stable]
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_a_candidate_that_never_becomes_ready_gets_nothing_and_its_pods_go() -> None:
    film = in_production()
    stable = name_of(film)
    film.made.serving.never_ready.add(2)
    commit(film, SECOND)
    pictures = film.rest()
    assert share(pictures, 1) == {100}
    assert list(film.made.serving.live[KEY].templates) == [stable]
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_serving_fields_edited_in_the_middle_of_a_canary_start_anew_at_no_share() -> None:
    film = in_canary()
    old = film.made.serving.live[KEY].releases[film.made.serving.live[KEY].newest]
    commit(film, replace(SECOND, replicas=2))
    film.until(lambda: film.made.serving.live[KEY].releases.get(film.made.serving.live[KEY].newest) != old)
    assert asked(film) == 0
    assert shares(film) == {1: 100}
    later = film.rest()
    assert {0, 10, 50, 100} <= share(later, 2)
    assert old not in film.made.serving.releases(KEY)
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


@pytest.mark.parametrize(("before", "after"), [("Knative", "Standard"), ("Standard", "Knative")])
def test_another_mode_in_git_is_told_and_changes_nothing(before: str, after: str) -> None:
    film = in_production(wish=Wish(mode=before))
    manifest, writes = film.made.serving.live[KEY].manifest, film.made.serving.writes
    commit(film, Wish(mode=after))
    film.rest()
    status = film.made.status()
    assert status is not None
    assert f"it runs in {before} mode, which KServe never changes" in status.conditions.stalled.message
    assert (film.made.serving.live[KEY].manifest, film.made.serving.writes) == (manifest, writes)


def test_a_second_canary_in_a_row_runs_against_the_version_that_won_the_first_one() -> None:
    film = in_production()
    commit(film, SECOND)
    film.until(lambda: shares(film) == {2: 100} and asked(film) is None)
    commit(film, replace(FIRST, parameters=3))
    pictures = film.rest()
    assert share(pictures, 1) == {0}
    assert {10, 50, 100} <= share(pictures, 3)
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.PRODUCTION}


def test_releases_of_one_version_are_never_named_alike_side_by_side() -> None:
    film = in_production()
    before = name_of(film)
    for replicas in (2, 1, 2):
        commit(film, replace(FIRST, replicas=replicas))
        film.rest()
        assert name_of(film) == before
        assert film.made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == replicas


def test_a_first_deployment_replaced_before_it_is_shown_keeps_its_name_and_its_callers() -> None:
    film = Film(world(Script(), good))
    commit(film, FIRST)
    film.until(lambda: KEY in film.made.serving.live)
    name = name_of(film)
    # It comes up and has callers, but nobody is told before another version is wanted.
    for _ in range(3):
        assert film.made.tick()
    assert shares(film) == {1: 100}
    assert not any(film.made.serving.live[KEY].told)
    film.made.registry.register(NAME, {}, {"accuracy": 0.95}, film.made.now)
    acted = [film.made.one_pass() for _ in range(3)]
    assert "Deploy" in acted
    film.rest()
    assert name_of(film) == name
    assert shares(film) == {2: 100}


# A stable predictor with some pods too few: KServe leaves the route as it is.


def lose_a_pod(film: Film) -> None:
    film.made.serving.lose_a_pod(KEY, name_of(film))


def go_on(film: Film) -> None:
    """Let everything go on before time does."""
    while film.made.one_pass() or film.made.tick():
        pass


def recover(film: Film) -> None:
    film.made.serving.recover(KEY)
    go_on(film)
    film.rest()


def rejected(film: Film, version: int) -> bool:
    return TAG_REJECTED in film.made.registry.models[NAME].versions[version - 1].tags


def test_a_candidate_is_not_blamed_for_a_stable_with_too_few_pods_and_goes_on_once_it_has_them() -> None:
    film = in_production()
    lose_a_pod(film)
    commit(film, SECOND)
    film.until(lambda: stalled(film) == "StableNotReady")
    status = film.made.status()
    assert status is not None
    said = f"{name_of(film)} has 1 of 2 pods, and KServe changes no share meanwhile"
    assert status.conditions.stalled.message == f"version 2 gets 0 % of the traffic, not 10 %: {said}"
    film.made.now += timedelta(hours=3)
    film.rest()
    assert not rejected(film, 2)
    recover(film)
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_bad_candidate_that_keeps_its_callers_as_stable_has_too_few_pods_is_told() -> None:
    film = in_canary()
    lose_a_pod(film)
    film.made.bad.add(2)
    film.until(lambda: asked(film) == 0)
    film.rest()
    assert shares(film) == {1: 90, 2: 10}
    assert stalled(film) == "StableNotReady"
    status = film.made.status()
    assert status is not None
    assert status.conditions.stalled.message.startswith("version 2 keeps 10 % of the traffic, though 0 % is asked for")
    recover(film)
    assert shares(film) == {1: 100}
    assert rejected(film, 2)


@pytest.mark.parametrize("strategy", [None, "blueGreen", "immediate"])
def test_stable_stays_while_it_has_too_few_pods_and_callers(strategy: str | None) -> None:
    film = in_production()
    commit(film, replace(SECOND, strategy=strategy))
    film.until(lambda: asked(film) == (50 if strategy is None else 100))
    lose_a_pod(film)
    before = shares(film)
    film.rest()
    film.made.now += timedelta(minutes=10)
    film.rest()
    assert shares(film) == before
    assert stalled(film) == "StableNotReady"
    recover(film)
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_stable_stays_while_kserve_is_away() -> None:
    film = in_production()
    commit(film, GREEN)
    film.until(lambda: asked(film) == 100)
    for _ in range(12):
        film.made.one_pass()
        film.made.now += timedelta(seconds=10)
    assert (shares(film), asked(film)) == ({1: 100}, 100)
    go_on(film)
    film.rest()
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


# A share comes only to pods that are there.

TEN = replace(FIRST, replicas=10)


def carried(film: Film) -> bool:
    """Tell whether the candidate has the pods that its share needs, as long as there are callers to carry."""
    live = film.made.serving.live[KEY]
    gets = shares(film).get(2, 0)
    name = next((name for name, release in live.releases.items() if release and release.version == 2), "")
    return gets == 0 or live.pods[name] >= gets / 10


@pytest.mark.parametrize(
    ("strategy", "routing"),
    [
        (None, "weights"), ("blueGreen", "weights"), ("immediate", "weights"), ("blueGreen", "none"),
        ("immediate", "ignored"),
    ],
)  # fmt: skip
def test_callers_come_only_to_pods_that_are_there(strategy: str | None, routing: Routing) -> None:
    film = in_production(routing, TEN)
    commit(film, replace(TEN, parameters=2, strategy=strategy))

    def promoted() -> bool:
        assert carried(film)
        return roles(film).get(2) is PRODUCTION

    film.until(promoted)
    assert shares(film) == {2: 100}
    assert "ScaleCanary" in {r.entry.action for r in film.made.ledger.of[NAME]}


def test_stable_keeps_its_pods_until_the_candidate_carries_its_callers() -> None:
    """KServe takes the pods of a ready canary off what stable is asked to have at least."""
    film = in_production("weights", TEN)
    commit(film, replace(TEN, parameters=2))
    floors: dict[int, set[int]] = {}

    def promoted() -> bool:
        manifest = film.made.serving.live[KEY].manifest
        canary = canary_of(manifest)
        if canary is not None:
            floor = manifest["spec"]["predictor"]["minReplicas"] - canary["predictor"]["minReplicas"]
            floors.setdefault(canary["trafficPercent"], set()).add(floor)
        return roles(film).get(2) is PRODUCTION

    film.until(promoted)
    assert floors == {0: {9}, 10: {9}, 50: {5}, 100: {0}}


def test_pods_that_do_not_come_hold_the_share_and_are_told() -> None:
    film = in_production("weights", TEN)
    commit(film, replace(TEN, parameters=2))
    film.until(lambda: shares(film) == {1: 90, 2: 10} and "step 1 of 2" in waits_for(film))
    film.made.serving.full = True
    film.until(lambda: "5 pods of version 2" in waits_for(film))
    assert waits_for(film) == "5 pods of version 2, which are to carry 50 %; 1 are there"
    assert shares(film) == {1: 90, 2: 10}
    film.made.serving.full = False
    go_on(film)
    film.rest()
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}
