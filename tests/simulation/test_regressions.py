"""Flaws that were found by chance or by reading, each told as the story in which it showed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.desired.documents import ModelSpec
from reconciler.errors import Transient
from reconciler.observed import TAG_GATES, TAG_REJECTED, TAG_ROLLOUT, RunState, Stage
from reconciler.registry_roles import role
from tests.simulation.faults import Fault
from tests.simulation.stories import Script, good, spec, training, until, world
from tests.simulation.wishes import Wish, spec_of
from tests.simulation.world import KEY, NAME, World


def shares(made: World, namespace: str = "models") -> dict[int | None, int]:
    return made.serving.shares((namespace, NAME))


def roles(made: World) -> dict[int, Stage]:
    return {v.version: role(v) for v in made.registry.models[NAME].versions}


def in_production(**wish: object) -> World:
    made = world(Script(), good)
    made.source.write(NAME, spec_of(replace(Wish(), **wish)))  # type: ignore[arg-type]  # fields of Wish
    made.settle()
    return made


def in_canary(**wish: object) -> World:
    made = in_production(**wish)
    made.source.write(NAME, spec_of(replace(Wish(), **{**wish, "parameters": 2})))  # type: ignore[arg-type]  # fields of Wish
    until(made, lambda: shares(made).get(2) == 10)
    return made


def script(made: World) -> Script:
    assert isinstance(made.faults.choose, Script)
    return made.faults.choose


def test_a_clock_that_steps_back_does_not_resume_a_rollout_that_was_decided_against() -> None:
    made = in_canary()
    made.bad.add(2)
    made.now -= timedelta(minutes=2)
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert sum(r.entry.action == "CutTraffic" and r.entry.moment == "intent" for r in made.ledger.records) == 1


@pytest.mark.parametrize("call", ["serving.apply iris 2-", "serving.apply iris 1-", TAG_REJECTED, TAG_ROLLOUT])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST, Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_a_rollback_that_is_cut_short_anywhere_is_completed(call: str, fault: Fault) -> None:
    made = in_canary()
    made.bad.add(2)
    until(made, lambda: made.ledger.records[-1].entry.action == "Analyse")
    script(made).then(call, fault)
    made.settle()
    assert not script(made).faults
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert shares(made) == {1: 100}
    assert TAG_REJECTED in made.registry.models[NAME].versions[1].tags


def test_promoting_the_version_again_keeps_the_mark_of_its_template_that_was_rolled_back() -> None:
    made = in_production()
    made.source.write(NAME, spec_of(Wish(replicas=3)))
    made.settle()
    assert TAG_REJECTED in made.registry.models[NAME].versions[0].tags
    made.registry._transition(NAME, 1, Stage.NONE)
    made.registry._point(NAME, "champion", None)
    made.truth.edited.add(NAME)
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION}
    assert "'minReplicas': 1" in str(made.serving.live[KEY].manifest)
    assert TAG_REJECTED in made.registry.models[NAME].versions[0].tags


def test_approval_does_not_bring_back_a_template_that_was_rolled_back() -> None:
    made = in_production(approval="required", version="1")
    made.source.write(NAME, spec_of(Wish(approval="required", replicas=3)))
    made.settle()
    status = made.status()
    assert status is not None
    assert "was rolled back" in status.conditions.stalled.message
    assert shares(made) == {1: 100}


def test_a_rolled_back_version_above_an_unjudged_one_does_not_hide_that_its_metrics_are_needed() -> None:
    made = in_canary()
    made.bad.add(2)
    made.registry.register(NAME, {}, {"accuracy": 0.95}, made.now)
    made.bad.add(3)
    made.settle()
    status = made.status()
    assert status is not None
    assert "metrics" not in status.waits_for


def test_a_commit_that_moves_the_model_in_a_canary_ends_it_where_it_runs_and_callers_stay_served() -> None:
    made = in_canary()
    made.source.write(NAME, spec_of(Wish(parameters=2, namespace="other")))
    made.settle()
    assert [key[0] for key in made.serving.live] == ["other"]
    assert shares(made, "other") == {2: 100}
    assert roles(made) == {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}


def test_a_commit_that_drops_serving_in_a_canary_takes_the_candidate_back_before_it_takes_all_down() -> None:
    made = in_canary()
    made.source.write(NAME, spec_of(Wish(parameters=2, served=False)))
    made.settle()
    assert not made.serving.live


@pytest.mark.parametrize("back", [Wish(), Wish(parameters=2, version="1")])
def test_a_revert_in_a_freeze_or_suspension_takes_the_traffic_from_the_candidate(back: Wish) -> None:
    made = in_canary()
    made.source.write(NAME, spec_of(replace(back, suspend=True)))
    made.settle()
    assert shares(made) == {1: 100}
    assert roles(made)[1] is Stage.PRODUCTION


def test_a_training_backend_that_refuses_does_not_hold_up_a_canary() -> None:
    made = in_canary()
    made.faults.choose = lambda what: Fault.REFUSED if what.startswith("training.start") else Fault.CALM
    made.bad.add(2)
    made.source.write(NAME, spec_of(Wish(parameters=3)))
    for _ in range(40):
        made.one_pass()
        made.tick()
        made.now += timedelta(seconds=10)
    assert shares(made) == {1: 100}


def test_a_first_deployment_that_never_becomes_ready_gives_way_to_the_next_commit() -> None:
    made = world(Script(), good)
    made.serving.never_ready.add(1)
    until(made, lambda: KEY in made.serving.live)
    made.source.write(NAME, spec(training=training(2)))
    made.settle()
    assert shares(made) == {2: 100}
    assert roles(made)[2] is Stage.PRODUCTION


def test_two_first_deployments_in_a_row_of_which_the_first_comes_up_late_do_not_get_stuck() -> None:
    made = world(Script(), good)
    made.serving.never_ready.update({1, 2})
    until(made, lambda: KEY in made.serving.live)
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: "2-" in str(made.serving.live[KEY].manifest["spec"]["predictor"]["labels"]))
    made.serving.never_ready.discard(1)
    until(made, lambda: shares(made) == {1: 100})
    made.source.write(NAME, spec(training=training(3)))
    made.settle()
    assert shares(made) == {3: 100}
    assert roles(made)[3] is Stage.PRODUCTION


def test_an_edit_by_hand_whose_revision_never_becomes_ready_is_put_back() -> None:
    made = in_production()
    made.serving.never_ready.add(1)
    made.serving.edit_by_hand(KEY, "minReplicas", None)
    until(made, lambda: "'minReplicas'" in str(made.serving.live[KEY].manifest))
    assert shares(made) == {1: 100}


def test_a_stable_that_is_overtaken_after_the_candidate_was_staged_does_not_hold_the_rollout_up() -> None:
    made = world(Script(), good)
    made.serving.never_ready.update({1, 2})
    until(made, lambda: KEY in made.serving.live)
    made.source.write(NAME, spec(training=training(2)))
    until(made, lambda: "2-" in str(made.serving.live[KEY].manifest["spec"]["predictor"]["labels"]))
    made.serving.never_ready.discard(1)
    until(made, lambda: shares(made) == {1: 100})
    made.source.write(NAME, spec(training=training(3)))
    until(made, lambda: any(TAG_ROLLOUT in v.tags for v in made.registry.models[NAME].versions))
    made.serving.never_ready.clear()
    while made.tick():
        made.check()
    made.settle()
    assert shares(made) == {3: 100}


def test_a_model_that_was_let_go_in_a_canary_and_comes_back_can_still_be_rolled_back() -> None:
    made = in_canary(on_removal="retain")
    made.source.write(NAME, None)
    made.settle()
    made.bad.add(2)
    made.source.write(NAME, spec_of(Wish(parameters=2, replicas=2)))
    made.settle()
    assert shares(made) == {1: 100}


def test_serving_fields_that_git_dropped_before_they_were_applied_are_not_rolled_out() -> None:
    made = in_production()
    made.source.write(NAME, spec_of(Wish(replicas=2)))
    until(made, lambda: TAG_ROLLOUT in made.registry.models[NAME].versions[0].tags)
    made.training.outcomes = lambda: {"accuracy": 0.5}
    made.source.write(NAME, spec_of(Wish(replicas=3, parameters=2)))
    made.settle()
    assert TAG_ROLLOUT not in made.registry.models[NAME].versions[0].tags
    assert shares(made) == {1: 100}


def test_a_model_that_was_archived_and_comes_back_with_fields_that_were_rolled_back_asks_for_others() -> None:
    made = in_production()
    made.source.write(NAME, spec_of(Wish(replicas=3)))
    made.settle()
    made.source.write(NAME, None)
    made.settle()
    made.source.write(NAME, spec_of(Wish(replicas=3)))
    made.registry._transition(NAME, 1, Stage.PRODUCTION)
    made.settle()
    status = made.status()
    assert status is not None
    assert "was rolled back" in status.conditions.stalled.message


def test_a_version_that_was_archived_leaves_the_archive_before_it_gets_traffic_again() -> None:
    made = in_production()
    made.source.write(NAME, None)
    made.settle()
    assert roles(made) == {1: Stage.ARCHIVED}
    made.source.write(NAME, spec())
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION}


def test_tightened_gates_take_back_a_candidate_and_leave_what_serves() -> None:
    made = in_canary()
    made.source.write(NAME, spec_of(Wish(parameters=2, gate="stricter")))
    made.settle()
    assert shares(made) == {1: 100}
    assert roles(made)[1] is Stage.PRODUCTION
    assert made.registry.models[NAME].versions[1].tags[TAG_GATES].startswith("failed ")


def test_a_paused_rollout_goes_on_anew_when_git_changes_what_is_wanted() -> None:
    made = in_canary(on_failure="pause")
    made.bad.add(2)
    made.settle()
    status = made.status()
    assert status is not None
    assert "paused" in status.conditions.stalled.message
    assert shares(made) == {1: 90, 2: 10}
    made.bad.clear()
    made.source.write(NAME, spec_of(Wish(parameters=2, on_failure="pause", hold="5s")))
    made.settle()
    assert shares(made) == {2: 100}


def test_a_running_step_that_git_changes_is_held_and_measured_again() -> None:
    made = in_canary()
    until(made, lambda: '"step": 1' in made.registry.models[NAME].versions[1].tags.get(TAG_ROLLOUT, ""))
    made.source.write(NAME, spec_of(Wish(parameters=2, steps=(20,))))
    until(made, lambda: '"percent": 20' in made.registry.models[NAME].versions[1].tags.get(TAG_ROLLOUT, ""))
    begun = made.now
    until(made, lambda: shares(made) == {2: 100})
    assert made.now - begun >= timedelta(seconds=29)


def test_training_that_leaves_the_spec_stops_the_run_under_way() -> None:
    made = world(Script(), good)
    made.one_pass()
    assert [r.state for r in made.training.all[NAME]] == [RunState.RUNNING]
    made.source.write(NAME, spec(training=None))
    made.one_pass()
    assert [r.state for r in made.training.all[NAME]] == [RunState.STOPPED]


def test_a_run_whose_start_was_not_answered_is_stopped_when_git_no_longer_wants_it() -> None:
    made = world(Script(), good)
    script(made).then("training.start", Fault.LOST)
    made.one_pass()
    made.source.write(NAME, spec(training=None))
    made.one_pass()
    assert [r.state for r in made.training.all[NAME]] == [RunState.STOPPED]


def test_a_model_whose_every_call_fails_does_not_stop_another() -> None:
    made = world(lambda what: Fault.REFUSED if "wine" in what else Fault.CALM)
    made.source.write("wine", spec())
    for _ in range(30):
        for name in ("wine", NAME):
            made.one_pass(name)
            while made.tick(name):
                pass
            made.training.tick(name)
    assert shares(made) == {1: 100}
    assert roles(made) == {1: Stage.PRODUCTION}


@pytest.mark.parametrize(
    ("wish", "said"),
    [(None, "4 of 5 models left Git at once"), (spec(serving=None), "4 of 5 models lost their serving at once")],
    ids=["their specs", "their serving"],
)
def test_more_removals_than_the_policy_allows_stop_and_ask(wish: ModelSpec | None, said: str) -> None:
    made = world()
    names = [NAME, "wine", "rose", "lily", "oak"]
    for name in names:
        made.source.write(name, spec())
    made.settle(*names)
    for name in names[:4]:
        made.source.write(name, wish)
    made.settle(*names)
    assert len(made.serving.live) == 5
    status = made.status()
    assert status is not None
    assert status.blocked_by.startswith(said)
    made.source.write(names[0], spec())
    made.settle(*names)
    assert [key[1] for key in made.serving.live] == [NAME, "oak"]


def test_nothing_is_removed_while_a_file_cannot_be_read() -> None:
    made = in_production()
    made.source.unreadable = True
    made.source.write(NAME, None)
    made.settle()
    assert shares(made) == {1: 100}


def test_a_picture_taken_in_bulk_does_not_undo_what_was_read_after_it_began() -> None:
    made = in_production()
    registry = made.registry
    old = dict(registry.models)

    def late(_: object = None) -> dict[str, object]:
        registry._tag(NAME, 1, "team", "flowers")
        made.observer.read_own_writes(NAME)
        made.observer._written.add(NAME)
        made.observer.refresh_model(NAME)
        return old  # type: ignore[return-value]  # as read_all does

    made.observer.systems = replace(made.observer.systems, registry=_Late(late))  # type: ignore[arg-type]  # reads only
    made.observer.systems.registry.read = registry.read  # type: ignore[method-assign]  # of the same registry
    made.observer.refresh_registry()
    known = made.observer._registered(NAME)
    assert "flowers" in str(known)


class _Late:
    def __init__(self, read_all: object) -> None:
        self.read_all = read_all
        self.read: object = None


def test_wishes_that_cannot_be_kept_are_told_as_new_at_the_next_fetch() -> None:
    made = in_production()
    made.source.write(NAME, spec(training=training(2)))
    script(made).then("memory.remember", Fault.REFUSED)
    with pytest.raises(Transient):
        made.reconciler.refresh_source()
    assert NAME in made.reconciler.refresh_source()


def test_a_create_that_lands_after_the_model_was_removed_is_taken_down_before_anything_is_archived() -> None:
    made = in_production()
    made.faults.delay = lambda: 1000
    made.serving.live.clear()
    script(made).then("serving.apply iris", Fault.LATE)
    until(made, lambda: not script(made).faults)
    made.source.write(NAME, None)
    made.settle()
    assert not made.faults.under_way
    assert not made.serving.live
    assert roles(made) == {1: Stage.ARCHIVED}


@pytest.mark.parametrize("fault", [Fault.LATE, Fault.CRASH_LATE])
def test_a_promotion_that_lands_late_does_not_overtake_what_was_decided_since(fault: Fault) -> None:
    made = in_canary()
    made.faults.delay = lambda: 1000
    script(made).then("registry iris: Transition(version=2, stage=<Stage.PRODUCTION", fault)
    until(made, lambda: not script(made).faults)
    made.source.write(NAME, spec_of(Wish(version="1")))
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}
    assert shares(made) == {1: 100}


def test_a_replica_that_slept_between_two_writes_does_not_write_on() -> None:
    made = in_production()
    script(made).then("registry.read iris", Fault.CALM)
    script(made).then("registry iris: DropAlias", Fault.PAUSE)
    made.pause_seconds = lambda: 60
    made.source.write(NAME, None)
    made.settle()
    assert any("decided" in line and "s ago" in line for line in made.faults.log)
    assert roles(made) == {1: Stage.ARCHIVED}


def test_a_split_of_ours_whose_rollout_is_not_on_record_is_put_on_record_and_taken_back() -> None:
    made = in_production()
    made.source.write(NAME, spec_of(replace(Wish(), parameters=2, hold="30s")))
    until(made, lambda: made.serving.live[KEY].percent == 0)
    made.registry._tag(NAME, 2, TAG_ROLLOUT, None)
    made.source.write(NAME, spec_of(Wish(version="1")))
    made.settle()
    assert shares(made) == {1: 100}
    assert made.serving.live[KEY].percent is None
    assert roles(made) == {1: Stage.PRODUCTION, 2: Stage.ARCHIVED}


def test_a_version_that_serves_without_passed_gates_on_record_is_told_and_not_promoted_again_and_again() -> None:
    made = in_production()
    made.registry._tag(NAME, 1, TAG_GATES, None)
    made.registry._move(NAME, 1, Stage.NONE)
    made.registry._point(NAME, "champion", None)
    made.registry.metrics[NAME, 1] = {"accuracy": 0.1}
    made.restart()
    before = len(made.ledger.records)
    for _ in range(5):
        made.one_pass()
        made.now += timedelta(minutes=5)
    status = made.status()
    assert status is not None
    assert "no passed gates on record" in status.conditions.stalled.message
    assert len(made.ledger.records) == before


def bring_back(made: World) -> None:
    made.source.write(NAME, spec_of(Wish()))
    for _ in range(4):
        made.one_pass()
        made.tick()


def test_a_model_is_not_served_again_while_a_sleeper_may_still_archive_it() -> None:
    made = in_production()
    script(made).then("registry iris: DropAlias", Fault.PAUSE)
    made.pause_seconds = lambda: 1
    made.meanwhile = lambda: bring_back(made)
    made.source.write(NAME, None)
    made.settle()
    assert roles(made) == {1: Stage.PRODUCTION}
    assert shares(made) == {1: 100}
