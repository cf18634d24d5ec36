"""What an auditor finds on the ledger: each intent with what was seen, each outcome with what was done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from reconciler.errors import Refused, UnknownOutcome
from reconciler.executor import describe, execute
from reconciler.observed import Release, Stage
from reconciler.plan.action import (
    Archive,
    BeginStep,
    DeleteModel,
    Deploy,
    LetGo,
    RecordGates,
    Reject,
    ShiftTraffic,
    Train,
)
from reconciler.plan.decision import Decision, VersionVerdict, act
from reconciler.plan.rollout import check_verdicts
from reconciler.ports import Entry, Moment, Result
from reconciler.status import Health, Phase, Sync, plain
from tests.ensure.stage import in_canary, in_production, scene_of
from tests.simulation.world import NAME, World


def done(made: World, decision: Decision) -> tuple[Entry, Entry]:
    """Carry out a decision; return its intent and its outcome."""
    scene = scene_of(made)
    execute(scene.facts, decision, scene.systems, tuple)
    intent, outcome = made.ledger.records[-2:]
    assert outcome.entry.attempt_of == intent.seq
    return intent.entry, outcome.entry


def test_an_intent_tells_who_wanted_what_why_and_what_was_there() -> None:
    made = in_canary()
    scene = scene_of(made)
    record = scene.facts.rollout
    assert record is not None
    intent, _ = done(made, act(ShiftTraffic(record.release, 0, record.stable_revision), "because", Phase.CANARY))
    commit = scene.desired.commit
    assert (intent.moment, intent.model, intent.action, intent.reason) == (
        Moment.INTENT, NAME, "ShiftTraffic", "because",
    )  # fmt: skip
    assert (intent.commit, intent.author, intent.at, intent.result) == (
        commit.id, commit.author, made.now, Result.PENDING,
    )  # fmt: skip
    assert intent.before == {
        "traffic": [{"revision": t.revision, "percent": t.percent, "tag": t.tag} for t in scene.live().traffic],
        "versions": {"1": "Production", "2": "Staging"},
        "release": str(record.release),
    }
    assert intent.after == {
        "release": str(record.release), "percent": 0, "stableRevision": record.stable_revision,
    }  # fmt: skip


def test_an_outcome_repeats_whose_it_is_and_tells_what_was_done() -> None:
    made = in_production()
    intent, outcome = done(made, act(RecordGates(1, "passed x"), "because", Phase.GATING))
    assert (outcome.moment, outcome.model, outcome.action) == (Moment.OUTCOME, NAME, "RecordGates")
    assert (outcome.reason, outcome.commit, outcome.author) == ("because", intent.commit, intent.author)
    assert outcome.result is Result.DONE
    assert outcome.after == {"version": 1, "gates": "passed x"}


def test_an_action_that_failed_says_why_instead_and_nothing_of_what_was_done() -> None:
    _, outcome = done(in_production(), act(Deploy(Release(9, "x")), "because", Phase.DEPLOYING))
    assert outcome.result is Result.FAILED
    assert outcome.reason == "version 9 of iris is not in the registry any more"
    assert outcome.after == {}


@dataclass(slots=True)
class Clock:
    """A clock that was set so much ahead, or back, since the decision."""

    made: World
    ahead: timedelta

    def __call__(self) -> datetime:
        return self.made.now + self.ahead


@pytest.mark.parametrize(
    ("ahead", "milliseconds"),
    [(timedelta(seconds=1.5), 1500), (timedelta(0), 0), (timedelta(milliseconds=1), 1), (timedelta(seconds=-9), 0)],
)
def test_an_outcome_tells_how_long_it_took_and_never_less_than_nothing(ahead: timedelta, milliseconds: int) -> None:
    made = in_production()
    scene = scene_of(made)
    systems = replace(scene.systems, clock=Clock(made, ahead))
    execute(scene.facts, act(RecordGates(1, "passed x"), "because", Phase.GATING), systems, tuple)
    ended = made.ledger.records[-1].entry
    assert (ended.duration_ms, ended.at) == (milliseconds, made.now + ahead)


def test_the_outcome_is_handed_back_with_its_error() -> None:
    scene = scene_of(in_production())
    failed = execute(scene.facts, act(Deploy(Release(9, "x")), "because", Phase.DEPLOYING), scene.systems, tuple)
    assert failed.action == Deploy(Release(9, "x"))
    assert isinstance(failed.error, Refused)
    assert not isinstance(failed.error, UnknownOutcome)


def test_evidence_is_what_the_decision_saw_of_versions_and_checks_and_no_more() -> None:
    made = in_canary()
    scene = scene_of(made)
    record = scene.facts.rollout
    assert record is not None
    checks = check_verdicts(scene.facts, record)
    decision = act(RecordGates(2, "passed x"), "because", Phase.GATING)
    intent, _ = done(made, replace(decision, checks=checks, versions=(VersionVerdict(2, (), "too bad"),)))
    assert intent.evidence == {
        "checks": [plain(c.as_json()) for c in checks],
        "versions": [{"version": 2, "lost": "too bad", "gates": []}],
    }
    intent, _ = done(made, decision)
    assert intent.evidence == {}


def test_where_nothing_is_served_nothing_is_said_of_traffic() -> None:
    made = in_production()
    scene = scene_of(made, live=None)
    execute(scene.facts, act(RecordGates(1, "passed x"), "because", Phase.GATING), scene.systems, tuple)
    assert made.ledger.records[-2].entry.before == {"traffic": [], "versions": {"1": "Production"}, "release": ""}


def test_an_object_without_our_label_has_no_release() -> None:
    made = in_production()
    scene = scene_of(made)
    facts = replace(scene.facts, live=replace(scene.live(), release=None))
    execute(facts, act(RecordGates(1, "passed x"), "because", Phase.GATING), scene.systems, tuple)
    assert made.ledger.records[-2].entry.before["release"] == ""


def test_of_many_versions_the_newest_five_are_told() -> None:
    made = in_production()
    for _ in range(6):
        made.registry.register(NAME, {}, {}, made.now)
    intent, _ = done(made, act(RecordGates(1, "passed x"), "because", Phase.GATING))
    assert intent.before["versions"] == dict.fromkeys(("3", "4", "5", "6", "7"), "None")


def test_an_action_is_described_by_its_own_fields_with_times_to_the_microsecond() -> None:
    since = datetime.fromisoformat("2026-01-01T00:00:00.000001+00:00")
    assert describe(BeginStep(Release(2, "abc"), 1, since)) == {
        "release": "2-abc", "step": 1, "since": "2026-01-01T00:00:00.000001+00:00",
    }  # fmt: skip
    assert describe(Reject(Release(2, "abc"), "w", Stage.ARCHIVED)) == {
        "release": "2-abc", "wanted": "w", "stage": "Archived",
    }  # fmt: skip
    assert describe(Train("key", 1)) == {"key": "key", "attempt": 1}
    assert describe(LetGo()) == {}


def test_a_decision_to_wait_cannot_be_carried_out() -> None:
    made = in_production()
    scene, before = scene_of(made), len(made.ledger.records)
    with pytest.raises(ValueError, match="without an action"):
        execute(scene.facts, Decision(Phase.IDLE, Sync.SYNCED, Health.HEALTHY), scene.systems, tuple)
    assert len(made.ledger.records) == before


def test_an_archived_version_and_a_deleted_model_are_what_the_ledger_says() -> None:
    made = in_canary()
    _, outcome = done(made, act(Archive(2), "because", Phase.ARCHIVING))
    assert (outcome.result, outcome.after) == (Result.DONE, {"version": 2, "stage": "Archived"})
    _, outcome = done(made, act(DeleteModel(), "because", Phase.ARCHIVING))
    assert (outcome.result, outcome.after) == (Result.DONE, {"deleted": NAME})
    assert NAME not in made.registry.models
