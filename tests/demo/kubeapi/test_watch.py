"""Watches: what they show, where they resume, when they must give up, how they end."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from reconciler.demo.kubeapi import KubeApi
from tests.clusters import new_namespace
from tests.demo.kubeapi.conftest import GROUP, PLURAL, VERSION, Clients, clients_of, inference_service


@contextmanager
def watching(kube: Clients, path: str = "", **params: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """Open a watch and yield its events as they arrive."""
    with kube.http.stream("GET", path or kube.path, params={"watch": "true", **params}, timeout=10) as response:
        assert response.status_code == 200
        with closing(response.iter_lines()) as lines:  # type: ignore[type-var]  # a generator, typed as iterator
            yield (json.loads(line) for line in lines)


def seen(event: dict[str, Any]) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


def version(kube: Clients) -> str:
    return str(kube.custom.list_namespaced_custom_object(*kube.where)["metadata"]["resourceVersion"])


def test_a_client_lists_and_then_sees_each_change_in_order(kube: Clients) -> None:
    start = version(kube)
    kube.create(inference_service(minReplicas=1))
    kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"spec": {"predictor": {"minReplicas": 2}}})
    kube.delete()
    events = list(
        kubernetes.watch.Watch().stream(
            kube.custom.list_namespaced_custom_object, *kube.where, resource_version=start, timeout_seconds=1
        )
    )
    assert [e["type"] for e in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert versions == sorted(set(versions))


def test_changes_arrive_while_the_watch_is_open(kube: Clients) -> None:
    with watching(kube, resourceVersion=version(kube)) as events:
        for name in ("a", "b"):
            kube.create(inference_service(name))
            assert seen(next(events)) == ("ADDED", name)


def test_a_watch_without_a_version_begins_with_what_exists(kube: Clients) -> None:
    kube.create(inference_service("a"))
    with watching(kube) as events:
        assert seen(next(events)) == ("ADDED", "a")
        kube.delete("a")
        assert seen(next(events)) == ("DELETED", "a")


def test_a_watch_resumes_after_the_version_it_saw_last(kube: Clients) -> None:
    with watching(kube, resourceVersion=version(kube)) as events:
        kube.create(inference_service("a"))
        last = next(events)["object"]["metadata"]["resourceVersion"]
    kube.create(inference_service("b"))
    with watching(kube, resourceVersion=last) as events:
        assert seen(next(events)) == ("ADDED", "b")


def test_the_dynamic_client_watches_one_object_by_name(kube: Clients) -> None:
    for name in ("a", "b"):
        kube.create(inference_service(name))
    events = kube.services.watch(namespace=kube.namespace, name="b", timeout=1)
    assert [(e["type"], e["object"].metadata.name) for e in events] == [("ADDED", "b")]


def test_a_selector_shows_objects_come_and_go_as_they_begin_and_cease_to_match(kube: Clients) -> None:
    def label(value: str) -> None:
        kube.custom.patch_namespaced_custom_object(*kube.where, "iris", {"metadata": {"labels": {"tier": value}}})

    kube.create(inference_service())
    with watching(kube, labelSelector="tier=gold", resourceVersion=version(kube)) as events:
        label("gold")
        assert next(events)["type"] == "ADDED"
        label("silver")
        gone = next(events)
        assert gone["type"] == "DELETED"
        assert gone["object"]["metadata"]["labels"] == {"tier": "gold"}


def test_other_namespaces_are_not_shown(kube: Clients) -> None:
    with new_namespace(kube.raw) as other, watching(kube, resourceVersion=version(kube)) as events:
        kube.custom.create_namespaced_custom_object(GROUP, VERSION, other, PLURAL, inference_service("x"))
        kube.create(inference_service("y"))
        assert seen(next(events)) == ("ADDED", "y")


@pytest.mark.usefixtures("api")
def test_bookmarks_carry_the_version_on_while_nothing_matches(kube: Clients) -> None:
    start = version(kube)
    params = {"resourceVersion": start, "allowWatchBookmarks": "true", "fieldSelector": "metadata.name=none"}
    with watching(kube, **params) as events:
        created = kube.create(inference_service())["metadata"]["resourceVersion"]
        marks = (event for event in events if event["object"]["metadata"]["resourceVersion"] == created)
        mark = next(marks)
    assert (mark["type"], mark["object"]["kind"]) == ("BOOKMARK", "InferenceService")


def test_a_client_that_did_not_ask_gets_no_bookmarks(kube: Clients) -> None:
    with watching(kube, resourceVersion=version(kube), timeoutSeconds=1) as events:
        assert list(events) == []


def test_a_watch_ends_after_the_time_it_asked_for(kube: Clients) -> None:
    begun = time.monotonic()
    with watching(kube, resourceVersion=version(kube), timeoutSeconds=1) as events:
        assert list(events) == []
    assert 0.9 < time.monotonic() - begun < 3


def overflow(kube: Clients) -> None:
    """Write more than the 20 changes that the server keeps here."""
    for number in range(25):
        patch = {"metadata": {"annotations": {"n": str(number)}}}
        kube.custom.patch_namespaced_custom_object(*kube.where, "iris", patch)


@pytest.mark.usefixtures("api")
def test_a_watch_from_before_the_kept_history_is_told_that_it_is_gone(kube: Clients) -> None:
    kube.create(inference_service())
    start = version(kube)
    overflow(kube)
    with watching(kube, resourceVersion=start) as events:
        event = next(events)
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        assert list(events) == []


@pytest.mark.usefixtures("api")
def test_the_client_library_raises_410_for_a_version_that_is_too_old(kube: Clients) -> None:
    kube.create(inference_service())
    start = version(kube)
    overflow(kube)
    stream = kubernetes.watch.Watch().stream(
        kube.custom.list_namespaced_custom_object, *kube.where, resource_version=start, timeout_seconds=5
    )
    with pytest.raises(kubernetes.client.ApiException) as caught:
        next(stream)
    assert caught.value.status == 410


@pytest.mark.usefixtures("api")
def test_one_busy_resource_does_not_push_out_the_history_of_another(kube: Clients) -> None:
    kube.create(inference_service())
    start = version(kube)
    overflow(kube)
    kube.core.create_namespace({"metadata": {"name": "late"}, "apiVersion": "v1", "kind": "Namespace"})
    with watching(kube, "/api/v1/namespaces", resourceVersion=start) as events:
        assert seen(next(events)) == ("ADDED", "late")


def test_compaction_makes_older_watches_list_again(api: KubeApi, kube: Clients) -> None:
    start = version(kube)
    kube.create(inference_service())
    with api.cluster.locked() as store:
        store.forget_history()
    with watching(kube, resourceVersion=start) as events:
        assert next(events)["object"]["code"] == 410


@pytest.mark.usefixtures("api")
def test_a_version_of_another_servers_life_is_told_that_it_is_gone(kube: Clients) -> None:
    with watching(kube, resourceVersion="999999") as events:
        assert next(events)["object"]["code"] == 410


def test_the_server_stops_within_a_second_although_watches_are_open(tmp_path: Path) -> None:
    ended: list[float] = []

    def follow(kube: Clients, opened: threading.Barrier) -> None:
        with watching(kube) as events:
            assert next(events)["object"]["metadata"]["name"] == "iris"
            opened.wait()
            assert list(events) == []
            ended.append(time.monotonic())

    with ExitStack() as connected, KubeApi.serve(None) as api:
        api.write_kubeconfig(tmp_path / "kubeconfig")
        kube = connected.enter_context(clients_of(tmp_path / "kubeconfig", tmp_path, "default"))
        kube.create(inference_service())
        opened = threading.Barrier(4)
        threads = [threading.Thread(target=follow, args=(kube, opened)) for _ in range(3)]
        for thread in threads:
            thread.start()
        opened.wait()
        begun = time.monotonic()
    stopped = time.monotonic()
    for thread in threads:
        thread.join()
    assert stopped - begun < 1
    assert len(ended) == 3


def test_a_client_that_left_is_forgotten(api: KubeApi, kube: Clients) -> None:
    with watching(kube, resourceVersion=version(kube)) as events:
        kube.create(inference_service())
        next(events)
        assert len(api.store._listeners) == 1
    deadline = time.monotonic() + 5
    while api.store._listeners and time.monotonic() < deadline:
        version(kube)
    assert not api.store._listeners
