"""What ports.Serving promises and how KServe behaves in Knative mode.

Held by the simulation, by the real adapter over it, and by the real adapter and client over HTTP on the embedded API.
With --kubeconfig, the last one is the cluster that it names. The stand-in works there only where Kubernetes' own
controllers do, KServe's does not, and nobody has an InferenceService; elsewhere what needs a controller that obeys the
test is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Conflict, Terminal, Transient
from reconciler.observed import LABEL_MODEL, InferenceService
from tests.clusters import nobody_serves, on_a_cluster
from tests.contracts.servings import Bench, InstantPods, controlled, embedded, live, over_http, over_the_wire, simulated
from tests.systems.serving.world import manifest, release

NOBODY = "2b1d0000-0000-0000-0000-000000000000"


def of(bench: Bench, version: int = 1, canary: int | None = None, **predictor: Any) -> dict[str, Any]:
    return manifest(bench.namespace, "iris", version, canary, **predictor)


def meant_for(found: InferenceService, version: int = 1, canary: int | None = None) -> dict[str, Any]:
    wanted = manifest(found.namespace, found.name, version, canary)
    meta = {**wanted["metadata"], "uid": found.uid, "resourceVersion": found.resource_version}
    return {**wanted, "metadata": meta}


def shown(bench: Bench) -> InferenceService:
    found = live(bench)
    assert found is not None
    return found


def revision(number: int) -> str:
    return f"iris-predictor-{number:05d}"


def split(found: InferenceService) -> dict[str, tuple[int, str | None]]:
    """Return the share and the tag of each revision by its number."""
    return {t.revision[-1]: (t.percent, t.tag) for t in found.traffic}


@pytest.fixture(scope=on_a_cluster("module"))
def cluster(
    real_cluster: Path | None, controllers: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Any]]:
    """Return a kubeconfig, and the pods of the stand-in where there is one."""
    if real_cluster:
        free = controllers and nobody_serves(real_cluster)
        with controlled(real_cluster) if free else nullcontext() as found:
            yield real_cluster, found
        return
    with embedded(tmp_path_factory.mktemp("contract")) as (kubeconfig, pods):
        yield kubeconfig, pods


def on(request: pytest.FixtureRequest, controlled: bool) -> Iterator[Bench]:  # a fact of the sentence, not a switch
    if request.param != "http":
        yield simulated() if request.param == "simulated" else over_the_wire()
        return
    kubeconfig, pods = request.getfixturevalue("cluster")
    rests_after = 1.0 if request.config.getoption("--kubeconfig") else 0.15
    if pods is None:
        if controlled:
            pytest.skip("needs a KServe controller of which the test can say what becomes ready: the embedded one")
        with over_http(kubeconfig, None, rests_after) as bench:
            yield bench
        return
    assert isinstance(pods, InstantPods)
    with over_http(kubeconfig, pods, rests_after) as bench:
        yield bench


@pytest.fixture(params=["simulated", "wire", "http"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Return a Kubernetes; a KServe controller may be there or not."""
    yield from on(request, controlled=False)


@pytest.fixture(params=["simulated", "wire", "http"])
def kserve(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Return a Kubernetes with a KServe controller."""
    yield from on(request, controlled=True)


def serves(number: int) -> Any:
    """Tell of a service whether this revision is its newest, ready, and has all traffic."""
    return lambda s: s.ready and s.latest_created == revision(number) and split(s) == {str(number): (100, "latest")}


def canary_at(kserve: Bench, percent: int) -> InferenceService:
    """Serve version 1, then version 2 at this share."""
    kserve.serving.apply(of(kserve))
    kserve.until(serves(1))
    kserve.rest()
    kserve.serving.apply(of(kserve, 2, 0))
    kserve.until(lambda s: split(s) == {"2": (0, "latest"), "1": (100, "prev")} and s.ready)
    kserve.rest()
    kserve.serving.apply(of(kserve, 2, percent))
    return kserve.until(lambda s: split(s) == {"2": (percent, "latest"), "1": (100 - percent, "prev")})


# How KServe behaves


def test_a_first_apply_makes_revision_1_which_gets_everything_once_it_is_ready(kserve: Bench) -> None:
    kserve.serving.apply(of(kserve))
    found = kserve.until(serves(1))
    assert (found.latest_ready, found.latest_rolledout) == (revision(1), revision(1))
    assert found.revisions == {revision(1): release(kserve.namespace, 1)}
    assert (found.failure, found.canary_percent) == (None, None)


@pytest.mark.parametrize("percent", [0, 10])
def test_the_share_of_a_first_revision_is_ignored(kserve: Bench, percent: int) -> None:
    kserve.serving.apply(of(kserve, 1, percent))
    kserve.until(lambda s: s.ready and bool(s.traffic))
    kserve.rest()
    # Once it is rolled out it is both the latest and the previous one.
    assert [t.revision for t in shown(kserve).traffic] == [revision(1), revision(1)]
    assert sum(t.percent for t in shown(kserve).traffic) == 100


def test_a_first_revision_that_does_not_become_ready_gets_nothing_and_says_why(kserve: Bench) -> None:
    kserve.hang(1)
    kserve.serving.apply(of(kserve))
    found = kserve.until(lambda s: s.failure is not None)
    assert (found.ready, found.traffic, found.latest_ready) == (False, (), None)
    assert found.failure is not None
    assert (found.failure.reason, found.failure.terminal) == ("ModelLoadFailed", False)


def test_what_hung_and_then_becomes_ready_is_no_failure_any_more(kserve: Bench) -> None:
    kserve.hang(1)
    kserve.serving.apply(of(kserve))
    kserve.until(lambda s: s.failure is not None)
    kserve.hang()
    assert kserve.until(serves(1)).failure is None


@pytest.mark.parametrize("percent", [0, 10, 50])
def test_a_candidate_gets_its_share_and_the_rolled_out_revision_the_rest(kserve: Bench, percent: int) -> None:
    found = canary_at(kserve, percent)
    assert (found.canary_percent, found.release) == (percent, release(kserve.namespace, 2))
    assert (found.latest_created, found.latest_ready, found.latest_rolledout) == (revision(2), revision(2), revision(1))
    assert found.revisions == {revision(n): release(kserve.namespace, n) for n in (1, 2)}


def test_only_what_is_tagged_has_an_address_of_its_own(kserve: Bench) -> None:
    urls = {target.tag: target.url for target in canary_at(kserve, 10).traffic}
    assert urls["latest"]
    assert urls["prev"]
    assert urls["latest"] != urls["prev"]


@pytest.mark.parametrize("percent", [None, 100])
def test_without_a_share_or_with_all_of_it_the_candidate_is_rolled_out(kserve: Bench, percent: int | None) -> None:
    canary_at(kserve, 50)
    kserve.serving.apply(of(kserve, 2, percent))
    kserve.until(serves(2))
    assert kserve.until(lambda s: s.latest_rolledout == revision(2)).canary_percent == percent


def test_a_candidate_that_does_not_become_ready_leaves_the_traffic(kserve: Bench) -> None:
    kserve.serving.apply(of(kserve))
    kserve.until(serves(1))
    kserve.rest()
    kserve.hang(2)
    kserve.serving.apply(of(kserve, 2, 50))
    found = kserve.until(lambda s: s.failure is not None)
    kserve.rest()
    found = shown(kserve)
    # "latest" is the latest ready one: both targets name revision 1.
    assert {t.revision for t in found.traffic} == {revision(1)}
    assert sum(t.percent for t in found.traffic) == 100
    assert (found.latest_created, found.latest_ready, found.ready) == (revision(2), revision(1), False)


def test_a_new_template_in_mid_canary_leaves_the_share_with_the_old_candidate_until_it_is_ready(kserve: Bench) -> None:
    canary_at(kserve, 10)
    kserve.rest()
    kserve.hang(3)
    kserve.serving.apply(of(kserve, 3, 10))
    found = kserve.until(lambda s: s.latest_created == revision(3) and s.failure is not None)
    assert split(found) == {"2": (10, "latest"), "1": (90, "prev")}
    kserve.hang()
    kserve.until(lambda s: split(s) == {"3": (10, "latest"), "1": (90, "prev")})


def test_a_new_template_that_comes_with_a_share_hands_it_to_the_candidate_that_was_taken_to_nothing(
    kserve: Bench,
) -> None:
    canary_at(kserve, 0)
    kserve.rest()
    kserve.hang(3)
    kserve.serving.apply(of(kserve, 3, 10))
    found = kserve.until(lambda s: s.latest_created == revision(3) and s.failure is not None)
    assert split(found) == {"2": (10, "latest"), "1": (90, "prev")}


def test_lowering_the_share_after_a_finished_rollout_serves_the_older_one(kserve: Bench) -> None:
    canary_at(kserve, 50)
    kserve.serving.apply(of(kserve, 2))
    kserve.until(lambda s: serves(2)(s) and s.latest_rolledout == revision(2))
    kserve.rest()
    kserve.serving.apply(of(kserve, 2, 10))
    found = kserve.until(lambda s: split(s) == {"2": (10, "latest"), "1": (90, "prev")})
    assert found.latest_created == revision(2)


def test_dropping_the_share_while_reverting_gives_the_candidate_all_until_the_reverted_one_is_ready(
    kserve: Bench,
) -> None:
    canary_at(kserve, 10)
    kserve.rest()
    kserve.hang(1)
    kserve.serving.apply(of(kserve, 1))
    kserve.until(lambda s: split(s) == {"2": (100, "latest")} and s.latest_created == revision(3))


def test_a_candidate_that_crashes_keeps_its_callers_until_it_is_back_whatever_is_asked_for(kserve: Bench) -> None:
    canary_at(kserve, 10)
    kserve.rest()
    kserve.crash(2)
    kserve.until(lambda s: s.unready == {revision(2)} and not s.ready and s.failure is not None)
    kserve.serving.apply(of(kserve, 2, 0))
    kserve.rest()
    found = shown(kserve)
    assert split(found) == {"2": (10, "latest"), "1": (90, "prev")}
    assert (found.latest_ready, set(found.unready_since)) == (revision(2), {revision(2)})
    kserve.crash()
    found = kserve.until(lambda s: split(s) == {"2": (0, "latest"), "1": (100, "prev")} and s.ready)
    assert (found.unready, dict(found.unready_since)) == (frozenset(), {})


def test_a_candidate_that_crashes_loses_its_callers_once_the_next_one_at_nothing_is_ready(kserve: Bench) -> None:
    canary_at(kserve, 10)
    kserve.rest()
    kserve.crash(2)
    kserve.serving.apply(of(kserve, 2, 0))
    kserve.rest()
    kserve.serving.apply(of(kserve, 3, 0))
    kserve.until(lambda s: split(s) == {"3": (0, "latest"), "1": (100, "prev")})


def test_a_split_that_goes_as_its_candidate_crashes_stays_until_what_replaces_it_is_ready(kserve: Bench) -> None:
    canary_at(kserve, 50)
    kserve.rest()
    kserve.crash(2)
    kserve.until(lambda s: s.unready == {revision(2)})
    kserve.serving.apply(of(kserve, 2))
    kserve.rest()
    assert split(shown(kserve)) == {"2": (50, "latest"), "1": (50, "prev")}
    kserve.serving.apply(of(kserve, 1, 0))
    kserve.until(lambda s: split(s) == {"3": (0, "latest"), "1": (100, "prev")})
    kserve.rest()
    kserve.serving.apply(of(kserve, 1))
    kserve.until(serves(3))


def test_a_stable_revision_that_crashed_keeps_all_callers_until_the_split_goes(kserve: Bench) -> None:
    kserve.serving.apply(of(kserve))
    kserve.until(serves(1))
    kserve.rest()
    kserve.crash(1)
    kserve.until(lambda s: s.unready == {revision(1)} and s.failure is not None)
    kserve.serving.apply(of(kserve, 2, 0))
    kserve.until(lambda s: s.latest_ready == revision(2))
    kserve.rest()
    assert split(shown(kserve)) == {"1": (100, "latest")}
    assert not shown(kserve).ready
    kserve.serving.apply(of(kserve, 2, 50))
    kserve.rest()
    assert split(shown(kserve)) == {"1": (100, "latest")}
    kserve.serving.apply(of(kserve, 2))
    kserve.until(serves(2))


def test_going_back_to_an_older_template_makes_a_new_revision_of_its_release(kserve: Bench) -> None:
    canary_at(kserve, 0)
    kserve.rest()
    kserve.serving.apply(of(kserve, 1, 0))
    found = kserve.until(lambda s: s.latest_ready == revision(3))
    assert (found.revisions or {})[revision(3)] == release(kserve.namespace, 1)


def test_a_share_makes_no_revision(kserve: Bench) -> None:
    canary_at(kserve, 10)
    kserve.rest()
    assert shown(kserve).latest_created == revision(2)


@pytest.mark.parametrize("what", ["a label of the object", "a field that nobody had set", "a field of ours"])
def test_whatever_reaches_the_template_makes_a_revision(kserve: Bench, what: str) -> None:
    kserve.serving.apply(of(kserve))
    kserve.until(serves(1))
    kserve.rest()
    if what == "a label of the object":
        kserve.label({"team": "flowers"})
    else:
        kserve.edit({"maxReplicas": 7} if what == "a field that nobody had set" else {"minReplicas": 2})
    found = kserve.until(serves(2))
    assert found.revisions == {revision(n): release(kserve.namespace, 1) for n in (1, 2)}


def test_made_anew_it_has_another_uid_and_begins_at_revision_1(kserve: Bench) -> None:
    kserve.serving.apply(of(kserve))
    before = kserve.until(serves(1))
    kserve.rest()
    kserve.delete_by_hand()
    kserve.serving.apply(of(kserve, 2))
    found = kserve.until(serves(1))
    assert found.uid != before.uid
    assert found.revisions == {revision(1): release(kserve.namespace, 2)}


# What the port promises


def test_a_write_is_in_the_next_read(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    found = shown(bench)
    assert (found.ours, found.release, found.ready, found.traffic) == (True, release(bench.namespace), False, ())
    bench.serving.apply(of(bench, 2, 0))
    assert (shown(bench).release, shown(bench).canary_percent) == (release(bench.namespace, 2), 0)


def test_the_same_again_changes_nothing(bench: Bench) -> None:
    for _ in range(2):
        bench.serving.apply(of(bench))
        bench.rest()
    before = shown(bench)
    bench.serving.apply(of(bench))
    bench.rest()
    assert shown(bench).resource_version == before.resource_version


def test_a_change_raises_the_generation_by_one_and_keeps_the_uid(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    before = shown(bench)
    bench.serving.apply(of(bench, 2))
    assert (shown(bench).generation, shown(bench).uid) == (before.generation + 1, before.uid)


@pytest.mark.parametrize("adopted", [False, True], ids=["after its creation", "after an apply"])
def test_a_write_for_the_object_as_it_was_read_is_made(bench: Bench, adopted: bool) -> None:
    bench.serving.apply(of(bench))
    if adopted:
        bench.serving.apply(of(bench, 2))
    bench.rest()
    bench.serving.apply(meant_for(shown(bench), 3, 0))
    assert shown(bench).release == release(bench.namespace, 3)


def test_a_write_for_an_older_state_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.rest()
    older = shown(bench)
    bench.serving.apply(of(bench, 2))
    with pytest.raises((Conflict, Transient)):
        bench.serving.apply(meant_for(older, 3))
    assert shown(bench).release == release(bench.namespace, 2)


def test_a_write_for_an_object_that_was_made_anew_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.rest()
    older = shown(bench)
    bench.delete_by_hand()
    bench.serving.apply(of(bench, 2))
    with pytest.raises((Conflict, Transient)):
        bench.serving.apply(meant_for(older, 3))
    assert shown(bench).release == release(bench.namespace, 2)


def test_a_write_for_an_object_that_is_gone_does_not_make_it_anew(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.rest()
    older = shown(bench)
    bench.delete_by_hand()
    with pytest.raises(Conflict):
        bench.serving.apply(meant_for(older, 2))
    bench.rest()
    assert live(bench) is None


def test_a_deleted_object_is_gone_and_deleting_it_again_is_success(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.rest()
    uid = shown(bench).uid
    bench.serving.delete(bench.namespace, "iris", uid)
    found = live(bench)
    assert found is None or found.deleting
    bench.rest()
    assert live(bench) is None
    bench.serving.delete(bench.namespace, "iris", uid)


def test_deleting_another_object_of_that_name_is_refused(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.rest()
    with pytest.raises(Conflict):
        bench.serving.delete(bench.namespace, "iris", NOBODY)
    assert live(bench)


def test_nothing_drifts_after_a_write(bench: Bench) -> None:
    for canary in (None, 0, 10):
        bench.serving.apply(of(bench, 1, canary))
        bench.rest()
        assert bench.serving.drift(of(bench, 1, canary)) == ()


def test_drift_of_what_is_not_there_is_no_answer(bench: Bench) -> None:
    with pytest.raises(Transient):
        bench.serving.drift(of(bench))


def test_a_field_that_others_set_is_no_drift_and_stays(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.edit({"maxReplicas": 7})
    bench.rest()
    assert bench.serving.drift(of(bench)) == ()
    bench.serving.apply(of(bench, 2, 0))
    bench.edit({"maxReplicas": None})
    assert bench.serving.drift(of(bench, 2, 0)) == ()


def test_a_field_of_ours_that_was_removed_is_drift_and_is_put_back(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.edit({"minReplicas": None})
    bench.rest()
    assert bench.serving.drift(of(bench)) == ("spec.predictor.minReplicas",)
    bench.serving.apply(of(bench))
    bench.rest()
    assert bench.serving.drift(of(bench)) == ()


@pytest.mark.parametrize("adopted", [False, True], ids=["after its creation", "after an apply"])
def test_a_field_of_ours_that_somebody_took_is_drift_and_is_not_overwritten(bench: Bench, adopted: bool) -> None:
    bench.serving.apply(of(bench))
    if adopted:
        bench.serving.apply(of(bench, 1, 0))
    bench.edit({"minReplicas": 5})
    bench.rest()
    assert "spec.predictor.minReplicas" in bench.serving.drift(of(bench))
    with pytest.raises(Conflict):
        bench.serving.apply(of(bench, 2, 0))
    bench.rest()
    assert shown(bench).release == release(bench.namespace, 1)
    assert "spec.predictor.minReplicas" in bench.serving.drift(of(bench))


def test_a_field_that_somebody_took_and_that_we_want_just_so_is_no_conflict(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.edit({"minReplicas": 5})
    bench.serving.apply(of(bench, 2, minReplicas=5))
    assert shown(bench).release == release(bench.namespace, 2, minReplicas=5)


def test_traffic_can_be_cut_although_somebody_took_a_field(kserve: Bench) -> None:
    canary_at(kserve, 10)
    kserve.edit({"minReplicas": 5})
    kserve.rest()
    with pytest.raises(Conflict):
        kserve.serving.apply(of(kserve, 2, 50))
    kserve.serving.apply(meant_for(shown(kserve), 2, 0))
    found = kserve.until(lambda s: all(t.percent == 0 for t in s.traffic if t.tag == "latest"))
    assert (found.canary_percent, found.release) == (0, release(kserve.namespace, 2))
    assert "spec.predictor.minReplicas" in kserve.serving.drift(of(kserve, 2, 0))


def test_a_share_that_somebody_set_is_not_overwritten(kserve: Bench) -> None:
    canary_at(kserve, 10)
    kserve.edit({"canaryTrafficPercent": 30})
    kserve.rest()
    with pytest.raises(Conflict):
        kserve.serving.apply(of(kserve, 2, 0))
    assert shown(kserve).canary_percent == 30


def test_an_object_of_somebody_else_is_not_ours_and_not_touched(bench: Bench) -> None:
    body = of(bench)
    body["metadata"]["labels"] = {}
    bench.create_by_hand(body)
    before = shown(bench)
    assert not before.ours
    with pytest.raises(Conflict):
        bench.serving.apply(of(bench, 2))
    assert shown(bench).release == before.release


def test_an_object_that_lost_our_label_is_not_ours_any_more_and_not_touched(bench: Bench) -> None:
    bench.serving.apply(of(bench))
    bench.rest()
    bench.label({LABEL_MODEL: None})
    assert not shown(bench).ours
    with pytest.raises(Terminal):
        bench.serving.apply(of(bench, 2))
    assert shown(bench).release == release(bench.namespace, 1)
