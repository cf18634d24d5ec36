"""Every planted bug is found on a tape on which the sound code keeps its promises.

Where the world has changed so that a known tape finds its bug no more, some others are tried;
`python -m tests.simulation.museum --write` looks for new ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.simulation import test_standard as stories
from tests.simulation.museum import splitting
from tests.simulation.museum.catalogue import BUGS
from tests.simulation.museum.hunting import Find, Hunt, known
from tests.simulation.museum.planting import Bug, Place, planted

# The known tape comes first; then so many others are tried, for so long.
OTHERS, SECONDS = 200, 5.0
HUNT, TAPES = Hunt(), known()


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    first = [TAPES[name]] if name in TAPES else []
    answer = HUNT.look(BUGS[name], itertools.chain(first, range(OTHERS)), SECONDS)
    assert isinstance(answer, Find), (
        f"{BUGS[name].what} The world does not notice within {answer.runs} runs (instead: {dict(answer.instead)}); "
        f"python -m tests.simulation.museum --write {name} looks further"
    )


def _blue_green_without_routes() -> None:
    stories.test_blue_green_moves_callers_in_one_step_whoever_routes_them("none")


# Few tapes ask for Standard mode: each of its bugs fails a story as well.
FAILS: dict[str, Callable[[], None]] = {
    "canary-removed-with-callers": stories.test_a_bad_candidate_loses_its_callers_before_its_pods,
    "stable-removed-with-callers": stories.test_a_canary_goes_by_its_steps_and_stable_goes_when_nobody_is_sent_to_it,
    "split-believed-from-spec": stories.test_a_step_begins_when_the_route_has_its_share_and_not_when_the_spec_does,
    "ingress-believed-from-spec": _blue_green_without_routes,
    "renamed-in-place": stories.test_a_first_deployment_replaced_before_it_is_shown_keeps_its_name_and_its_callers,
    "heir-not-awaited": stories.test_what_keeps_its_artifact_is_promoted_under_the_name_that_stable_had,
    "named-alike": stories.test_releases_of_one_version_are_never_named_alike_side_by_side,
    "never-routed-never-told": stories.test_a_canary_that_the_route_ignores_stalls_and_is_taken_back_at_its_deadline,
}  # fmt: skip


@pytest.mark.parametrize("bug", splitting.BUGS, ids=lambda bug: bug.name)
def test_a_bug_of_standard_mode_fails_a_story(bug: Bug) -> None:
    story = FAILS[bug.name]
    story()
    with planted(bug), pytest.raises(AssertionError):
        story()


@pytest.mark.parametrize("place", Place)
def test_the_sound_code_keeps_its_promises_on_nearly_every_tape(place: Place) -> None:
    broken = {number: HUNT.sound[place, number].what for number in range(15) if not HUNT.clean(place, number)}
    assert len(broken) <= 1, f"{broken}"


def test_a_bug_is_in_the_code_while_its_run_lasts_and_gone_when_it_is_over() -> None:
    for bug in BUGS.values():
        sound = [getattr(p.home, p.name) for p in bug.patches]
        with planted(bug):
            broken = [getattr(p.home, p.name) for p in bug.patches]
        assert all(a is not b for a, b in zip(sound, broken, strict=True)), bug.name
        assert [getattr(p.home, p.name) for p in bug.patches] == sound, bug.name


def test_no_two_bugs_share_a_name_and_each_says_what_it_breaks() -> None:
    assert len(BUGS) >= 40
    for bug in BUGS.values():
        assert bug.trips
        assert bug.what.endswith(".")
        assert bug.patches
