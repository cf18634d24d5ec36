"""Models in namespaces that are not watched: in the simulation and over the real adapter."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.observed import Stage
from reconciler.registry_roles import role
from tests.simulation.stories import Script, good, spec
from tests.simulation.wire.world import WireWorld
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME, World

MAKES: dict[str, Callable[[], World]] = {
    "simulated": lambda: World(Script(), good),
    "wire": lambda: WireWorld(Script(), good),
}


@pytest.fixture(params=MAKES)
def served(request: pytest.FixtureRequest) -> World:
    """Return a world with a model that serves in the namespace `models`."""
    made = MAKES[request.param]()
    made.source.write(NAME, spec())
    made.settle()
    return made


def watch(made: World, *namespaces: str) -> None:
    """Restart with other settings."""
    made.serving.namespaces = namespaces
    made.restart()


def waits(made: World) -> str:
    status = made.status()
    assert status is not None
    assert status.sync == "Unknown"
    return status.waits_for


def production(made: World) -> list[int]:
    model = made.registry.models.get(NAME)
    return [v.version for v in model.versions if role(v) is Stage.PRODUCTION] if model else []


ADVICE = "serving: namespace models is not watched: add it to kubernetes.namespaces in the settings, beside other"


def test_a_model_in_a_namespace_that_is_not_watched_is_not_taken_for_absent(served: World) -> None:
    watch(served, "other")
    served.settle()
    assert ADVICE in waits(served)


@pytest.mark.parametrize("on_removal", ["archive", "delete"])
def test_a_removal_waits_until_its_namespace_is_watched_again(served: World, on_removal: str) -> None:
    served.source.write(NAME, spec(retention={"onRemoval": on_removal}))
    served.settle()
    watch(served, "other")
    served.source.write(NAME, None)
    served.settle()
    assert ADVICE in waits(served)
    assert (KEY in served.serving.live, production(served)) == (True, [1])
    watch(served, "models")
    served.settle()
    assert (KEY in served.serving.live, production(served)) == (False, [])


def test_a_model_that_lost_its_serving_waits_until_its_last_namespace_is_watched_again(served: World) -> None:
    watch(served, "other")
    served.source.write(NAME, spec_of(Wish(served=False)))
    served.settle()
    assert ADVICE in waits(served)
    served.source.write(NAME, None)
    served.settle()
    assert ADVICE in waits(served)
    assert (KEY in served.serving.live, production(served)) == (True, [1])


def test_a_model_moves_only_from_where_it_can_be_taken_down(served: World) -> None:
    watch(served, "other")
    served.source.write(NAME, spec_of(Wish(namespace="other")))
    served.settle()
    assert ADVICE in waits(served)
    assert list(served.serving.live) == [KEY]


def test_a_namespace_in_which_the_model_was_taken_down_need_not_be_watched_any_more(served: World) -> None:
    served.source.write(NAME, spec_of(Wish(served=False)))
    served.settle()
    watch(served, "other")
    served.source.write(NAME, None)
    served.settle()
    assert (served.status(), production(served)) == (None, [])


def test_a_namespace_that_the_model_has_left_need_not_be_watched_any_more(served: World) -> None:
    served.source.write(NAME, spec_of(Wish(namespace="other")))
    served.settle()
    watch(served, "other")
    served.source.write(NAME, None)
    served.settle()
    assert (served.status(), production(served), served.serving.live) == (None, [], {})


def test_a_removed_model_that_never_came_to_be_is_let_go_wherever_git_wanted_it(served: World) -> None:
    served.source.write("wine", spec_of(Wish(namespace="nowhere")))
    watch(served, "models")
    served.settle(NAME, "wine")
    served.source.write("wine", None)
    served.settle(NAME, "wine")
    assert served.status("wine") is None
