"""Which version is wanted: who is asked, who need not be asked again, and what is read for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.observed import Stage, Unknown
from reconciler.plan.action import RecordGates
from reconciler.plan.facts import gates_digest, passed_mark
from reconciler.plan.selection import MOST_CANDIDATES, Selected, candidates, production_of, select
from tests.plan.scenes import NOW, Scene, settled, wanting
from tests.plan.test_rules import facts_of, rolled_back

NO_WORSE: dict[str, Any] = {
    "promotion": {"gates": [{"metric": "accuracy", "against": "production", "maxRegression": 0.01}]}
}
BOTH: dict[str, Any] = {
    "promotion": {"gates": [{"metric": "accuracy", "min": 0.9}, *NO_WORSE["promotion"]["gates"]]}
}  # fmt: skip
TAGGED: dict[str, Any] = {"promotion": {"gates": [{"tag": "status", "equals": "approved"}]}}


def chosen(scene: Scene) -> int | None:
    version = select(facts_of(scene)).version
    return version.version if version else None


def selected(scene: Scene) -> Selected:
    return select(facts_of(scene))


def asked(scene: Scene) -> list[int]:
    return [v.version for v in candidates(scene.wanted, facts_of(scene).registered)]


def test_the_newest_version_of_this_recipe_or_of_nobody_s_is_asked_first() -> None:
    scene = wanting().version(1).version(2, key="other").version(3, key=None).version(4)
    assert asked(scene) == [4, 3, 1]
    assert asked(wanting(training=None).version(1, key="x").version(2, key=None)) == [2, 1]


def test_a_version_that_is_still_being_registered_is_not_asked() -> None:
    scene = wanting().version(1).version(2)
    pending = (scene.versions[0], replace(scene.versions[1], ready=False))
    assert asked(replace(scene, versions=pending)) == [1]


def test_a_pin_asks_that_version_alone_whatever_trained_it() -> None:
    scene = wanting(promotion={"version": "2"}).version(1).version(2, key="other").version(3)
    assert asked(scene) == [2]
    assert selected(wanting(promotion={"version": "9"}).version(1)) == Selected(None, absent=9)
    assert selected(wanting().version(1, key="other")) == Selected(None)


def test_of_two_in_production_the_newest_is() -> None:
    scene = settled().version(2, Stage.PRODUCTION).version(3)
    found = production_of(facts_of(scene).registered)
    assert found is not None
    assert found.version == 2
    assert production_of(None) is None


def test_versions_beyond_the_newest_twenty_are_not_asked() -> None:
    scene = wanting().version(1)
    for number in range(2, MOST_CANDIDATES + 2):
        scene = scene.version(number, gates=f"failed {gates_digest(scene.wanted.spec)} x").evidence(
            number, accuracy=0.1
        )
    assert MOST_CANDIDATES == 20
    assert chosen(scene) is None
    assert len(selected(scene).verdicts) == 20


def test_a_version_that_fails_gives_way_to_the_next_older_and_the_newest_failure_is_recorded_first() -> None:
    scene = wanting().version(1).version(2, gates=None).version(3, gates=None)
    failing = scene.evidence(2, accuracy=0.5).evidence(3, accuracy=0.4)
    found = selected(failing)
    assert found.version is not None
    assert found.version.version == 1
    assert [(v.version, bool(v.lost)) for v in found.verdicts] == [(3, True), (2, True)]
    assert found.unrecorded is not None
    assert found.unrecorded[0].version == 3


def test_a_version_that_passes_is_wanted_even_before_that_is_recorded() -> None:
    found = selected(wanting().version(1).version(2, gates=None).evidence(2, accuracy=0.95))
    assert found.version is not None
    assert found.version.version == 2
    assert found.unrecorded is not None
    assert [v.version for v in found.verdicts] == [2]


def test_a_version_that_was_rolled_back_gives_way_and_stays_named() -> None:
    older = selected(rolled_back(wanting().version(1).version(2), 2))
    assert (older.version, older.rejected) == (facts_of(wanting().version(1)).versions[0], older.rejected)
    assert older.rejected is not None
    assert older.rejected.version == 2
    passing = selected(rolled_back(wanting().version(1, gates=None).version(2), 2).evidence(1, accuracy=0.95))
    assert passing.rejected is not None
    missing = selected(rolled_back(wanting().version(1, gates=None).version(2), 2))
    assert missing.rejected is not None
    assert missing.missing is not None
    assert chosen(rolled_back(rolled_back(wanting().version(1).version(2).version(3), 3), 2)) == 1


def test_without_serving_fields_there_is_nothing_to_roll_back() -> None:
    scene = rolled_back(wanting().version(1), 1)
    bare = scene.wants(spec=scene.wanted.spec.model_copy(update={"serving": None}))
    assert chosen(bare) == 1


# Who need not be asked again.

OTHERS = "passed other rules"


def beside_a_candidate() -> Scene:
    """Let version 1 be stable, and version 2 a candidate that fails its gates by now."""
    scene = wanting().version(1, gates=OTHERS).rolling(10)
    tag = scene.versions[-1].tags["reconciler.dev/rollout"]
    failed = replace(scene, versions=scene.versions[:-1]).version(2, Stage.STAGING, rollout=tag, gates="failed x")
    return failed.evidence(2, accuracy=0.1)


ON_RECORD: dict[str, tuple[Scene, int | None]] = {
    "it passed these very gates": (wanting().version(1), 1),
    "it passed other gates": (wanting().version(1, gates=OTHERS), None),
    "it passed other gates and is in Production": (wanting().version(1, Stage.PRODUCTION, gates=OTHERS), 1),
    "it failed and is in Production": (wanting().version(1, Stage.PRODUCTION, gates="failed x"), None),
    "it passed other gates and has all traffic": (wanting().version(1, gates=OTHERS).serving(1), 1),
    "it passed other gates and shares the traffic": (
        wanting().version(1, gates=OTHERS).serving(1, canary_percent=10), None,
    ),
    "it passed other gates and a candidate is tried beside it": (beside_a_candidate(), 1),
    "it passed other gates and somebody else serves": (wanting().version(1, gates=OTHERS).serving(2), None),
    "it passed other gates and an object of somebody else serves it": (
        wanting().version(1, gates=OTHERS).serving(1, ours=False), None,
    ),
    "it passed other gates and an object without our label serves": (
        wanting().version(1, gates=OTHERS).serving(1, release=None), None,
    ),
    "it passed other gates and serves where the model was before": (
        wanting().version(1, gates=OTHERS).sees(strays=(settled().live,)), 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ON_RECORD)
def test_tightening_a_gate_takes_nothing_away_that_serves(sentence: str) -> None:
    scene, expected = ON_RECORD[sentence]
    assert chosen(scene.evidence(1, accuracy=0.1)) == expected


# What is read.


def test_a_gate_on_a_tag_alone_reads_no_metrics() -> None:
    scene = wanting(**TAGGED).version(1, gates=None, status="approved")
    assert chosen(scene) == 1


def test_production_is_read_only_where_a_gate_compares_with_it() -> None:
    scene = settled().version(2, gates=None).evidence(2, accuracy=0.95)
    assert chosen(scene) == 2
    for gates in (NO_WORSE, BOTH):
        compared = settled(**gates).version(2, gates=None).evidence(2, accuracy=0.95)
        missing = selected(compared).missing
        assert missing is not None
        assert missing.version.version == 1
        assert chosen(compared.evidence(1, accuracy=0.955)) == 2
        assert chosen(compared.evidence(1, accuracy=0.99)) == 1


def test_where_nothing_is_in_production_or_it_is_the_very_version_nothing_is_compared() -> None:
    assert chosen(wanting(**NO_WORSE).version(1, gates=None).evidence(1, accuracy=0.1)) == 1
    own = wanting(**NO_WORSE).version(1, Stage.PRODUCTION, gates=None).evidence(1, accuracy=0.1)
    assert chosen(own) == 1
    (result,) = selected(own).verdicts[0].results
    assert "nothing is in Production yet" in result.said


def test_a_reading_that_failed_is_named_with_its_cause() -> None:
    scene = settled().version(2, gates=None).sees(evidence={2: Unknown("a time-out", NOW)})
    assert scene.decide().waits_for == "the gates: a time-out"
    unread = settled().version(2, gates=None)
    assert unread.decide().waits_for == "the gates: metrics of version 2 are not read yet"


def test_a_verdict_is_recorded_in_one_form_and_again_only_when_it_changes() -> None:
    scene = settled().version(2, gates=None).evidence(2, accuracy=0.5)
    recorded = scene.decide().action
    assert isinstance(recorded, RecordGates)
    assert recorded.verdict.startswith(f"failed {gates_digest(scene.wanted.spec)} ")
    again = settled().version(2, gates=recorded.verdict)
    assert again.evidence(2, accuracy=0.5).decide().action is None
    assert isinstance(again.evidence(2, accuracy=0.4).decide().action, RecordGates)
    passing = settled().version(2, gates=recorded.verdict).evidence(2, accuracy=0.95).decide().action
    assert passing == RecordGates(2, passed_mark(scene.wanted.spec))
