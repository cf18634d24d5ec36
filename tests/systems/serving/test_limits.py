"""Tokens that end and calls that are too many, by an API server that means it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from kubernetes import client

from reconciler.errors import ReconcilerError, Transient
from reconciler.observed import Known
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.answers import NotFound
from reconciler.systems.serving.api import INFERENCE_SERVICES, Call
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options
from reconciler.systems.serving.reflector import Pace
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.guarded import ACCOUNT, Guarded, connected, guarding, write_kubeconfig
from tests.systems.serving.world import World, eventually, manifest

FAST = Pace(backoff_min=0.05, backoff_max=0.5, watch_seconds=2.0)


@pytest.fixture
def guarded(real_cluster: Path | None, tmp_path: Path) -> Iterator[Guarded]:
    with guarding(real_cluster, tmp_path) as found:
        yield found


@contextmanager
def serving(guarded: Guarded) -> Iterator[KServe]:
    connection = Connection(KubernetesSettings(kubeconfig=guarded.kubeconfig), reload_seconds=0.0)
    options = Options(namespaces=(guarded.world.namespace,), stale_after=timedelta(seconds=3), pace=FAST)
    with KServe(connection, options, utc_now, Random(1)) as kserve:
        assert kserve.wait_synced(timedelta(seconds=20)), kserve.read_all()
        yield kserve
    connection.close()


def succeeds(kserve: KServe, world: World, version: int) -> bool:
    try:
        kserve.apply(manifest(world.namespace, "iris", version))
    except ReconcilerError:
        return False
    return True


def test_a_token_that_was_taken_back_is_replaced_by_the_one_in_the_file(guarded: Guarded) -> None:
    world = guarded.world
    core = client.CoreV1Api(world.api)
    for name in ("first", "second"):
        core.create_namespaced_secret(world.namespace, {"metadata": {"name": name}})
    write_kubeconfig(guarded.kubeconfig, world.api, world.namespace, "first")
    with serving(guarded) as kserve:
        kserve.apply(manifest(world.namespace, "iris"))
        core.delete_namespaced_secret("first", world.namespace)

        unknown = eventually(lambda: None if isinstance(answer := kserve.read_all(), Known) else answer)
        assert "does not know us" in unknown.why
        probe = Connection(KubernetesSettings(kubeconfig=guarded.kubeconfig))
        with pytest.raises(Transient, match="does not know us"):
            probe.call(Call("get", INFERENCE_SERVICES, world.namespace, "iris"))
        probe.close()

        write_kubeconfig(guarded.kubeconfig, world.api, world.namespace, "second")
        assert eventually(lambda: succeeds(kserve, world, 2))
    assert world.live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/2"


@contextmanager
def throttled(world: World) -> Iterator[None]:
    """Leave the account so little of the API server that one call at a time finds a place."""
    flows, name = client.FlowcontrolApiserverV1Api(world.api), world.namespace
    limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    level = {"type": "Limited", "limited": {**limited, "limitResponse": {"type": "Reject"}}}
    who = {"kind": "ServiceAccount", "serviceAccount": {"name": ACCOUNT, "namespace": world.namespace}}
    what = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    rule = {"subjects": [who], "resourceRules": [what]}
    flow = {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2, "rules": [rule]}
    flows.create_priority_level_configuration({"metadata": {"name": name}, "spec": level})
    try:
        flows.create_flow_schema({"metadata": {"name": name}, "spec": flow})
        try:
            yield
        finally:
            flows.delete_flow_schema(name)
    finally:
        flows.delete_priority_level_configuration(name)


def test_a_server_that_is_asked_too_much_at_once_says_how_long_to_wait(guarded: Guarded) -> None:
    world = guarded.world
    if not shares_its_time(world.api):
        pytest.skip("this API server takes as many calls as come")
    with serving(guarded) as kserve, connected(guarded) as connection, throttled(world):
        error = eventually(lambda: turned_away(connection, world))
        assert "the Kubernetes API asks to wait" in error.message
        assert (error.retry_after or 0) >= 1
        # One after the other there is a place for everybody.
        assert eventually(lambda: succeeds(kserve, world, 2))
    assert world.live("iris")["spec"]["predictor"]["model"]["storageUri"] == "s3://models/iris/2"


def shares_its_time(api: client.ApiClient) -> bool:
    _, _, headers = client.VersionApi(api).get_code_with_http_info()
    return "x-kubernetes-pf-flowschema-uid" in {name.lower() for name in headers}


def turned_away(connection: Connection, world: World) -> Transient | None:
    """Ask for several things at once and return how one of them was turned away."""

    def ask(_: int) -> Transient | None:
        try:
            connection.call(Call("delete", INFERENCE_SERVICES, world.namespace, "none"))
        except NotFound:
            return None
        except Transient as error:
            return error
        raise AssertionError("it deleted what is not there")

    with ThreadPoolExecutor(8) as pool:
        return next((error for error in pool.map(ask, range(8)) if error), None)
