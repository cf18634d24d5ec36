"""Lists and watches that go wrong, said by a server over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from reconciler.errors import Transient, UnknownOutcome
from reconciler.observed import Known, Unknown
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.scripted import (
    KSERVE_ALONE,
    NOTHING,
    Reply,
    Script,
    bookmark,
    event,
    groups,
    listing,
    quiet,
    scripted,
    service,
    status,
)
from tests.systems.serving.world import eventually, manifest

FAST = Pace(backoff_min=0.02, backoff_max=0.05, rediscover=0.05)
GONE = Reply(status(404, "NotFound", details={"name": "a", "kind": "inferenceservices"}), 404)
NO_GROUP = Reply(status(404, "NotFound", message="the server could not find the requested resource"), 404)


@pytest.fixture
def kubeconfig_file(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


@pytest.fixture
def script(kubeconfig_file: Path) -> Iterator[Script]:
    with scripted(kubeconfig_file) as script:
        yield script


@contextmanager
def watching(path: Path, pace: Pace = FAST, stale_after: timedelta = timedelta(seconds=30)) -> Iterator[KServe]:
    connection = Connection(KubernetesSettings(kubeconfig=path))
    options = Options(stale_after=stale_after, write_timeout=timedelta(seconds=1), pace=pace)
    with KServe(connection, options, utc_now, Random(1)) as kserve:
        yield kserve
    connection.close()


def names(kserve: KServe) -> list[str] | None:
    answer = kserve.read_all()
    return sorted(name for _, name in answer.value) if isinstance(answer, Known) else None


def doubt(kserve: KServe) -> str:
    answer = kserve.read_all()
    return answer.why if isinstance(answer, Unknown) else ""


def test_nothing_is_known_before_the_first_list(script: Script, kubeconfig_file: Path) -> None:
    connection = Connection(KubernetesSettings(kubeconfig=kubeconfig_file))
    kserve = KServe(connection, Options(pace=FAST), utc_now, Random(1))

    assert doubt(kserve) == "deployments.apps: has not been listed yet"
    assert script.asked == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "InferenceServiceList", "metadata": {"resourceVersion": "5"}},
        {"kind": "InferenceServiceList", "metadata": {"resourceVersion": "5"}, "items": None},
        {"kind": "Status", "metadata": {"resourceVersion": "5"}, "items": []},
        {"kind": "InferenceServiceList", "metadata": {}, "items": []},
        b"<html>please log in</html>",
    ],
    ids=["an empty object", "no items", "null items", "another kind", "no version", "a login page"],
)
def test_what_is_no_list_is_never_an_empty_one(script: Script, kubeconfig_file: Path, body: object) -> None:
    script.on("list", Reply(body), Reply(body), listing("7", service("iris", "6")))
    script.on("watch", quiet())

    with watching(kubeconfig_file) as kserve:
        assert eventually(lambda: names(kserve)) == ["iris"]


def test_a_list_that_lost_something_is_believed_only_twice(script: Script, kubeconfig_file: Path) -> None:
    script.on(
        "list", listing("5", service("iris", "4")), listing("9"), listing("9", service("iris", "4")), listing("9")
    )
    script.on("watch", Reply(lines=(event("ERROR", status(410, "Expired")),)), quiet())
    script.on("GET", GONE)

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: names(kserve) == [])
        # One that nobody contradicted, two that disagreed, one after that, two that agreed.
        assert script.count("list") == 6
        assert script.count("GET") == 1


@pytest.mark.parametrize(
    "odd",
    [Reply(service("a", "4")), Reply({}), Reply(b"<html>", 404), NOTHING],
    ids=["is there", "is an empty object", "is a page of a proxy", "is of a kind that is not served"],
)
def test_what_two_lists_lack_is_held_while_what_has_its_name(script: Script, kubeconfig_file: Path, odd: Reply) -> None:
    both, one = listing("5", service("a", "4"), service("b", "4")), listing("9", service("b", "4"))
    script.on("list", both, both, one)
    script.on("watch", Reply(lines=(event("ERROR", status(410, "Expired")),)), quiet())
    script.on("GET", odd)

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: script.count("GET") >= 3)
        assert names(kserve) == ["a", "b"]
        script.on("GET", GONE)
        eventually(lambda: names(kserve) == ["b"])
        assert {path.rpartition("/")[2] for verb, path in script.asked if verb == "GET"} == {"a"}


def test_where_nothing_vanished_nothing_is_read_by_its_name(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")), listing("9", service("a", "4"), service("b", "8")))
    script.on("watch", Reply(status(410, "Expired"), 410), quiet())

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: names(kserve) == ["a", "b"])
        assert script.count("GET") == 0


def test_a_list_that_is_older_than_what_was_seen_is_not_taken_over(script: Script, kubeconfig_file: Path) -> None:
    newer = {**service("a", "12"), "spec": {"predictor": {"model": {"storageUri": "s3://new"}}}}
    script.on("list", listing("5", service("a", "4")))
    script.on("watch", Reply(lines=(event("MODIFIED", newer), event("ERROR", status(410, "Expired")))), quiet())

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: script.count("list") >= 4)
        assert version_of(kserve, "a") == "12"
        script.on("list", listing("13", newer))
        eventually(lambda: script.count("watch") == 2)


def test_a_cluster_that_was_restored_from_a_backup_is_followed_in_the_end(
    script: Script, kubeconfig_file: Path
) -> None:
    script.on("list", *[listing("50", service("a", "12"))] * 2, listing("9", service("a", "4")))
    script.on("watch", Reply(status(410, "Expired"), 410), quiet())

    with watching(kubeconfig_file, stale_after=timedelta(milliseconds=200)) as kserve:
        eventually(lambda: "the list is older (9) than what was seen (50)" in doubt(kserve))
        eventually(lambda: names(kserve) == ["a"] and version_of(kserve, "a") == "4")


def version_of(kserve: KServe, name: str) -> str:
    answer = kserve.read_all()
    assert isinstance(answer, Known)
    return answer.value["models", name].resource_version


def test_what_was_made_anew_is_not_gone_with_what_it_replaced(script: Script, kubeconfig_file: Path) -> None:
    anew = service("a", "7")
    anew["metadata"]["uid"] = "uid-anew"
    script.on("list", listing("9", anew))
    late = (event("DELETED", service("a", "10")), event("ADDED", service("b", "11")))
    script.on("watch", Reply(lines=late, hold=True))

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: names(kserve) == ["a", "b"])


def test_pages_that_always_expire_are_followed_by_one_list_of_everything(script: Script, kubeconfig_file: Path) -> None:
    first = {"kind": "InferenceServiceList", "metadata": {"resourceVersion": "5", "continue": "more"}}
    expires = Reply({**first, "items": [service("a", "1")]}), Reply(status(410, "Expired"), 410)
    script.on("list", *[*expires, listing("5", service("a", "1"), service("b", "2"))] * 2)
    script.on("watch", quiet())

    with watching(kubeconfig_file) as kserve:
        assert eventually(lambda: names(kserve)) == ["a", "b"]
        limits = ["limit=" in path for verb, path in script.asked if verb == "list"]
        assert limits == [True, True, False] * 2


def test_a_list_comes_in_pages(script: Script, kubeconfig_file: Path) -> None:
    first = {"kind": "InferenceServiceList", "metadata": {"resourceVersion": "5", "continue": "more"}}
    pages = Reply({**first, "items": [service("a", "1")]}), listing("5", service("b", "2"))
    script.on("list", *pages, *pages)
    script.on("watch", quiet())

    with watching(kubeconfig_file) as kserve:
        assert eventually(lambda: names(kserve)) == ["a", "b"]
        assert "continue=more" in [path for verb, path in script.asked if verb == "list"][1]


def test_events_are_followed_and_the_watch_goes_on_from_the_last_one(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")))
    events = (
        event("ADDED", service("b", "6")),
        event("MODIFIED", service("a", "7")),
        event("DELETED", service("b", "8")),
        bookmark("12"),
    )
    script.on("watch", Reply(lines=events), quiet())

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: script.count("watch") == 2)
        assert names(kserve) == ["a"]
        watches = [path for verb, path in script.asked if verb == "watch"]
        assert "resourceVersion=5" in watches[0]
        assert "resourceVersion=12" in watches[1]
        # Once to hold the other against, once to take it over.
        assert script.count("list") == 2


def test_a_first_list_that_is_cut_short_is_not_taken_for_all_there_is(script: Script, kubeconfig_file: Path) -> None:
    whole = listing("5", service("a", "4"), service("b", "4"))
    script.on("list", whole, listing("5", service("a", "4")), whole)
    script.on("watch", quiet())

    with watching(kubeconfig_file) as kserve:
        assert eventually(lambda: names(kserve)) == ["a", "b"]


@pytest.mark.parametrize(
    "broken",
    [
        Reply(lines=(event("ERROR", status(410, "Expired", message="too old resource version")),)),
        Reply(status(410, "Expired"), 410),
        Reply(lines=(event("ERROR", status(500, "InternalError")),)),
        Reply(lines=(b"{no json}\n",)),
        Reply(lines=(b'{"type": "ADDED"}\n',)),
        Reply(lines=(event("ADDED", {"kind": "Pod", "metadata": {"resourceVersion": "6"}}),)),
        Reply(lines=(event("SURPRISE", service("x", "6")),)),
        Reply(status(500, "InternalError"), 500),
        Reply({}),
    ],
    ids=[
        "410 in the stream",
        "410 instead of a stream",
        "an error in the stream",
        "a line that is no JSON",
        "a line without an object",
        "an object of another kind",
        "an event of another type",
        "a failing server",
        "a watch that ends at once",
    ],
)
def test_a_watch_that_keeps_breaking_ends_in_a_new_list(script: Script, kubeconfig_file: Path, broken: Reply) -> None:
    script.on("list", listing("5", service("a", "4")), listing("9", service("a", "4"), service("b", "8")))
    script.on("watch", broken, broken, quiet())

    with watching(kubeconfig_file) as kserve:
        assert eventually(lambda: names(kserve) == ["a", "b"])


@pytest.mark.parametrize(
    "brief",
    [Reply(lines=(bookmark("6"),)), Reply(lines=(bookmark("6"), event("ERROR", status(410, "Expired"))))],
    ids=["ends", "expires"],
)
def test_a_watch_that_again_and_again_brings_a_line_and(script: Script, kubeconfig_file: Path, brief: Reply) -> None:
    script.on("list", listing("6", service("a", "4")))
    script.on("watch", brief)

    began = time.monotonic()
    with watching(kubeconfig_file, Pace(backoff_min=0.1, backoff_max=30.0)) as kserve:
        eventually(lambda: script.count("watch") >= 5)
        # The pauses between five watches, each at its shortest: half of 0.2, 0.4, 0.8 and 1.6 s, or one less.
        assert time.monotonic() - began > 0.1 + 0.2 + 0.4
        assert names(kserve) == ["a"]


def test_half_a_line_is_not_an_event(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")))
    whole = event("ADDED", service("b", "6"))
    script.on("watch", Reply(lines=(whole, b'{"type":"DELETED","object":{"kind"')), quiet())

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: script.count("watch") == 2)
        assert names(kserve) == ["a", "b"]


def test_a_watch_where_nothing_comes_is_broken(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")))
    script.on("watch", quiet())
    pace = Pace(idle_seconds=0.1, backoff_min=0.02, backoff_max=0.05)

    with watching(kubeconfig_file, pace) as kserve:
        eventually(lambda: script.count("watch") >= 3)
        assert names(kserve) == ["a"]


def test_what_was_seen_is_trusted_for_a_while_and_then_no_longer(script: Script, kubeconfig_file: Path) -> None:
    whole = listing("5", service("a", "4"))
    script.on("list", whole, whole, Reply(status(500, "InternalError", message="etcd is away"), 500))
    script.on("watch", Reply(lines=(event("ERROR", status(410, "Expired")),)))

    with watching(kubeconfig_file, stale_after=timedelta(milliseconds=300)) as kserve:
        eventually(lambda: "etcd is away" in doubt(kserve))
        assert doubt(kserve).startswith("inferenceservices.serving.kserve.io: ")
        answer = kserve.read_all()
        assert isinstance(answer, Unknown)
        assert answer.since is not None
        script.on("list", listing("9", service("a", "4")))
        script.on("watch", quiet())
        assert eventually(lambda: names(kserve)) == ["a"]


def test_a_missing_right_is_named(script: Script, kubeconfig_file: Path) -> None:
    said = (
        'inferenceservices.serving.kserve.io is forbidden: User "ci" cannot list resource "inferenceservices" '
        'in API group "serving.kserve.io" at the cluster scope'
    )
    script.on("list", Reply(status(403, "Forbidden", message=said), 403))

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: "forbidden" in doubt(kserve))
        assert 'grant the verb "list" on inferenceservices in API group serving.kserve.io' in doubt(kserve)


def test_a_cluster_without_kserve_says_so(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", NO_GROUP)

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: "does not serve inferenceservices" in doubt(kserve))
        assert "install KServe" in doubt(kserve)


def test_without_knative_no_service_has_revisions(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")))
    script.on("watch", quiet())

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: names(kserve))
        answer = kserve.read_all()
        assert isinstance(answer, Known)
        assert answer.value["models", "a"].revisions is None


REVISION = {
    "kind": "Revision",
    "metadata": {
        "namespace": "models",
        "name": "iris-00001",
        "uid": "uid-1",
        "resourceVersion": "3",
        "labels": {"serving.kserve.io/inferenceservice": "iris", "component": "predictor"},
    },
}
WITH_KNATIVE = groups("serving.kserve.io/v1beta1", "serving.knative.dev/v1")
REVISIONS_SERVED = Reply({"kind": "APIResourceList", "resources": [{"name": "revisions"}]})


@pytest.fixture
def with_knative(script: Script) -> Script:
    """Serve an InferenceService and its revision, whose watch expires again and again."""
    script.on("list", listing("5", service("iris", "4")))
    script.on("watch", quiet())
    script.on("groups", WITH_KNATIVE)
    script.on("GET", REVISIONS_SERVED)
    script.on(
        "list revisions", Reply({"kind": "RevisionList", "metadata": {"resourceVersion": "5"}, "items": [REVISION]})
    )
    script.on("watch revisions", Reply(status(410, "Expired"), 410))
    return script


def revisions(kserve: KServe) -> list[str] | None:
    answer = kserve.read_all()
    assert isinstance(answer, Known)
    found = answer.value["models", "iris"].revisions
    return None if found is None else sorted(found)


ODD = {
    "an empty object": Reply({}),
    "a list of no groups": groups(),
    "no groups": Reply({"kind": "APIGroupList", "groups": None}),
    "another kind": Reply({"kind": "Status", "groups": [{"name": "apps"}]}),
    "a page of a proxy": Reply(b"<html>not found</html>", 404),
    "a plain 404": Reply(b"404 page not found\n", 404),
    "a 404 in the words of an API server": NOTHING,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_only_a_list_of_groups_tells_that_a_kind_is_not_served(
    with_knative: Script, kubeconfig_file: Path, odd: Reply
) -> None:
    with watching(kubeconfig_file, stale_after=timedelta(milliseconds=300)) as kserve:
        eventually(lambda: names(kserve))
        with_knative.on("groups", odd)
        eventually(lambda: "is served is not known" in doubt(kserve) or "404 without a Status" in doubt(kserve))
        with_knative.on("groups", WITH_KNATIVE)
        eventually(lambda: names(kserve))
        assert revisions(kserve) == ["iris-00001"]


def test_that_a_kind_is_not_served_is_told_by_its_groups_resources_too(
    with_knative: Script, kubeconfig_file: Path
) -> None:
    with watching(kubeconfig_file, replace(FAST, doubt=0.1), stale_after=timedelta(milliseconds=300)) as kserve:
        eventually(lambda: names(kserve))
        with_knative.on("GET", Reply({}))
        eventually(lambda: "the answer is no APIResourceList" in doubt(kserve))
        with_knative.on("GET", Reply({"kind": "APIResourceList", "resources": [{"name": "services"}]}))
        eventually(lambda: names(kserve) and revisions(kserve) is None)


def test_that_a_kind_is_served_no_more_is_believed_when_it_stays_so(
    with_knative: Script, kubeconfig_file: Path
) -> None:
    waiting = replace(FAST, doubt=3600.0)
    with watching(kubeconfig_file, waiting, stale_after=timedelta(milliseconds=300)) as kserve:
        eventually(lambda: names(kserve))
        with_knative.on("groups", KSERVE_ALONE)
        eventually(lambda: "does not serve revisions.serving.knative.dev any more" in doubt(kserve))

    with_knative.on("groups", WITH_KNATIVE)
    with watching(kubeconfig_file, replace(FAST, doubt=0.2)) as kserve:
        eventually(lambda: names(kserve) and revisions(kserve) == ["iris-00001"])
        with_knative.on("groups", KSERVE_ALONE)
        eventually(lambda: revisions(kserve) is None)


def test_a_watch_is_listed_again_after_the_resync_interval(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")), listing("9", service("a", "4"), service("missed", "3")))
    script.on("watch", Reply(lines=(bookmark("6"),)))
    pace = Pace(resync=0.2, backoff_min=0.02, backoff_max=0.05)

    with watching(kubeconfig_file, pace) as kserve:
        assert eventually(lambda: names(kserve) == ["a", "missed"])


def test_a_watch_that_hangs_is_neither_trusted_nor_kept_for_ever(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")))
    script.on("watch", quiet())
    skipped = [0.0]
    options = Options(pace=FAST, monotonic=lambda: time.monotonic() + skipped[0])
    connection = Connection(KubernetesSettings(kubeconfig=kubeconfig_file))

    with KServe(connection, options, utc_now, Random(1)) as kserve:
        assert kserve.sick() == ()
        eventually(lambda: names(kserve) and script.count("watch"))

        def doubt_later() -> str:
            skipped[0] += 140.0
            return doubt(kserve)

        said = eventually(doubt_later)
        assert said == "inferenceservices.serving.kserve.io: the watch neither shows anything nor fails"
        assert kserve.sick() == ()
        skipped[0] += 1900.0
        # The others look for what they watch again and again.
        (why,) = eventually(lambda: found if len(found := kserve.sick()) == 1 else None)
        assert why.startswith("the watch of inferenceservices.serving.kserve.io has hung for ")
    assert kserve.sick() == ()
    connection.close()


def test_a_watch_whose_thread_has_ended_is_told(
    script: Script, kubeconfig_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    script.on("list", listing("5", service("a", "4")))

    def ends(*_: str) -> None:
        raise SystemExit

    connection = Connection(KubernetesSettings(kubeconfig=kubeconfig_file))
    with KServe(connection, Options(pace=FAST), utc_now, Random(1)) as kserve:
        kserve.on_change(ends)
        assert eventually(kserve.sick) == ("the watch of inferenceservices.serving.kserve.io has ended",)
    connection.close()


def test_reading_makes_no_call(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", listing("5", service("a", "4")))
    script.on("watch", quiet())

    # No looking for Knative meanwhile.
    with watching(kubeconfig_file, Pace()) as kserve:
        eventually(lambda: names(kserve))
        eventually(lambda: script.count("watch") == 1)
        before = len(script.asked)
        for _ in range(100):
            assert names(kserve) == ["a"]
        assert len(script.asked) == before


@pytest.mark.parametrize(
    "answer", [Reply({}), Reply(service("b", "9"))], ids=["an answer that is no object", "a result that never shows"]
)
def test_a_write_without_proof_is_an_unknown_outcome(script: Script, kubeconfig_file: Path, answer: Reply) -> None:
    script.on("list", listing("5", service("a", "4")))
    script.on("watch", quiet())
    script.on("POST", answer)

    with watching(kubeconfig_file) as kserve:
        eventually(lambda: names(kserve))
        with pytest.raises(UnknownOutcome):
            kserve.apply(manifest("models", "b"))


def test_nothing_is_written_while_the_cluster_is_unknown(script: Script, kubeconfig_file: Path) -> None:
    script.on("list", Reply(status(500, "InternalError"), 500))

    with watching(kubeconfig_file) as kserve, pytest.raises(Transient, match="cannot be written unseen"):
        kserve.apply(manifest("models", "b"))

    assert script.count("POST") == 0
