"""The pitfalls of KServe's canaries, each as the story of a rollout that meets it (docs/kserve-pitfalls.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from reconciler.demo.kserve.knative import Component
from reconciler.observed import TAG_REJECTED, InferenceService, Release, Stage
from reconciler.ports import Clock, Result
from reconciler.registry_roles import role
from tests.simulation.faults import Faults
from tests.simulation.serving import Key, Live, SimServing, asked_of
from tests.simulation.stories import Script, good, spec, training, world
from tests.simulation.world import KEY, NAME, World

EVENTS = 600


@dataclass(frozen=True, slots=True)
class Picture:
    """What was asked for and what callers got after one event: percents by version."""

    asked: int
    percent: int | None
    shares: dict[int | None, int]


@dataclass(slots=True)
class Film:
    """A world and a picture of it after every event."""

    made: World
    pictures: list[Picture] = field(default_factory=list)

    def until(self, holds: Callable[[], bool]) -> list[Picture]:
        """Let everything go on, one event at a time, until something holds; return the pictures of that time."""
        begun = len(self.pictures)
        for _ in range(EVENTS):
            if holds():
                return self.pictures[begun:]
            moved = self._event(lambda: bool(self.made.one_pass()))
            while not holds() and self._event(self.made.tick):
                moved = True
            moved = self.made.training.tick(NAME) or moved
            status = self.made.status()
            if not moved and status is not None and status.look_again_at is not None:
                self.made.now = max(self.made.now, status.look_again_at)
        raise AssertionError(f"it never came to that: {self.made.status()}")

    def rest(self) -> list[Picture]:
        """Let everything go on until nothing moves."""
        return self.until(lambda: self.made.one_pass() == "" and not self.made.tick() and self._idle())

    def _idle(self) -> bool:
        status = self.made.status()
        return status is not None and status.look_again_at is None

    def _event(self, event: Callable[[], bool]) -> bool:
        moved = event()
        self.made.check()
        if KEY in self.made.serving.live:
            live = self.made.serving.live[KEY]
            release, percent = asked_of(live.manifest)
            assert release is not None
            self.pictures.append(Picture(release.version, percent, self.made.serving.shares(KEY)))
        return moved


def in_production() -> Film:
    """Begin with version 1 in Production."""
    film = Film(world(Script(), good))
    film.rest()
    return film


def in_canary() -> Film:
    """Begin with version 2 at 10 % over version 1."""
    film = in_production()
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: shares(film) == {1: 90, 2: 10})
    return film


class Unprogrammed(SimServing):
    """Knative whose ingress does not follow while it is `away`: the status names the new shares all the same."""

    away: bool = False
    _before: ClassVar[dict[Release | None, int]] = {}

    def lose_the_ingress(self) -> None:
        Unprogrammed._before, self.away = super().releases(KEY), True

    def find_the_ingress(self) -> None:
        self.away = False
        self.live[KEY].resource_version += 1

    def releases(self, key: Key) -> dict[Release | None, int]:
        return self._before if self.away else super().releases(key)

    def _translate(self, key: Key, live: Live) -> InferenceService:
        found = super()._translate(key, live)
        return replace(found, routed=False) if self.away else found


def shares(film: Film) -> dict[int | None, int]:
    return film.made.serving.shares(KEY)


def roles(film: Film) -> dict[int, Stage]:
    return {v.version: role(v) for v in film.made.registry.models[NAME].versions}


def share(pictures: list[Picture], version: int) -> set[int]:
    """Return every share that a version had."""
    return {picture.shares.get(version, 0) for picture in pictures}


def test_a_version_that_was_rolled_back_gets_nothing_while_the_next_one_comes_up() -> None:
    film = in_canary()
    film.made.bad.add(2)
    film.rest()
    assert roles(film)[2] is Stage.ARCHIVED
    film.made.source.write(NAME, spec(training=training(3)))
    pictures = film.rest()
    assert share(pictures, 2) == {0}
    assert shares(film) == {3: 100}


def test_every_candidate_is_applied_with_no_traffic_and_its_share_comes_in_writes_of_their_own() -> None:
    film = in_production()
    film.made.source.write(NAME, spec(training=training(2)))
    pictures = film.rest()
    first = next(p for p in pictures if p.asked == 2)
    assert (first.percent, first.shares) == (0, {1: 100})
    percents = [p.percent for p in pictures if p.asked == 2]
    assert [p for n, p in enumerate(percents) if n == 0 or percents[n - 1] != p] == [0, 10, 50, None]


def test_a_rollback_keeps_the_split_until_the_restored_stable_template_is_ready() -> None:
    film = in_canary()
    film.made.bad.add(2)
    # The stable template's new revision does not come up for a while.
    film.made.serving.never_ready.add(1)
    film.until(lambda: film.pictures[-1].asked == 1)
    waiting = film.until(_times(20))
    assert {(p.asked, p.percent) for p in waiting} == {(1, 0)}
    assert share(waiting, 1) == {100}
    film.made.serving.never_ready.clear()
    pictures = film.rest()
    assert share(pictures, 1) == {100}
    assert film.pictures[-1].percent is None


def _times(count: int) -> Callable[[], bool]:
    """Hold after so many questions."""
    left = iter(range(count))
    return lambda: next(left, None) is None


def test_a_second_canary_in_a_row_runs_against_the_version_that_won_the_first_one() -> None:
    film = in_production()
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: shares(film) == {2: 100})
    film.made.source.write(NAME, spec(training=training(3)))
    pictures = film.rest()
    assert share(pictures, 1) == {0}
    assert {10, 50, 100} <= share(pictures, 3)
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.ARCHIVED, 3: Stage.PRODUCTION}


def test_serving_fields_edited_in_the_middle_of_a_canary_start_anew_and_inherit_no_share() -> None:
    film = in_canary()
    before = spec().serving
    assert before is not None
    edited = {"namespace": "models", "predictor": {**before.predictor, "minReplicas": 2}}
    film.made.source.write(NAME, spec(training=training(2), serving=edited))
    old = film.made.serving.live[KEY].releases[film.made.serving.live[KEY].newest]
    assert old is not None
    applied = film.until(lambda: film.made.serving.live[KEY].manifest["spec"]["predictor"]["minReplicas"] == 2)
    assert applied[-1].percent == 0
    assert applied[-1].shares == {1: 100}
    later = film.rest()
    assert later[0].percent == 0
    assert old not in film.made.serving.releases(KEY)
    assert {10, 50, 100} <= share(later, 2)


def test_after_all_traffic_was_given_the_share_is_never_lowered_whatever_git_wants_by_then() -> None:
    film = in_canary()
    film.until(lambda: film.pictures[-1].asked == 2 and film.pictures[-1].percent is None)
    film.made.source.write(NAME, spec())
    pictures = film.rest()
    assert {p.percent for p in pictures if p.asked == 2} == {None}
    assert shares(film) == {1: 100}


def test_a_prev_that_goes_to_an_older_version_takes_the_candidate_back_and_leaves_stable_with_everything() -> None:
    film = in_production()
    film.made.source.write(NAME, spec(training=training(2)))
    film.rest()
    film.made.source.write(NAME, spec(training=training(3)))
    film.until(lambda: shares(film) == {2: 90, 3: 10})
    live = film.made.serving.live[KEY]
    live.component, live.flipped = replace(live.component, rolledout=live.component.previous), True
    film.rest()
    assert shares(film) == {2: 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION, 3: Stage.ARCHIVED}
    rejected = film.made.registry.models[NAME].versions[2].tags[TAG_REJECTED]
    assert "the traffic tagged prev goes to iris-predictor-00001" in rejected


def test_a_stable_revision_that_kserve_forgot_does_not_leave_the_candidate_with_everything() -> None:
    film = in_canary()
    live = film.made.serving.live[KEY]
    live.component = replace(live.component, rolledout="", previous="")
    release, _ = asked_of(live.manifest)
    assert release is not None
    film.made.truth.exposure(NAME).allowed[release] = 100  # it is KServe that gives it
    film.rest()
    assert shares(film) == {1: 100}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    rejected = film.made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert "the traffic tagged prev goes to iris-predictor-00002, not to the stable revision" in rejected


@pytest.mark.parametrize("fails", ["rollback", "pause"])
def test_a_candidate_that_gets_the_stable_revision_s_name_and_everything_is_taken_back(fails: str) -> None:
    film = Film(World(Script(), good))
    rollout = {**spec().rollout.content(), "onFailure": fails}
    film.made.source.write(NAME, spec(rollout=rollout))
    film.rest()
    film.made.source.write(NAME, spec(training=training(2), rollout=rollout))
    film.until(lambda: shares(film) == {1: 90, 2: 10})
    live = film.made.serving.live[KEY]
    name, (release, _) = live.component.rolledout, asked_of(live.manifest)
    assert release is not None
    film.made.truth.exposure(NAME).allowed[release] = 100  # it is KServe that gives it
    make_anew(live)
    film.until(lambda: shares(film) == {2: 100} and live.component.rolledout == name)
    film.rest()
    assert shares(film) == {1: 100}
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    rejected = film.made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert f"the stable revision {name} is gone: the one that has its name now is of release {release}" in rejected


def hanging_above() -> Film:
    """Begin with version 1 in Production, and a newer template of it that does not come up: a person labelled it."""
    film = in_production()
    film.made.serving.never_ready.add(1)
    film.made.serving.label_by_hand(KEY, {"team": "x"})
    film.rest()
    status = film.made.status()
    assert status is not None
    assert (status.health, shares(film), film.made.serving.live[KEY].created) == ("Degraded", {1: 100}, 2)
    return film


def test_a_newer_template_of_stable_that_hangs_keeps_no_fix_out() -> None:
    film = hanging_above()
    film.made.source.write(NAME, spec(training=training(2)))
    pictures = film.rest()
    percents = [p.percent for p in pictures if p.asked == 2]
    assert [p for n, p in enumerate(percents) if n == 0 or percents[n - 1] != p] == [0, 10, 50, None]
    assert share(pictures, 2) == {0, 10, 50, 100}
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_nor_where_what_served_crashed_below_it() -> None:
    film = hanging_above()
    live = film.made.serving.live[KEY]
    film.made.serving.crash(KEY, live.component.ready)
    film.made.source.write(NAME, spec(training=training(2)))
    film.rest()
    assert shares(film) == {2: 100}


def test_a_bad_fix_of_such_a_template_leaves_callers_where_they_were_and_keeps_no_other_one_out() -> None:
    film = hanging_above()
    film.made.bad.add(2)
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: shares(film).get(2) == 10)
    film.until(lambda: film.pictures[-1].asked == 1)
    waiting = film.until(_times(20))
    assert share(waiting, 1) == {100}
    film.made.source.write(NAME, spec(training=training(3)))
    film.rest()
    assert shares(film) == {3: 100}


def test_such_a_template_that_comes_up_in_the_middle_of_the_fix_changes_nothing() -> None:
    film = hanging_above()
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: film.pictures[-1].asked == 2)
    film.made.serving.never_ready.clear()
    pictures = film.rest()
    assert {0, 10, 50, 100} == share(pictures, 2)
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_fix_of_such_a_template_that_is_taken_back_before_it_was_applied_leaves_no_rollout() -> None:
    film = hanging_above()
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: roles(film).get(2) is Stage.STAGING)
    film.made.source.write(NAME, spec())
    film.rest()
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert shares(film) == {1: 100}


def make_anew(live: Live) -> None:
    """Let the Knative Service go and come back, as after `serving.kserve.io/stop` or a deletion by hand."""
    live.created, live.templates, live.releases, live.ready = 0, {}, {}, set()
    live.latest_ready, live.component, live.shares = "", Component(), ()
    live.resource_version += 1


def test_a_candidate_that_never_becomes_ready_gets_nothing_and_stable_keeps_everything() -> None:
    film = in_production()
    film.made.serving.never_ready.add(2)
    film.made.source.write(NAME, spec(training=training(2)))
    pictures = film.rest()
    assert share(pictures, 1) == {100}
    rejected = film.made.registry.models[NAME].versions[1].tags[TAG_REJECTED]
    assert "the rollout did not end within 10m" in rejected


def test_a_changed_transformer_reaches_no_caller_by_steps_that_it_would_not_take() -> None:
    film = in_production()
    before = film.made.serving.live[KEY].manifest
    serving = {
        **spec().model_dump(mode="json", by_alias=True)["serving"],
        "transformer": {"containers": [{"image": "t"}]},
    }
    film.made.source.write(NAME, spec(training=training(2), serving=serving))
    pictures = film.rest()
    status = film.made.status()
    assert status is not None
    assert status.conditions.stalled.reason == "PartsNotSplit"
    assert film.made.serving.live[KEY].manifest == before
    assert share(pictures, 2) == {0}


def test_a_first_deployment_asks_for_no_share() -> None:
    film = in_production()
    assert {p.percent for p in film.pictures} == {None}
    assert film.pictures[-1].shares == {1: 100}


def test_a_candidate_that_becomes_ready_while_it_is_taken_back_gets_nothing() -> None:
    film = in_production()
    film.made.serving.never_ready.add(2)
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: film.pictures[-1].asked == 2)
    film.made.source.write(NAME, spec())
    film.until(lambda: film.pictures[-1].asked == 1)
    film.made.serving.never_ready.clear()
    pictures = film.rest()
    assert share(pictures, 1) == {100}
    assert share(pictures, 2) == {0}


def test_shares_that_the_status_names_before_the_ingress_has_them_begin_no_step_and_archive_nothing() -> None:
    serving: Unprogrammed

    def make(faults: Faults, clock: Clock) -> Unprogrammed:
        nonlocal serving
        serving = Unprogrammed(faults, clock)
        return serving

    made = World(Script(), good, serving=make)
    made.source.write(NAME, spec())
    film = Film(made)
    film.rest()
    film.made.source.write(NAME, spec(training=training(2)))
    film.until(lambda: serving.live[KEY].percent == 0 and serving.live[KEY].newest in serving.live[KEY].ready)
    serving.lose_the_ingress()
    film.until(lambda: serving.live[KEY].percent == 10)
    stand_still(film)
    assert waits_for(film).startswith("the network to take up 10 %")
    assert not begun(film)
    serving.find_the_ingress()
    film.until(lambda: begun(film) and shares(film) == {1: 50, 2: 50})
    film.until(lambda: serving.live[KEY].percent is None)
    serving.lose_the_ingress()
    stand_still(film)
    assert waits_for(film).startswith("the network to send all callers")
    assert roles(film) == {1: Stage.PRODUCTION, 2: Stage.STAGING}
    serving.find_the_ingress()
    film.rest()
    assert roles(film) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def stand_still(film: Film) -> None:
    """Let everything go on that needs no time."""
    while film.made.one_pass() or film.made.tick():
        film.made.check()


def begun(film: Film) -> bool:
    return any(r.entry.action == "BeginStep" and r.entry.result is Result.DONE for r in film.made.ledger.of[NAME])


def waits_for(film: Film) -> str:
    status = film.made.status()
    return status.waits_for if status else ""
