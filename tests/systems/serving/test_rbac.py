"""The roles of the manifests, on an API server that holds them against every call: they suffice, and each is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from reconciler.errors import Terminal
from reconciler.observed import STANDARD, InferenceService, Known, Unknown
from reconciler.ports import JobRequest
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.jobs import KubernetesJobs
from reconciler.systems.serving.kserve import KServe, Options
from tests.clusters import new_namespace
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.guarded import Guarded, connected, guarding
from tests.systems.serving.world import World, eventually, manifest

SYNC = timedelta(seconds=20)


@pytest.fixture
def guarded(real_cluster: Path | None, tmp_path: Path) -> Iterator[Guarded]:
    with guarding(real_cluster, tmp_path) as found:
        yield found


def shown(kserve: KServe, world: World) -> InferenceService:
    answer = kserve.read_all()
    assert isinstance(answer, Known), answer
    return answer.value[world.namespace, "iris"]


def serve(kserve: KServe, world: World) -> None:
    """Do everything that is ever done to an InferenceService, and run a check's job."""
    kserve.apply(manifest(world.namespace, "iris"))
    kserve.apply(manifest(world.namespace, "iris", 2, 0))
    assert kserve.drift(manifest(world.namespace, "iris", 2, 10))
    kserve.take_over(manifest(world.namespace, "iris", 2, 10))
    kserve.trouble(shown(kserve, world))
    kserve.trouble(replace(shown(kserve, world), mode=STANDARD, latest_created="iris-v1-predictor"))
    kserve.delete(world.namespace, "iris", shown(kserve, world).uid)


def check(connection: Connection, world: World) -> None:
    """Do everything that is ever done to a job."""
    jobs = KubernetesJobs(connection)
    request = JobRequest(world.namespace, "own", "iris", "i", (), (), {}, timedelta(minutes=1))
    assert jobs.exit_code(request) is None
    assert jobs.exit_code(request) is None
    jobs.remove(world.namespace, "own")


def test_what_the_manifests_give_suffices(guarded: Guarded) -> None:
    with connected(guarded) as connection:
        with KServe(connection, Options(), utc_now, Random(1)) as kserve:
            assert kserve.wait_synced(SYNC), kserve.read_all()
            serve(kserve, guarded.world)
        check(connection, guarded.world)


WATCHED = ("inferenceservices", "revisions", "deployments", "httproutes")
READS = [(resource, verb) for resource in WATCHED for verb in ("list", "watch")]


@pytest.mark.parametrize(("resource", "verb"), READS)
def test_a_right_to_read_is_needed_and_named_where_it_is_missing(guarded: Guarded, resource: str, verb: str) -> None:
    guarded.take_away(resource, verb)

    # A list that succeeds is trusted for a while, though the watch after it fails.
    options = Options(stale_after=timedelta(milliseconds=50))
    with connected(guarded) as connection, KServe(connection, options, utc_now, Random(1)) as kserve:
        eventually(lambda: f'grant the verb "{verb}" on {resource} in API group' in doubt(kserve))


def doubt(kserve: KServe) -> str:
    answer = kserve.read_all()
    return answer.why if isinstance(answer, Unknown) else ""


WRITES = [
    ("inferenceservices", "get"),
    ("inferenceservices", "create"),
    ("inferenceservices", "patch"),
    ("inferenceservices", "delete"),
    ("pods", "list"),
    ("events", "list"),
]


@pytest.mark.parametrize(("resource", "verb"), WRITES)
def test_a_right_to_write_is_needed_and_named_where_it_is_missing(guarded: Guarded, resource: str, verb: str) -> None:
    guarded.take_away(resource, verb)

    with connected(guarded) as connection, KServe(connection, Options(), utc_now, Random(1)) as kserve:
        assert kserve.wait_synced(SYNC), kserve.read_all()
        refused(resource, verb, lambda: serve(kserve, guarded.world))


@pytest.mark.parametrize("verb", ["get", "create", "delete"])
def test_a_right_on_jobs_is_needed_and_named_where_it_is_missing(guarded: Guarded, verb: str) -> None:
    guarded.take_away("jobs", verb)

    with connected(guarded) as connection:
        refused("jobs", verb, lambda: check(connection, guarded.world))


def refused(resource: str, verb: str, do: Callable[[], None]) -> None:
    with pytest.raises(Terminal) as caught:
        do()
    assert f'grant the verb "{verb}" on {resource} in API group' in str(caught.value.help)


def test_nothing_is_written_where_no_binding_is(guarded: Guarded) -> None:
    with ExitStack() as stack:
        elsewhere = stack.enter_context(new_namespace(guarded.world.api))
        connection = stack.enter_context(connected(guarded))
        kserve = stack.enter_context(KServe(connection, Options(), utc_now, Random(1)))
        assert kserve.wait_synced(SYNC), kserve.read_all()
        with pytest.raises(Terminal, match="not allowed to create"):
            kserve.apply(manifest(elsewhere, "iris"))
