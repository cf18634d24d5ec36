"""What an order by hand is about, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.errors import Refused, Transient
from reconciler.observed import (
    TAG_ROLLOUT,
    By,
    Known,
    Meant,
    Memory,
    ObservedModel,
    Order,
    OrderKind,
    RegisteredModel,
    Rejection,
    Release,
    RunState,
    Stage,
    TrainingRun,
)
from reconciler.plan.facts import Facts, gather, wanted_digest
from reconciler.plan.marks import RolloutRecord, rejection_to_tag
from reconciler.plan.ordering import about, follows, meant, order_of, orderable, repeated, shown
from reconciler.plan.training import recipe_of
from tests.plan.scenes import MINUTE, NOW, UNKNOWN, Scene, settled, wanting

ABORT, PROMOTE, PAUSE, RESUME, RETRY, APPROVE = OrderKind
OF_ROLLOUT = (ABORT, PROMOTE, PAUSE, RESUME)
BY = By("ana", "it looks odd")
GATES = [{"metric": "accuracy", "min": 0.9}]
ASKS = {"approval": "required", "gates": GATES}
WAITING_STEP = {"steps": [{"traffic": 10, "hold": "untilApproved"}, {"traffic": 50, "hold": "10m"}]}
FAILED, RUNNING, SUCCEEDED = RunState.FAILED, RunState.RUNNING, RunState.SUCCEEDED


def facts_of(scene: Scene, *given: Order) -> Facts:
    """Return the facts of a scene in which these orders were given before."""
    registered = RegisteredModel("iris", scene.versions) if scene.versions else None
    base = ObservedModel(Known(registered, NOW), Known(scene.live, NOW), Known((), NOW))
    memory = replace(scene.seen.get("memory", Memory()), orders=given)
    found = gather(scene.wanted, replace(base, **{**scene.seen, "memory": memory}), NOW)
    assert isinstance(found, Facts)
    return found


def given(kind: OrderKind, scene: Scene, minutes: int = 0, **changes: Any) -> Order:
    """Return an order that was given minutes ago, by another person, for the scene's wishes."""
    made = Order(kind, "bo", "before", NOW - minutes * MINUTE, wanted_digest(scene.wanted.spec))
    return replace(made, **changes)


def of_rollout(kind: OrderKind, scene: Scene, minutes: int = 0, **changes: Any) -> Order:
    """Return an order for the scene's rollout."""
    record = record_of(scene)
    return given(kind, scene, minutes, release=record.release, rollout=record.started, **changes)


def record_of(scene: Scene) -> RolloutRecord:
    tags = (v.tags[TAG_ROLLOUT] for v in scene.versions if TAG_ROLLOUT in v.tags)
    record = RolloutRecord.from_tag(next(tags))
    assert record is not None
    return record


def canary(**changes: Any) -> Scene:
    """Roll version 2 out at 10 %."""
    return settled(**changes).rolling(10, step=1)


def refused(kind: OrderKind, facts: Facts) -> str:
    with pytest.raises(Refused) as error:
        order_of(kind, BY, facts)
    return f"{error.value.message} | {error.value.help}"


@pytest.mark.parametrize("kind", OrderKind)
def test_nothing_is_ordered_of_a_model_that_left_git(kind: OrderKind) -> None:
    scene = canary().wants(removed=True)
    assert refused(kind, facts_of(scene)) == "iris left Git and is being taken down | bring its spec back first"


@pytest.mark.parametrize("kind", [ABORT, PROMOTE, PAUSE])
def test_an_order_is_about_the_rollout_that_is_under_way_and_says_who_gave_it_when_and_why(kind: OrderKind) -> None:
    scene = canary()
    made, record = order_of(kind, BY, facts_of(scene)), record_of(scene)
    assert made == Order(
        kind, "ana", "it looks odd", NOW, wanted_digest(scene.wanted.spec), record.release, record.started
    )


@pytest.mark.parametrize("kind", OF_ROLLOUT)
def test_without_a_rollout_there_is_nothing_to_order_for_and_only_an_abort_tells_the_way_back(kind: OrderKind) -> None:
    told = refused(kind, facts_of(settled()))
    look = "no rollout of iris is under way | `reconciler explain iris` tells where it stands"
    assert told == look + ("; to leave the version that serves, name another one in Git" if kind is ABORT else "")


@pytest.mark.parametrize("kind", [PROMOTE, PAUSE])
def test_what_is_ordered_already_is_returned_as_it_was_given(kind: OrderKind) -> None:
    scene = canary()
    before = of_rollout(kind, scene)
    assert order_of(kind, BY, facts_of(scene, before)) is before


def test_a_pause_after_a_promotion_is_an_order_of_its_own() -> None:
    scene = canary()
    assert order_of(PAUSE, BY, facts_of(scene, of_rollout(PROMOTE, scene))).actor == "ana"


def test_a_pause_is_resumed_once() -> None:
    scene = canary()
    pause = of_rollout(PAUSE, scene, 2)
    resumed = order_of(RESUME, BY, facts_of(scene, pause))
    assert (resumed.kind, resumed.rollout) == (RESUME, record_of(scene).started)
    assert order_of(RESUME, BY, facts_of(scene, pause, resumed)) is resumed


@pytest.mark.parametrize("before", [(), (PROMOTE,)])
def test_what_is_not_paused_is_not_resumed(before: tuple[OrderKind, ...]) -> None:
    scene = canary()
    told = refused(RESUME, facts_of(scene, *(of_rollout(kind, scene) for kind in before)))
    assert told.startswith("the rollout of version 2 is not paused by hand | `reconciler explain iris`")


def test_an_abort_given_again_is_the_first_one() -> None:
    scene = canary()
    before = of_rollout(ABORT, scene)
    assert order_of(ABORT, BY, facts_of(scene, before)) is before


@pytest.mark.parametrize("kind", [PROMOTE, PAUSE, RESUME])
def test_nothing_but_the_abort_itself_is_ordered_of_a_rollout_on_its_way_back(kind: OrderKind) -> None:
    scene = canary()
    told = refused(kind, facts_of(scene, of_rollout(PAUSE, scene, 1), of_rollout(ABORT, scene)))
    assert told.startswith("version 2 is being rolled back already: aborted by bo: before | ")


RETRIED_RUNS: dict[str, tuple[tuple[RunState, ...], int, int | None]] = {
    "one failed run": ((FAILED,), 0, 1),
    "the last of several failed runs": ((FAILED, FAILED), 0, 2),
    "a run that failed after one that is tried again already": ((FAILED, FAILED), 1, 2),
    "runs that are tried again already": ((FAILED, FAILED), 2, None),
    "a run that goes on": ((FAILED, RUNNING), 0, None),
    "an older run that goes on": ((RUNNING, FAILED), 0, None),
    "a run that succeeded": ((FAILED, SUCCEEDED), 0, None),
    "no run at all": ((), 0, None),
}


@pytest.mark.parametrize("sentence", RETRIED_RUNS)
def test_which_failed_training_is_retried(sentence: str) -> None:
    states, tried, attempt = RETRIED_RUNS[sentence]
    scene = wanting().runs(*states)
    key = recipe_of(scene.wanted) or ""
    facts = facts_of(scene, *([given(RETRY, scene, key=key, attempt=tried)] if tried else []))
    if attempt is None:
        assert refused(RETRY, facts).startswith("nothing that Git wants of iris was rejected or failed to train | ")
        return
    made = order_of(RETRY, BY, facts)
    assert (made.kind, made.key, made.attempt, made.release) == (RETRY, key, attempt, None)


def test_the_runs_of_another_training_are_not_retried() -> None:
    scene = wanting()
    own = TrainingRun(recipe_of(scene.wanted) or "", 1, "run-1", FAILED, NOW, NOW, "boom")
    facts = facts_of(scene.sees(runs=Known((own, replace(own, key="other", attempt=5)), NOW)))
    assert (order_of(RETRY, BY, facts).key, order_of(RETRY, BY, facts).attempt) == (own.key, 1)
    assert refused(RETRY, facts_of(scene.runs(FAILED, key="other")))


def test_a_training_that_brought_its_version_is_not_retried() -> None:
    assert "was rejected or failed to train" in refused(RETRY, facts_of(settled().runs(FAILED)))


def test_whether_a_training_failed_is_not_guessed() -> None:
    with pytest.raises(Transient, match="the training runs of iris cannot be read: it does not answer"):
        order_of(RETRY, BY, facts_of(wanting().sees(runs=UNKNOWN)))


def test_runs_are_not_asked_for_where_git_trains_nothing() -> None:
    assert refused(RETRY, facts_of(wanting(training=None).sees(runs=UNKNOWN)))


def rejected(**changes: Any) -> Scene:
    """Let version 2 have been rolled back a minute ago."""
    scene = settled(**changes)
    mark = Rejection(scene.release(2), wanted_digest(scene.wanted.spec), "too many errors", NOW - MINUTE)
    return scene.version(2, Stage.ARCHIVED, rejected=rejection_to_tag(mark))


def test_a_rejected_release_is_retried() -> None:
    scene = rejected()
    facts = facts_of(scene)
    made = order_of(RETRY, BY, facts)
    assert (made.release, made.rejected_at) == (scene.release(2), facts.rejections[scene.release(2)].at)
    assert (made.key, made.version, made.rollout) == ("", None, None)


def test_what_is_on_its_way_is_not_retried() -> None:
    told = refused(RETRY, facts_of(canary()))
    assert told == (
        "version 2 is on its way, or on its way back | "
        "retry when that is over; `reconciler explain iris` tells where it stands"
    )


def test_a_rejection_without_serving_is_nothing_to_retry() -> None:
    scene = rejected().wants(spec=wanting(serving=None).wanted.spec)
    assert refused(RETRY, facts_of(scene))


def test_an_approval_is_for_the_version_that_waits() -> None:
    made = order_of(APPROVE, BY, facts_of(settled(promotion=ASKS).version(2)))
    assert (made.kind, made.version, made.release, made.step) == (APPROVE, 2, None, 0)


def test_an_approval_given_again_is_the_first_one_until_a_newer_version_waits() -> None:
    scene = settled(promotion=ASKS).version(2)
    before = given(APPROVE, scene, version=2)
    assert order_of(APPROVE, BY, facts_of(scene, before)) is before
    assert order_of(APPROVE, BY, facts_of(scene.version(3), before)).version == 3


NOTHING_WAITS: dict[str, tuple[Scene, str]] = {
    "Git asks for no approval": (settled().version(2), "no version of iris needs approval: Git asks for none"),
    "Git names the version": (
        settled(promotion={**ASKS, "version": "2"}).version(2), "no version of iris needs approval: Git asks for none",
    ),
    "only what serves passed its gates": (settled(promotion=ASKS), "no version of iris waits for approval"),
    "what serves was trained otherwise, and nothing else is there": (
        wanting(promotion=ASKS).version(1, Stage.PRODUCTION, key="other").serving(1),
        "no version of iris waits for approval",
    ),
    "there is no version": (wanting(promotion=ASKS), "no version of iris waits for approval"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", NOTHING_WAITS)
def test_where_no_version_waits_none_is_approved(sentence: str) -> None:
    scene, words = NOTHING_WAITS[sentence]
    assert refused(APPROVE, facts_of(scene)).startswith(words)


def test_an_approval_of_a_version_that_is_gone_is_none() -> None:
    scene = wanting(promotion=ASKS)
    assert "waits for approval" in refused(APPROVE, facts_of(scene, given(APPROVE, scene, version=2)))


def test_a_step_that_waits_for_a_person_is_approved_once() -> None:
    scene = canary(rollout=WAITING_STEP)
    made = order_of(APPROVE, BY, facts_of(scene))
    record = record_of(scene)
    assert (made.step, made.release, made.rollout, made.version) == (1, record.release, record.started, None)
    before = replace(made, actor="bo")
    assert order_of(APPROVE, BY, facts_of(scene, before)) is before


def test_a_step_is_not_approved_on_the_way_back_or_where_it_waits_for_nobody() -> None:
    waiting = canary(rollout=WAITING_STEP)
    assert "needs approval" in refused(APPROVE, facts_of(waiting, of_rollout(ABORT, waiting)))
    assert "needs approval" in refused(APPROVE, facts_of(settled(rollout=WAITING_STEP).rolling(50, step=2)))


TRAINED = wanting().runs(FAILED)
ON_LOOK = "`reconciler explain iris` tells where it stands; "
ABOUT_ANOTHER: dict[str, tuple[OrderKind, Scene, Meant, str, str]] = {
    "the candidate before": (
        PROMOTE, canary(), Meant(7),
        "it was ordered for version 7, but promote is now about the rollout of version 2",
        "with --version 2 it is ordered for that",
    ),
    "nothing, as no rollout was shown": (
        ABORT, canary(), Meant(0),
        "nothing to abort was shown when it was ordered, but abort is now about the rollout of version 2",
        "with --version 2 it is ordered for that",
    ),
    "a version that nobody asks for any more": (
        APPROVE, settled(promotion=ASKS).version(2), Meant(1),
        "it was ordered for version 1, but approve is now about version 2",
        "with --version 2 it is ordered for that",
    ),
    "another step": (
        APPROVE, canary(rollout=WAITING_STEP), Meant(2, 3),
        "it was ordered for step 3 of version 2, but approve is now about step 1 of the rollout of version 2",
        "with --version 2 --step 1 it is ordered for that",
    ),
    "the version, which waits in a step by now": (
        APPROVE, canary(rollout=WAITING_STEP), Meant(2),
        "it was ordered for version 2, but approve is now about step 1 of the rollout of version 2",
        "with --version 2 --step 1 it is ordered for that",
    ),
    "a version, and a training failed": (
        RETRY, TRAINED, Meant(2),
        f"it was ordered for version 2, but retry is now about the training {recipe_of(TRAINED.wanted)}",
        "without --version it is ordered for that",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ABOUT_ANOTHER)
def test_what_is_about_another_thing_than_was_meant_is_refused_with_both(sentence: str) -> None:
    kind, scene, meaning, words, advice = ABOUT_ANOTHER[sentence]
    with pytest.raises(Refused) as error:
        order_of(kind, replace(BY, meant=meaning), facts_of(scene))
    assert error.value.message.startswith(words)
    assert error.value.message.endswith("; nothing was recorded")
    assert error.value.help == ON_LOOK + advice


def test_what_is_in_force_already_was_ordered_of_what_it_is_about_alone() -> None:
    scene = canary()
    before = of_rollout(PAUSE, scene)
    assert order_of(PAUSE, replace(BY, meant=Meant(2)), facts_of(scene, before)) is before
    with pytest.raises(Refused, match="for version 3, but pause is now about the rollout of version 2"):
        order_of(PAUSE, replace(BY, meant=Meant(3)), facts_of(scene, before))


ORDERABLE: dict[str, tuple[Scene, dict[OrderKind, Meant]]] = {
    "nothing of what is settled": (settled(), {}),
    "nothing of what left Git": (canary().wants(removed=True), {}),
    "of a rollout what holds, ends or quickens it": (
        canary(), {ABORT: Meant(2), PROMOTE: Meant(2), PAUSE: Meant(2)},
    ),
    "a version that waits for approval": (settled(promotion=ASKS).version(2), {APPROVE: Meant(2)}),
    "a step that waits for approval": (
        canary(rollout=WAITING_STEP), {ABORT: Meant(2), PROMOTE: Meant(2), PAUSE: Meant(2), APPROVE: Meant(2, 1)},
    ),
    "a training that failed": (TRAINED, {RETRY: Meant(0)}),
    "nothing of a training whose runs cannot be read": (wanting().sees(runs=UNKNOWN), {}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ORDERABLE)
def test_what_could_be_ordered_is_shown_and_whoever_means_it_can_order_it(sentence: str) -> None:
    scene, expected = ORDERABLE[sentence]
    facts = facts_of(scene)
    assert {order.kind: meant(order) for order in orderable(facts)} == expected
    assert all(order_of(kind, replace(BY, meant=meaning), facts).actor == "ana" for kind, meaning in expected.items())


def test_a_rejected_release_can_be_tried_again_and_a_pause_be_resumed() -> None:
    assert [(o.kind, meant(o)) for o in orderable(facts_of(rejected()))] == [(RETRY, Meant(2))]
    scene = canary()
    assert RESUME in [o.kind for o in orderable(facts_of(scene, of_rollout(PAUSE, scene)))]


@pytest.mark.parametrize(("meaning", "again"), [(None, True), (Meant(2), True), (Meant(0), True), (Meant(3), False)])
def test_an_order_whose_answer_was_lost_is_the_same_one_unless_another_version_is_meant(
    meaning: Meant | None, *, again: bool
) -> None:
    abort = of_rollout(ABORT, canary(), actor="ana", reason="it looks odd")
    assert (repeated(ABORT, replace(BY, meant=meaning), facts_of(settled(), abort)) is abort) == again


@pytest.mark.parametrize(
    ("by", "again"), [(BY, True), (By("bo", BY.reason), False), (By("ana", "another reason"), False)]
)
def test_the_last_order_in_the_same_words_is_the_same_order(by: By, *, again: bool) -> None:
    scene = canary()
    pause = of_rollout(PAUSE, scene, actor="ana", reason="it looks odd")
    assert (repeated(PAUSE, by, facts_of(scene, pause)) is pause) == again
    assert repeated(RESUME, by, facts_of(scene, pause)) is None


@pytest.mark.parametrize(("minutes", "again"), [(0, True), (5, True), (6, False), (7 * 24 * 60, False)])
def test_the_same_words_are_the_same_order_for_a_few_minutes(minutes: int, *, again: bool) -> None:
    abort = of_rollout(ABORT, canary(), minutes, actor="ana", reason="it looks odd")
    assert (repeated(ABORT, BY, facts_of(settled(), abort)) is abort) == again


def test_an_older_order_in_the_same_words_is_another_order() -> None:
    scene = canary()
    pause = of_rollout(PAUSE, scene, 5, actor="ana", reason="it looks odd")
    assert repeated(PAUSE, BY, facts_of(scene, pause, of_rollout(RESUME, scene))) is None
    assert repeated(PAUSE, BY, facts_of(scene)) is None


PLAIN = given(PAUSE, settled())
SECOND = Release(2, "abc")
ABOUT: dict[str, Order] = {
    "the training k, of which 3 attempts were made": replace(PLAIN, key="k", attempt=3, release=SECOND),
    "the training k, of which 1 attempt was made": replace(PLAIN, key="k", attempt=1),
    "version 7": replace(PLAIN, version=7, release=SECOND),
    "step 1 of the rollout of version 2": replace(PLAIN, release=SECOND, step=1),
    "version 2, rejected": replace(PLAIN, release=SECOND, rejected_at=NOW),
    "the rollout of version 2": replace(PLAIN, release=SECOND, rollout=NOW),
    "the rollout of version 0": PLAIN,
}


@pytest.mark.parametrize("words", ABOUT)
def test_what_an_order_is_about_is_told(words: str) -> None:
    assert about(ABOUT[words]) == words


FOLLOWS: dict[str, Order] = {
    "version 2 gets no more traffic, version 1 keeps all of it; 2 is rejected: "
    "`reconciler retry iris` or a commit brings it back": replace(PLAIN, kind=ABORT, release=SECOND),
    "version 2 gets all traffic as soon as it is ready; steps and checks are skipped": replace(
        PLAIN, kind=PROMOTE, release=SECOND
    ),
    "the rollout of version 2 holds its traffic and its deadline stands still; "
    "its checks go on, and one that fails still takes it back": replace(PLAIN, release=SECOND),
    "the rollout of version 2 goes on where it was": replace(PLAIN, kind=RESUME, release=SECOND),
    "version 2 is rolled out again, from the first step": replace(PLAIN, kind=RETRY, release=SECOND),
    "attempt 4 of the training starts": replace(PLAIN, kind=RETRY, key="k", attempt=3),
    "step 1 of the rollout of version 2 is left once its checks pass": replace(
        PLAIN, kind=APPROVE, release=SECOND, step=1
    ),
    "version 7 is taken as if Git named it: it is rolled out over version 1": replace(
        PLAIN, kind=APPROVE, version=7, release=SECOND
    ),
}


@pytest.mark.parametrize("words", FOLLOWS)
def test_what_follows_on_an_order_is_told(words: str) -> None:
    assert follows(FOLLOWS[words], facts_of(canary())) == words


def test_without_a_rollout_an_approval_tells_of_what_serves() -> None:
    told = follows(replace(PLAIN, kind=APPROVE), facts_of(settled()))
    assert told == "version 0 is taken as if Git named it: it is rolled out over what serves"


def test_orders_in_force_are_shown_oldest_first() -> None:
    scene = canary(rollout=WAITING_STEP, promotion=ASKS)
    abort, pause = of_rollout(ABORT, scene, 4), of_rollout(PAUSE, scene, 5)
    approval, step = given(APPROVE, scene, 9, version=2), of_rollout(APPROVE, scene, 3, step=1)
    retry = given(RETRY, scene, 7, release=scene.release(2), rejected_at=NOW)
    found = shown(facts_of(scene, abort, pause, approval, step, retry))
    assert found == (approval, retry, pause, abort, step)


def test_an_order_that_has_done_its_work_is_not_shown() -> None:
    scene = canary(rollout=WAITING_STEP, promotion=ASKS)
    pause, resume = of_rollout(PAUSE, scene, 5), of_rollout(RESUME, scene, 4)
    done = given(APPROVE, scene, 9, version=1)
    assert shown(facts_of(scene, pause, resume, done, of_rollout(APPROVE, scene, 3, step=2))) == ()
    assert shown(facts_of(settled())) == ()


def test_an_approval_is_shown_where_nothing_is_in_production_yet() -> None:
    scene = wanting(promotion=ASKS).version(2)
    approval = given(APPROVE, scene, version=2)
    assert shown(facts_of(scene, approval)) == (approval,)


def test_a_training_tried_again_is_shown_until_its_version_is_there() -> None:
    scene = wanting()
    older = given(RETRY, scene, 9, key="older", attempt=1)
    retry = given(RETRY, scene, 5, key=recipe_of(scene.wanted) or "", attempt=1)
    assert shown(facts_of(scene, older, retry)) == (retry,)
    assert shown(facts_of(scene, retry, older)) == ()
    assert shown(facts_of(settled(), retry)) == ()


def test_a_release_tried_again_is_shown_while_it_is_rolled_out() -> None:
    scene = canary()
    retry = given(RETRY, scene, release=scene.release(2), rejected_at=NOW - timedelta(hours=1))
    assert shown(facts_of(scene, retry)) == (retry,)
    assert shown(facts_of(scene, replace(retry, release=scene.release(3)))) == ()
    assert shown(facts_of(settled(), retry)) == ()


def test_a_rejection_that_is_to_be_tried_again_counts_no_more_and_one_of_another_time_does() -> None:
    scene = settled()
    release = scene.release(2)
    mark = rejection_to_tag(Rejection(release, wanted_digest(scene.wanted.spec), "too many errors", NOW))
    marked = scene.version(2, rejected=mark)
    again = given(RETRY, scene, release=release, rejected_at=NOW)
    assert facts_of(marked).rejected(release) is not None
    assert facts_of(marked, again).rejected(release) is None
    assert facts_of(marked, replace(again, rejected_at=NOW - MINUTE)).rejected(release) is not None
    assert facts_of(marked, replace(again, release=Release(9, "x"))).rejected(release) is not None
