"""Whatever the order of readiness, traffic, failures and commits: callers get what was proven, and it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.manifest import canary_pods
from reconciler.observed import TAG_GATES
from tests.simulation.serving import SimServing
from tests.simulation.standard import Routing, release_of, stable_name
from tests.simulation.stories import Script, good, world
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME, World

WISHES = st.builds(
    Wish,
    parameters=st.integers(1, 4),
    replicas=st.integers(1, 5),
    strategy=st.sampled_from([None, "blueGreen", "immediate"]),
    hold=st.sampled_from(["5s", "30s", "window", "untilApproved"]),
    on_revert=st.sampled_from(["immediate", "steps"]),
    on_failure=st.sampled_from(["rollback", "pause"]),
)
EVENTS = st.one_of(
    st.sampled_from(["pass", "pass", "controllers", "train", "wait", "later", "bad", "hang", "short", "recover"]),
    st.integers(0, 3),
    WISHES,
)


def happen(made: World, event: str | int | Wish) -> None:
    """Let one thing happen."""
    newest = len(made.registry.models[NAME].versions)
    match event:
        case Wish():
            made.source.write(NAME, spec_of(event))
        case int():
            made.tick(turn=event)
        case "pass":
            made.one_pass()
        case "train":
            made.training.tick(NAME)
        case "bad":
            made.bad.add(newest + 1)
        case "hang":
            made.serving.never_ready.add(newest + 1)
        case "short":
            lose_a_pod(made)
        case "recover":
            made.serving.never_ready.clear()
            made.serving.refill(KEY)
        case _:
            _go_on(made, event)


def lose_a_pod(made: World) -> None:
    """Let the stable predictor of Standard mode have a pod too few."""
    live = made.serving.live[KEY]
    if live.standard and (stable := stable_name(live.manifest)) in live.up:
        made.serving.lose_a_pod(KEY, stable)


def _go_on(made: World, event: str) -> None:
    status = made.status()
    if event == "controllers":
        while made.tick():
            served(made)
    elif event == "wait" and status is not None and status.look_again_at is not None:
        made.now = max(made.now, status.look_again_at)
    elif event == "later":
        made.now += timedelta(minutes=11)


def served(made: World) -> None:
    """Hold that callers have a ready version whose gates are on record, and all of them do."""
    made.check()
    live, model = made.serving.live[KEY], made.registry.models[NAME]
    assert sum(share.percent for share in live.shares) == 100
    for share in live.shares:
        release = live.releases[share.revision]
        version = model.get(release.version) if release else None
        assert not share.percent or share.revision in live.ready
        assert not share.percent or (version is not None and version.tags[TAG_GATES].startswith("passed "))
    carried(made)


def carried(made: World) -> None:
    """Hold that a canary of Standard mode has the pods for its share, as long as that is not being taken away."""
    live = made.serving.live[KEY]
    share = next((share.percent for share in live.shares if share.revision == live.newest), 0)
    if live.standard and live.percent and share <= live.percent:
        kept, stable = made.memory.releases(NAME), release_of(live.manifest["spec"]["predictor"])
        candidate = live.releases[live.newest]
        assert stable is not None
        assert candidate is not None
        assert not share or live.pods[live.newest] >= canary_pods(kept[candidate], kept[stable], share)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    mode=st.sampled_from(["Knative", "Standard"]),
    routing=st.sampled_from(SimServing.routings),
    events=st.lists(EVENTS, min_size=20, max_size=120),
    last=WISHES,
)
def test_callers_always_have_a_ready_version_that_was_proven_and_it_ends(
    mode: str, routing: Routing, events: list[str | int | Wish], last: Wish
) -> None:
    made = world(Script(), good)
    made.serving.routing = routing
    made.source.write(NAME, spec_of(Wish(mode=mode)))
    made.settle()
    for event in events:
        # What came up in one mode stays in it.
        happen(made, replace(event, mode=mode) if isinstance(event, Wish) else event)
        served(made)
    made.serving.never_ready.clear()
    made.serving.refill(KEY)
    made.source.write(NAME, spec_of(replace(last, mode=mode, hold="5s")))  # nobody is waited for any more
    made.settle()
    served(made)
    status = made.status()
    assert status is not None
    told = status.conditions.stalled.message
    assert len(made.serving.shares(KEY)) == 1 or told, f"it did not end: {status.waits_for}"
    assert status.sync == "Synced" or told
