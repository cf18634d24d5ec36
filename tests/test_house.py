"""What stands around the code is true: manifests, packaging, documents, commands."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from reconciler.cli.explain import explanation
from reconciler.cli.present import open_screen
from reconciler.demo.kubeapi import KubeApi
from reconciler.desired.documents import Model, RepositoryPolicy
from reconciler.desired.state import Commit
from reconciler.observed import STANDARD, Rejection, Stage
from reconciler.plan.describe import status_of
from reconciler.plan.facts import wanted_digest
from reconciler.plan.marks import rejection_to_tag
from reconciler.ports import JobRequest
from reconciler.settings import KubernetesSettings, Settings, load_settings
from reconciler.systems.serving.api import Call, Stream
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.jobs import KubernetesJobs
from reconciler.systems.serving.kserve import KServe, Options
from tests.plan.scenes import NOW, wanting
from tests.systems.serving.world import manifest

ROOT = Path(__file__).parents[1]
BASE = ROOT / "manifests" / "base"
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
NAMESPACE = "models"


def objects() -> list[dict[str, Any]]:
    """Return every object of the base."""
    files = sorted(set(BASE.glob("*.yaml")) - {BASE / "kustomization.yaml", BASE / "reconciler.yaml"})
    return [found for file in files for found in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def one(kind: str) -> dict[str, Any]:
    """Return the only object of a kind."""
    (found,) = (o for o in objects() if o["kind"] == kind)
    return found


class Recorder:
    """An API that notes which permissions its calls need."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.needed: set[tuple[str, str]] = set()

    def call(self, call: Call) -> Any:
        """Note and send."""
        self._note(call)
        return self._connection.call(call)

    def open(self, call: Call, idle_seconds: float) -> AbstractContextManager[Stream]:
        """Note and open."""
        self._note(call)
        return self._connection.open(call, idle_seconds)

    def _note(self, call: Call) -> None:
        if not call.path:  # discovery is for every authenticated client
            self.needed.add((call.resource.qualified, call.verb))


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """Connect to an embedded API with one namespace."""
    with KubeApi.serve(None) as api:
        path = tmp_path / "kubeconfig"
        api.write_kubeconfig(path)
        configuration = client.Configuration()
        config.load_kube_config(str(path), client_configuration=configuration, persist_config=False)
        with client.ApiClient(configuration) as admin:
            client.CoreV1Api(admin).create_namespace({"metadata": {"name": NAMESPACE}})
        connection = Connection(KubernetesSettings(kubeconfig=path))
        yield Recorder(connection)
        connection.close()


def test_the_cluster_roles_allow_what_the_code_asks_for_and_nothing_else(recorder: Recorder) -> None:
    with KServe(recorder, Options(), lambda: datetime.now(UTC), Random(1)) as kserve:
        assert kserve.wait_synced(timedelta(seconds=20))
        kserve.apply(manifest(NAMESPACE, "iris", 1))
        kserve.apply(manifest(NAMESPACE, "iris", 2, canary=0))
        assert kserve.drift(manifest(NAMESPACE, "iris", 2, canary=10))
        reading = kserve.read_all()
        live = next(iter(getattr(reading, "value").values()))  # noqa: B009  a Known or an Unknown that fails here
        kserve.trouble(live)
        kserve.trouble(replace(live, mode=STANDARD, latest_created="iris-v1-predictor"))
        kserve.delete(NAMESPACE, "iris", live.uid)
    jobs = KubernetesJobs(recorder)
    request = JobRequest(NAMESPACE, "own", "iris", "i", (), (), {}, timedelta(minutes=1))
    assert jobs.exit_code(request) is None
    jobs.remove(NAMESPACE, "own")
    allowed = {
        (f"{resource}.{group}".removesuffix("."), verb)
        for role in objects()
        if role["kind"] in ("ClusterRole", "Role")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert recorder.needed == allowed


def test_every_role_is_bound_to_the_account_that_the_deployment_runs_as() -> None:
    account = one("ServiceAccount")["metadata"]
    bound = {o["roleRef"]["name"] for o in objects() if o["kind"].endswith("RoleBinding")}
    subjects = [s for o in objects() if o["kind"].endswith("RoleBinding") for s in o["subjects"]]
    assert bound == {o["metadata"]["name"] for o in objects() if o["kind"] == "ClusterRole"}
    assert all((s["name"], s["namespace"]) == (account["name"], account["namespace"]) for s in subjects)
    assert one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]


def test_the_kustomization_names_every_file_of_its_folder() -> None:
    named = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    (settings,) = named["configMapGenerator"]
    files = {*named["resources"], *settings["files"], "kustomization.yaml"}
    assert files == {path.name for path in BASE.iterdir()}


def test_the_deployment_fits_its_settings() -> None:
    settings = load_settings(BASE / "reconciler.yaml", {})
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {Path(mount["mountPath"]): mount["name"] for mount in container["volumeMounts"]}
    assert mounts[settings.state_dir] == "state"
    assert Path(container["args"][-1]) == Path("/etc/reconciler/reconciler.yaml")
    assert container["ports"][0]["containerPort"] == settings.http.port
    assert settings.http.host == "0.0.0.0"  # noqa: S104  a pod's own address
    assert pod["terminationGracePeriodSeconds"] > settings.loop.shutdown_timeout.total_seconds()
    assert one("Deployment")["spec"]["replicas"] == 1
    assert one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_container_may_do_as_little_as_possible() -> None:
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_the_base() -> None:
    built = subprocess.run(["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=True)
    kinds = [o["kind"] for o in yaml.safe_load_all(built.stdout)]
    assert sorted(kinds) == sorted([*(o["kind"] for o in objects()), "ConfigMap"])


def blocks(path: Path, language: str) -> list[str]:
    """Return a document's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_the_examples_in_the_readme_are_valid() -> None:
    read: list[str] = []
    for block in blocks(ROOT / "README.md", "yaml"):
        content = yaml.safe_load(block)
        match content.get("kind"):
            case "Model":
                Model.model_validate(content)
            case "RepositoryPolicy":
                RepositoryPolicy.model_validate(content)
            case None:
                Settings.model_validate(content)
        read.append(content.get("kind") or "Settings")
    assert {"Model", "RepositoryPolicy", "Settings"} <= set(read)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_in_documents_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    paths = re.findall(r"`((?:reconciler|tests|manifests|docs|schemas|example-repo)/[\w./-]+)`", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    missing += [named for named in paths if not (ROOT / named).exists()]
    assert missing == []


def test_the_readme_names_only_commands_that_exist() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "reconciler", "--help"], capture_output=True, text=True, check=True
    ).stdout
    named = set(re.findall(r"\breconciler ([a-z]+)\b", "\n".join(blocks(ROOT / "README.md", "sh"))))
    assert named
    assert [name for name in sorted(named) if name not in listed] == []


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("exit 1", "Python 3.11, 3.12 or 3.13 is needed"),
        ('case "$2" in *version_info*) exit 0;; *) exit 1;; esac', "its modules venv and ensurepip are missing"),
    ],
    ids=["too old a Python", "no venv"],
)
def test_make_says_what_is_missing(tmp_path: Path, python: str, said: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
    fake.chmod(0o755)
    made = subprocess.run(["make", "test", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert said in made.stderr
    assert "help:" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_alone_teaches_every_target() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert targets
    assert [target for target in targets[1].split() if f"make {target} " not in shown] == []


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed; `make` installs it")
def test_the_wheel_carries_all_that_runs_without_a_checkout(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    example = {str(p.relative_to(ROOT)) for p in (ROOT / "example-repo").rglob("*.*") if p.is_file()}
    example = {name for name in example if "__pycache__" not in name}
    assert {f"reconciler/demo/{name}" for name in example} <= names
    assert {"reconciler/py.typed", "reconciler/audit/migrations/versions/revision_0001.py"} <= names
    assert not [name for name in names if "__pycache__" in name]
    assert not [name for name in names if name.startswith("tests/")]


def test_the_explanation_that_the_readme_shows_is_what_the_code_prints() -> None:
    commit = Commit("cac8ab1" + 33 * "0", "Ana <ana@example.org>", NOW, "Train iris on millimetres")
    scene = wanting().wants(commit=commit).version(2, Stage.PRODUCTION, key="older").serving(2)
    why = "answers failed at 10 %: agreement with expected 35 % < 90 % (20 requests)"
    rejection = Rejection(scene.release(3), wanted_digest(scene.wanted.spec), why, NOW)
    scene = scene.version(3, Stage.ARCHIVED, rejected=rejection_to_tag(rejection))
    status = status_of(scene.wanted, scene.observed, scene.decide(), NOW, "3a5e416" + 33 * "0")
    out = io.StringIO()
    screen = open_screen(out, io.StringIO(), {}, NOW)
    for head, *rest in explanation(screen, status.as_json()):
        screen.hang(head, *rest)
    assert out.getvalue() in (ROOT / "README.md").read_text(encoding="utf-8")
