"""Plugins and identity providers that never answer: nobody waits for them for long, and plugins are ended."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Transient
from reconciler.settings import KubernetesSettings
from reconciler.systems.serving.api import INFERENCE_SERVICES, Call
from reconciler.systems.serving.connect import Connection
from tests.hanging import playing, silent
from tests.systems.serving.scripted import Reply, Script, scripted, service, status

READ = Call("get", INFERENCE_SERVICES, "models", "iris")
# Of an hour ago: the plugin is asked before each call.
AGED = {"expirationTimestamp": "2026-01-01T00:00:00Z"}
PROGRAM = """\
#!/bin/sh
echo $$ >>{folder}/started
if [ -e {folder}/hangs ]; then {hanging}; fi
cat {folder}/answer
"""
# It waits for a writer that never comes; in the second way by a program of its own, which holds its output open.
WAYS = {"itself": "exec cat {folder}/pipe", "by a program that it started": "cat {folder}/pipe; true"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program that gives credentials, as a kubeconfig names it."""

    folder: Path
    script: Script

    @property
    def settings(self) -> KubernetesSettings:
        return KubernetesSettings.model_validate({"kubeconfig": self.folder / "kubeconfig", "timeout": "2s"})

    def answers(self, token: str, **status: str) -> None:
        credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        said = json.dumps({**credential, "status": {"token": token, **status}})
        (self.folder / "answer").write_text(said, encoding="utf-8")
        (self.folder / "hangs").unlink(missing_ok=True)

    def hangs(self) -> None:
        (self.folder / "hangs").touch()

    def started(self) -> list[int]:
        return [int(line) for line in (self.folder / "started").read_text(encoding="ascii").split()]


@pytest.fixture(params=WAYS)
def plugin(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Plugin]:
    os.mkfifo(tmp_path / "pipe")
    program = tmp_path / "plugin"
    program.write_text(PROGRAM.format(folder=tmp_path, hanging=WAYS[request.param].format(folder=tmp_path)))
    program.chmod(0o700)
    with scripted(tmp_path / "kubeconfig") as script:
        asked = {"command": str(program), "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
        use(tmp_path / "kubeconfig", {"exec": asked})
        yield Plugin(tmp_path, script)


def use(kubeconfig: Path, user: dict[str, Any]) -> None:
    """Have a kubeconfig get its credentials so."""
    content = json.loads(kubeconfig.read_text(encoding="utf-8"))
    content["users"][0]["user"] = user
    kubeconfig.write_text(json.dumps(content), encoding="utf-8")


def running(program: int) -> bool:
    """Return whether a program runs; one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{program}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def ended(plugin: Plugin) -> bool:
    """Wait until every plugin that was started has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(map(running, plugin.started())):
            return True
        time.sleep(0.01)
    return False


def answered(connection: Connection) -> Any:
    """Call until it succeeds: how quick a plugin is depends on the machine."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return connection.call(READ)
        except Transient:
            if time.monotonic() > deadline:
                raise


def failure(connection: Connection) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011  whichever it is, the test says
        connection._once(READ)
    return caught.value


def test_a_plugin_that_hangs_at_the_start_is_ended_and_said(plugin: Plugin) -> None:
    plugin.answers("first")
    plugin.hangs()
    with pytest.raises(Transient, match=r"no credentials for the cluster: .* did not end within 2 s") as caught:
        Connection(plugin.settings)
    assert "exec plugin" in caught.value.help
    assert ended(plugin)


def test_a_plugin_that_hangs_when_the_token_ages_fails_the_call_before_anything_is_sent(plugin: Plugin) -> None:
    plugin.script.on("GET", Reply(service("iris", "1")))
    plugin.answers("first", **AGED)
    connection = Connection(plugin.settings)
    plugin.hangs()
    with pytest.raises(Transient, match="no credentials for the cluster"):
        connection._once(READ)
    assert plugin.script.asked == []
    assert ended(plugin)
    plugin.answers("second", **AGED)
    assert answered(connection) == service("iris", "1")
    assert plugin.script.seen_headers[-1]["authorization"] == "Bearer second"
    connection.close()


def test_a_plugin_that_hangs_after_it_answered_again_and_again_fails_the_call_in_time(plugin: Plugin) -> None:
    plugin.script.on("GET", Reply(service("iris", "1")))
    plugin.answers("first", **AGED)
    connection = Connection(plugin.settings)
    for token in ("second", "third"):
        plugin.answers(token, **AGED)
        assert answered(connection) == service("iris", "1")
        assert plugin.script.seen_headers[-1]["authorization"] == f"Bearer {token}"
    for _ in range(2):
        plugin.hangs()
        outcome: list[Exception] = []
        # In a thread of its own: what is tested is that this ends.
        caller = threading.Thread(target=lambda told=outcome: told.append(failure(connection)), daemon=True)
        caller.start()
        caller.join(15)
        assert [type(error) for error in outcome] == [Transient]
        assert ended(plugin)
        plugin.answers("fourth", **AGED)
        assert answered(connection) == service("iris", "1")
    connection.close()


def test_a_plugin_that_hangs_when_the_token_was_refused_is_asked_again_later(plugin: Plugin) -> None:
    plugin.script.on("GET", Reply(status(401, "Unauthorized"), 401), Reply(status(401, "Unauthorized"), 401))
    plugin.answers("first")
    connection = Connection(plugin.settings, reload_seconds=0.0)
    plugin.hangs()
    with pytest.raises(Transient, match="no credentials for the cluster"):
        connection._once(READ)
    assert ended(plugin)
    plugin.answers("second")
    plugin.script.on("GET", Reply(service("iris", "1")))
    assert answered(connection) == service("iris", "1")
    connection.close()


def test_an_identity_provider_that_never_answers_is_left_alone(tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).decode().rstrip("=")
    kubeconfig = tmp_path / "kubeconfig"
    with playing(silent) as provider, scripted(kubeconfig) as script:
        told = {
            "idp-issuer-url": f"http://{provider}", "client-id": "us", "client-secret": "s", "refresh-token": "r",
            "id-token": f"x.{claims}.x",
        }  # fmt: skip
        use(kubeconfig, {"auth-provider": {"name": "oidc", "config": told}})
        settings = KubernetesSettings.model_validate({"kubeconfig": kubeconfig, "timeout": "500ms"})
        with pytest.raises(Transient, match="no credentials for the cluster"):
            Connection(settings)
        assert script.asked == []
