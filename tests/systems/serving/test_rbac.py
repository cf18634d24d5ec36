"""The roles of the manifests, on an API server that holds them against every call: they suffice, and each is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from kubernetes import client

from reconciler.errors import Terminal
from reconciler.observed import InferenceService, Known, Unknown
from reconciler.ports import JobRequest
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.jobs import KubernetesJobs
from reconciler.systems.serving.kserve import KServe, Options
from tests.clusters import api_client, new_namespace
from tests.systems.serving.conftest import utc_now
from tests.systems.serving.world import World, eventually, manifest

Json = dict[str, Any]
RBAC = Path(__file__).parents[3] / "manifests" / "base" / "rbac.yaml"
ACCOUNT = "tested"
SYNC = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A namespace in which an account has what the manifests give it, and the kubeconfig of that account."""

    world: World
    kubeconfig: Path
    rbac: client.RbacAuthorizationV1Api
    roles: dict[str, str]

    def take_away(self, resource: str, verb: str) -> None:
        """Take one verb on one resource out of the role that gives it."""
        for name in self.roles.values():
            role = self.rbac.read_cluster_role(name)
            rules = [rule for rule in role.rules if resource in rule.resources and verb in rule.verbs]
            for rule in rules:
                rule.verbs.remove(verb)
            if rules:
                role.rules = [rule for rule in role.rules if rule.verbs]
                self.rbac.replace_cluster_role(name, role)


@pytest.fixture
def guarded(real_cluster: Path | None, tmp_path: Path) -> Iterator[Guarded]:
    if real_cluster is None:
        pytest.skip("the embedded API gives everybody everything; tests/test_house.py reads the roles there")
    admin = api_client(real_cluster)
    rbac = client.RbacAuthorizationV1Api(admin)
    with ExitStack() as ends:
        ends.callback(admin.rest_client.pool_manager.clear)
        namespace = ends.enter_context(new_namespace(admin))
        client.CoreV1Api(admin).create_namespaced_service_account(namespace, {"metadata": {"name": ACCOUNT}})
        if _may_already(admin, namespace):
            pytest.skip("this API server gives everybody everything")
        given = Given(rbac, namespace, ends)
        for found in yaml.safe_load_all(RBAC.read_text(encoding="utf-8")):
            given.install(found)
        kubeconfig = tmp_path / "kubeconfig"
        write_kubeconfig(kubeconfig, admin, namespace)
        yield Guarded(World(admin, namespace), kubeconfig, rbac, given.roles)


def _may_already(admin: client.ApiClient, namespace: str) -> bool:
    asked = {"namespace": namespace, "verb": "create", "group": "serving.kserve.io", "resource": "inferenceservices"}
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    return bool(client.AuthorizationV1Api(admin).create_subject_access_review(review).status.allowed)


@dataclass(frozen=True, slots=True)
class Given:
    """The roles and bindings of the manifests under names of the test's own; they go with `ends`."""

    rbac: client.RbacAuthorizationV1Api
    namespace: str
    ends: ExitStack
    roles: dict[str, str] = field(default_factory=dict)

    def install(self, found: Json) -> None:
        name = found["metadata"]["name"]
        own = f"{self.namespace}-{name}"
        if found["kind"] == "ClusterRole":
            self.rbac.create_cluster_role({"metadata": {"name": own}, "rules": found["rules"]})
            self.ends.callback(self.rbac.delete_cluster_role, own)
            self.roles[name] = own
            return
        reference = {**found["roleRef"], "name": self.roles[found["roleRef"]["name"]]}
        subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace}]
        binding = {"metadata": {"name": own}, "roleRef": reference, "subjects": subjects}
        if found["kind"] == "ClusterRoleBinding":
            self.rbac.create_cluster_role_binding(binding)
            self.ends.callback(self.rbac.delete_cluster_role_binding, own)
        else:
            self.rbac.create_namespaced_role_binding(self.namespace, binding)


def write_kubeconfig(path: Path, admin: client.ApiClient, namespace: str) -> None:
    """Ask for a token of the account and write a kubeconfig with it."""
    asked = {"spec": {"expirationSeconds": 600}}
    token = client.CoreV1Api(admin).create_namespaced_service_account_token(ACCOUNT, namespace, asked).status.token
    cluster = {"server": admin.configuration.host}
    if authority := admin.configuration.ssl_ca_cert:
        cluster["certificate-authority"] = authority
    content = {
        "current-context": "tested",
        "clusters": [{"name": "tested", "cluster": cluster}],
        "users": [{"name": "tested", "user": {"token": token}}],
        "contexts": [{"name": "tested", "context": {"cluster": "tested", "user": "tested"}}],
    }
    path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def connected(guarded: Guarded) -> Iterator[Connection]:
    connection = Connection(KubernetesSettings(kubeconfig=guarded.kubeconfig))
    yield connection
    connection.close()


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


READS = [("inferenceservices", "list"), ("inferenceservices", "watch"), ("revisions", "list"), ("revisions", "watch")]


@pytest.mark.parametrize(("resource", "verb"), READS, ids=" ".join)
def test_a_right_to_read_is_needed_and_named_where_it_is_missing(guarded: Guarded, resource: str, verb: str) -> None:
    guarded.take_away(resource, verb)

    with connected(guarded) as connection, KServe(connection, Options(), utc_now, Random(1)) as kserve:
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
]


@pytest.mark.parametrize(("resource", "verb"), WRITES, ids=" ".join)
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
