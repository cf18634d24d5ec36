"""An account of the test's own on an API server that asks who calls and what he may; the embedded one does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.connect import Connection
from tests.clusters import api_client, new_namespace
from tests.systems.serving.world import World

Json = dict[str, Any]
RBAC = Path(__file__).parents[3] / "manifests" / "base" / "rbac.yaml"
ACCOUNT = "tested"


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
            rules = [left for rule in role.rules for left in _without(rule, resource, verb)]
            if rules != role.rules:
                role.rules = rules
                self.rbac.replace_cluster_role(name, role)


def _without(rule: client.V1PolicyRule, resource: str, verb: str) -> Iterator[client.V1PolicyRule]:
    if resource not in rule.resources or verb not in rule.verbs:
        yield rule
        return
    others = [one for one in rule.resources if one != resource]
    verbs = [one for one in rule.verbs if one != verb]
    for resources, left in ((others, rule.verbs), ([resource], verbs)):
        if resources and left:
            yield client.V1PolicyRule(api_groups=rule.api_groups, resources=resources, verbs=left)


@contextmanager
def guarding(real_cluster: Path | None, folder: Path) -> Iterator[Guarded]:
    """Give an account of the test's own what the manifests give, and take it all away again."""
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
        kubeconfig = folder / "kubeconfig"
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


def write_kubeconfig(path: Path, admin: client.ApiClient, namespace: str, secret: str = "") -> None:
    """Ask for a token of the account and write a kubeconfig with it; the token ends with the secret that is named."""
    asked: Json = {"spec": {"expirationSeconds": 600}}
    if secret:
        asked["spec"]["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", "name": secret}
    token = client.CoreV1Api(admin).create_namespaced_service_account_token(ACCOUNT, namespace, asked).status.token
    cluster: Json = {"server": admin.configuration.host}
    if authority := admin.configuration.ssl_ca_cert:
        cluster["certificate-authority"] = authority
    if not admin.configuration.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
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
