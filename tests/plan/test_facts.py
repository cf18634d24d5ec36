"""What tags and statuses mean: whatever anybody wrote there, it is read as ours or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.observed import (
    TAG_ROLLOUT,
    Failure,
    InferenceService,
    Known,
    Memory,
    ObservedModel,
    RegisteredModel,
    Rejection,
    Release,
    TrafficTarget,
)
from reconciler.plan.facts import (
    Facts,
    gather,
    hangs_above,
    previous_target,
    revision_release,
    rollout_of,
    served,
    settled,
    sole_release,
    unchallenged,
)
from reconciler.plan.marks import RolloutRecord, moment, rejection_from_tag, rejection_to_tag, release_from_tag
from tests.plan.scenes import NOW, Scene
from tests.plan.scenes import settled as as_wanted

RECORD = RolloutRecord(
    Release(2, "abc"), Release(1, "abc"), "iris-00001", 1, NOW, NOW - timedelta(minutes=5), "w", 10, "models"
)
REJECTION = Rejection(Release(2, "abc"), "w", "too many errors", NOW)
TAG = json.loads(RECORD.to_tag())
MARK = json.loads(rejection_to_tag(REJECTION))
DEEP = "[" * 100_000


def test_a_rollout_is_read_back_as_it_was_written() -> None:
    assert RolloutRecord.from_tag(RECORD.to_tag()) == RECORD


def test_a_rollout_is_written_in_one_form() -> None:
    assert RECORD.to_tag() == (
        '{"namespace": "models", "percent": 10, "release": "2-abc", "since": "2026-08-20T09:30:00+00:00", "stable": '
        '"1-abc", "stableRevision": "iris-00001", "started": "2026-08-20T09:25:00+00:00", "step": 1, "wanted": "w"}'
    )


def test_a_rollout_from_before_shares_and_namespaces_were_written_is_read_without() -> None:
    old = {k: v for k, v in TAG.items() if k not in {"percent", "namespace"}}
    assert RolloutRecord.from_tag(json.dumps(old)) == replace(RECORD, percent=None, namespace="")


ODD: dict[str, dict[str, Any]] = {
    "a release that nobody can have": {"release": "x"},
    "a stable release that nobody can have": {"stable": "x"},
    "neither release": {"release": None, "stable": None},
    "a step that is true": {"step": True},
    "a step that is a text": {"step": "1"},
    "a negative step": {"step": -1},
    "a step beyond all steps": {"step": 101},
    "half a percent": {"percent": 0.5},
    "more than everything": {"percent": 101},
    "a time without a zone": {"since": "2026-08-20T09:30:00"},
    "a time before there was anything to roll out": {"started": "1999-12-31T23:59:59+00:00"},
    "a time that cannot be added to": {"since": "9999-12-31T23:59:59+00:00"},
    "a time that is a number": {"since": 3},
}


@pytest.mark.parametrize("sentence", ODD)
def test_a_rollout_that_we_did_not_write_is_none(sentence: str) -> None:
    assert RolloutRecord.from_tag(json.dumps({**TAG, **ODD[sentence]})) is None


@pytest.mark.parametrize("missing", [k for k in TAG if k not in {"percent", "namespace"}])
def test_a_rollout_without_one_of_its_parts_is_none(missing: str) -> None:
    assert RolloutRecord.from_tag(json.dumps({k: v for k, v in TAG.items() if k != missing})) is None


@pytest.mark.parametrize("text", [None, "", "x", "null", "3", "[]", '"a"', DEEP])
def test_what_is_no_object_is_neither_a_rollout_nor_a_rejection(text: str | None) -> None:
    assert RolloutRecord.from_tag(text) is None
    assert rejection_from_tag(text) is None


def test_all_steps_and_shares_to_a_hundred_are_read() -> None:
    edge = replace(RECORD, step=100, percent=100)
    assert RolloutRecord.from_tag(edge.to_tag()) == edge
    edge = replace(RECORD, step=0, percent=0)
    assert RolloutRecord.from_tag(edge.to_tag()) == edge


@pytest.mark.parametrize(("year", "ours"), [(1999, False), (2000, True), (2199, True), (2200, False)])
def test_times_of_two_centuries_are_ours(year: int, *, ours: bool) -> None:
    text = datetime(year, 6, 1, tzinfo=UTC).isoformat()
    if ours:
        assert moment(text).year == year
    else:
        with pytest.raises(ValueError, match="no time of ours"):
            moment(text)


def test_a_rejection_is_read_back_as_it_was_written() -> None:
    assert rejection_from_tag(rejection_to_tag(REJECTION)) == REJECTION
    assert rejection_to_tag(REJECTION) == (
        '{"at": "2026-08-20T09:30:00+00:00", "reason": "too many errors", "release": "2-abc", "wanted": "w"}'
    )


def test_the_reason_of_a_rejection_has_a_bound_when_written_and_when_read() -> None:
    words = "x " * 1500
    assert json.loads(rejection_to_tag(replace(REJECTION, reason=words)))["reason"] == words[:1999]
    read = rejection_from_tag(json.dumps({**MARK, "reason": words}))
    assert read is not None
    assert read.reason == words[:1999]


def test_a_reason_is_cut_between_two_words_as_half_an_address_may_hide_no_password_any_more() -> None:
    long = f"{'x ' * 990}https://svc:Sup3rS3cretPw@minio:9000/models"
    assert len("Sup3r") < 2000 - long.index("Sup3r") < len("Sup3rS3cretPw@")
    assert json.loads(rejection_to_tag(replace(REJECTION, reason=long)))["reason"] == long[:1979]
    assert json.loads(rejection_to_tag(replace(REJECTION, reason="x" * 2000)))["reason"] == "x" * 2000


@pytest.mark.parametrize(
    "odd", [{"release": "x"}, {"release": 3}, {"at": "soon"}, {"at": 3}, {"at": "2026-08-20T09:30"}]
)
def test_a_rejection_that_we_did_not_write_is_none(odd: dict[str, Any]) -> None:
    assert rejection_from_tag(json.dumps({**MARK, **odd})) is None


@pytest.mark.parametrize("missing", list(MARK))
def test_a_rejection_without_one_of_its_parts_is_none(missing: str) -> None:
    assert rejection_from_tag(json.dumps({k: v for k, v in MARK.items() if k != missing})) is None


@pytest.mark.parametrize(
    ("text", "release"),
    [("models/2-abc", Release(2, "abc")), ("other/2-abc", None), ("models/x", None), ("", None), (None, None)],
)
def test_how_a_version_served_counts_in_its_own_namespace(text: str | None, release: Release | None) -> None:
    assert release_from_tag(text, "models") == release


def test_of_several_rollouts_on_record_the_newest_counts_and_what_cannot_be_read_does_not() -> None:
    later = replace(RECORD, started=NOW, release=Release(3, "abc"))
    scene = as_wanted()
    for number, tag in ((2, RECORD.to_tag()), (3, later.to_tag()), (4, "written by hand"), (5, RECORD.to_tag())):
        scene = scene.version(number, rollout=tag)
    assert rollout_of(RegisteredModel("iris", scene.versions)) == later
    assert rollout_of(RegisteredModel("iris", as_wanted().versions)) is None
    assert rollout_of(None) is None
    assert all(TAG_ROLLOUT not in v.tags for v in as_wanted().versions)


A, B = Release(1, "a"), Release(2, "b")


def live(**changes: Any) -> InferenceService:
    made = as_wanted().live
    assert made is not None
    return replace(made, **changes)


def target(revision: str, percent: int, tag: str | None = None) -> TrafficTarget:
    return TrafficTarget(revision, percent, tag)


REVISIONS: dict[str, tuple[dict[str, Any], bool, str, Release | None]] = {
    "a label tells": ({"revisions": {"r1": A}}, True, "r1", A),
    "a revision that is not there has none": ({"revisions": {"r1": A}}, True, "iris-00001", None),
    "where revisions cannot be read the record tells of stable": (
        {"revisions": None}, True, "iris-00001", RECORD.stable,
    ),
    "and the object of what is newest and ready": (
        {"revisions": None, "latest_created": "r2", "latest_ready": "r2", "release": B}, True, "r2", B,
    ),
    "but not of what is newest and not ready": (
        {"revisions": None, "latest_created": "r2", "latest_ready": "r1", "release": B}, True, "r2", None,
    ),
    "nor of what is ready and not newest": (
        {"revisions": None, "latest_created": "r2", "latest_ready": "r1", "release": B}, True, "r1", None,
    ),
    "without a record the object tells of what is newest and ready": (
        {"revisions": None, "latest_created": "r2", "latest_ready": "r2", "release": B}, False, "r2", B,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REVISIONS)
def test_the_release_of_a_revision(sentence: str) -> None:
    changes, recorded, revision, release = REVISIONS[sentence]
    assert revision_release(live(**changes), revision, RECORD if recorded else None) == release


TRAFFIC: dict[str, tuple[tuple[TrafficTarget, ...], tuple[tuple[Release | None, int], ...], Release | None]] = {
    "all to one": ((target("r1", 100),), ((A, 100),), A),
    "nothing is no share": ((target("r1", 100), target("r2", 0)), ((A, 100),), A),
    "one of a hundred is one": ((target("r1", 99), target("r2", 1)), ((A, 99), (B, 1)), None),
    "two revisions of one release are one": ((target("r1", 50), target("r3", 50)), ((A, 50), (A, 50)), A),
    "a revision that nobody knows": ((target("r9", 100),), ((None, 100),), None),
    "nothing": ((), (), None),
}


@pytest.mark.parametrize("sentence", TRAFFIC)
def test_what_callers_get(sentence: str) -> None:
    traffic, shares, sole = TRAFFIC[sentence]
    seen = live(traffic=traffic, revisions={"r1": A, "r2": B, "r3": A})
    assert served(seen, None) == shares
    assert sole_release(seen, None) == sole


def test_the_previous_target_is_the_one_that_is_tagged_so() -> None:
    assert previous_target(live(traffic=(target("r2", 10, "latest"), target("r1", 90, "prev")))) == target(
        "r1", 90, "prev"
    )
    assert previous_target(live(traffic=(target("r2", 10, "latest"), target("r1", 90)))) is None


SETTLED: dict[str, tuple[dict[str, Any], bool]] = {
    "the newest is ready": ({"latest_created": "r-2", "latest_ready": "r-2"}, True),
    "the newest is not ready": ({"latest_created": "r-2", "latest_ready": "r-1"}, False),
    "nothing was created": ({"latest_created": None, "latest_ready": None}, False),
    "a deletion is under way": ({"latest_created": "r-2", "latest_ready": "r-2", "deleting": True}, False),
    "a newer revision is there than the status names": (
        {"latest_created": "r-2", "latest_ready": "r-2", "revisions": {"r-2": A, "r-3": A}}, False,
    ),
    "older revisions are there": (
        {"latest_created": "r-10", "latest_ready": "r-10", "revisions": {"r-9": A, "r-10": A}}, True,
    ),
    "revisions cannot be read": ({"latest_created": "r-2", "latest_ready": "r-2", "revisions": None}, True),
    "a revision without a number is no newer one": (
        {"latest_created": "r-2", "latest_ready": "r-2", "revisions": {"r-x": A, "r-\u0663": A, "r-99999999999": A}},
        True,
    ),
    "a number of ten digits is one": (
        {"latest_created": "r-2", "latest_ready": "r-2", "revisions": {"r-9999999999": A}}, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SETTLED)
def test_a_service_is_settled(sentence: str) -> None:
    changes, expected = SETTLED[sentence]
    assert settled(live(**{"revisions": {}, **changes})) is expected


UNCHALLENGED: dict[str, tuple[Release, Mapping[str, Release | None] | None, tuple[TrafficTarget, ...], bool]] = {
    "it was applied last and serves": (A, {"r-1": A}, (target("r-1", 100),), True),
    "another one was applied over it": (B, {"r-1": A}, (target("r-1", 100),), False),
    "another one that is newer may still come up": (A, {"r-1": A, "r-2": B}, (target("r-1", 100),), False),
    "a newer revision of its own takes nothing away": (A, {"r-1": A, "r-2": A}, (target("r-1", 100),), True),
    "an older one of another is no challenge": (A, {"r-1": B, "r-2": A}, (target("r-2", 100),), True),
    "a newer one that has no traffic is a challenge": (
        A, {"r-1": A, "r-2": B}, (target("r-1", 100), target("r-2", 0)), False,
    ),
    "a newer one that has some traffic is counted as serving": (
        A, {"r-1": A, "r-2": B}, (target("r-1", 99), target("r-2", 1)), True,
    ),
    "where revisions cannot be read the object tells": (A, None, (target("r-1", 100),), True),
    "nothing serves yet": (A, {"r-1": A}, (), True),
    "nothing serves yet and another one may come up": (A, {"r-1": B}, (), False),
}  # fmt: skip


@pytest.mark.parametrize("sentence", UNCHALLENGED)
def test_a_release_is_unchallenged(sentence: str) -> None:
    applied, revisions, traffic, expected = UNCHALLENGED[sentence]
    assert unchallenged(live(release=applied, revisions=revisions, traffic=traffic), A) is expected


ALONE = {
    "latest_created": "r-2", "latest_ready": "r-1", "latest_rolledout": "r-1", "revisions": {"r-1": A, "r-2": A},
    "traffic": (target("r-1", 100, "latest"),), "failure": Failure("RevisionFailed", "it ends", terminal=False),
}  # fmt: skip
HANGS: dict[str, tuple[dict[str, Any], bool]] = {
    "a newer template of the release that serves fails": ({}, True),
    "several of them do": ({"latest_created": "r-3", "revisions": {"r-1": A, "r-2": A, "r-3": A}}, True),
    "what serves crashed": ({"unready": frozenset({"r-1"})}, True),
    "it may still come up": ({"failure": None}, False),
    "it is up": ({"latest_ready": "r-2"}, False),
    "nothing was ready ever": ({"latest_ready": None}, False),
    "nothing was created": ({"latest_created": None}, False),
    "it is of another release": ({"revisions": {"r-1": A, "r-2": B}}, False),
    "one in between is of another release": (
        {"latest_created": "r-3", "revisions": {"r-1": A, "r-2": B, "r-3": A}}, False,
    ),
    "the object asks for another release": ({"release": B}, False),
    "what serves is of another release": ({"revisions": {"r-1": B, "r-2": A}}, False),
    "what serves is not what was rolled out": ({"latest_rolledout": "r-0"}, False),
    "another one serves": ({"traffic": (target("r-0", 100),)}, False),
    "callers are split": ({"traffic": (target("r-1", 90), target("r-2", 10))}, False),
    "a split is asked for": ({"canary_percent": 0}, False),
    "the status is behind": ({"revisions": {"r-1": A, "r-2": A, "r-3": A}}, False),
    "revisions cannot be read": ({"revisions": None}, False),
    "a deletion is under way": ({"deleting": True}, False),
    "a Deployment is on its way to another template": ({"mode": "Standard"}, False),
}  # fmt: skip


@pytest.mark.parametrize("sentence", HANGS)
def test_something_hangs_above_what_serves_where(sentence: str) -> None:
    changes, expected = HANGS[sentence]
    assert hangs_above(live(**{"release": A, **ALONE, **changes}), A) is expected


def facts_of(scene: Scene) -> Facts:
    registered = RegisteredModel("iris", scene.versions)
    observed = ObservedModel(Known(registered, NOW), Known(scene.live, NOW), Known((), NOW))
    gathered = gather(scene.wanted, replace(observed, **scene.seen), NOW)
    assert isinstance(gathered, Facts)
    return gathered


def rolling() -> tuple[Scene, RolloutRecord]:
    scene = as_wanted().rolling(10, 1)
    record = facts_of(scene).rollout
    assert record is not None
    return scene, record


def test_a_rejection_holds_until_git_changes_what_is_wanted() -> None:
    facts = facts_of(as_wanted())
    for wanted, holds in ((facts.wanted, True), ("other", False)):
        rejection = Rejection(A, wanted, "bad", NOW)
        told = replace(facts, rejections={A: rejection}).rejected(A)
        assert told == (rejection if holds else None)
    assert facts.rejected(A) is None


REMEMBERED: dict[str, tuple[bool, bool, bool]] = {
    "the rollout in progress that was decided against is rejected": (True, True, True),
    "an earlier rollout of the same release is not": (True, False, False),
    "another release that was begun at the same moment is not": (False, True, False),
    "what has nothing to do with it is not": (False, False, False),
}


@pytest.mark.parametrize("sentence", REMEMBERED)
def test_what_the_ledger_remembers(sentence: str) -> None:
    same_release, same_rollout, rejected = REMEMBERED[sentence]
    scene, record = rolling()
    release = record.release if same_release else A
    rollout = record.started if same_rollout else record.started - timedelta(hours=1)
    memory = Memory(rejections=(Rejection(release, "w", "bad", NOW, rollout),))
    assert (release in facts_of(scene.sees(memory=memory)).rejections) is rejected


def test_what_is_marked_in_the_registry_is_rejected_and_what_nobody_can_read_is_not() -> None:
    scene = as_wanted().version(2, rejected=rejection_to_tag(REJECTION)).version(3, rejected="x")
    assert facts_of(scene).rejections == {REJECTION.release: REJECTION}


def test_without_a_rollout_the_ledger_says_nothing() -> None:
    memory = Memory(rejections=(Rejection(A, "w", "bad", NOW, NOW),))
    assert facts_of(as_wanted().sees(memory=memory)).rejections == {}


def test_a_rollout_is_dealt_with_where_it_began_wherever_git_wants_the_model_by_now() -> None:
    scene, record = rolling()
    assert scene.live is not None
    there, here = replace(scene.live, namespace="before"), scene.live
    tagged = as_wanted().version(2, rollout=replace(record, namespace="before").to_tag())
    assert facts_of(replace(tagged, live=here).sees(strays=(there,))).live == there
    assert facts_of(replace(tagged, live=None).sees(strays=(there,))).live == there
    assert facts_of(replace(tagged, live=here)).live is None
    untold = as_wanted().version(2, rollout=replace(record, namespace="").to_tag())
    assert facts_of(replace(untold, live=here).sees(strays=(there,))).live == here
    assert facts_of(replace(as_wanted(), live=here).sees(strays=(there,))).live == here


def test_a_model_without_versions_has_none() -> None:
    facts = replace(facts_of(as_wanted()), registered=None)
    assert facts.version(1) is None
    assert facts.versions == ()
