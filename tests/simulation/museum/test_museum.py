"""Every planted bug is found on a tape on which the sound code keeps its promises.

Where the world has changed so that a known tape finds its bug no more, some others are tried;
`python -m tests.simulation.museum --write` looks for new ones.
"""

from __future__ import annotations

import itertools

import pytest

from tests.simulation.museum.catalogue import BUGS
from tests.simulation.museum.hunting import Find, Hunt, known
from tests.simulation.museum.planting import Place, planted

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
