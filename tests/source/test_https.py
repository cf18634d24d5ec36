"""Following a repository over HTTP with a token, from git's own server."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.desired.world import model
from tests.source.conftest import Follow
from tests.source.repositories import Origin

TOKEN = "tok-3f9a"


def _backend() -> Path | None:
    if shutil.which("git") is None:
        return None
    folder = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    backend = Path(folder) / "git-http-backend"
    return backend if backend.exists() else None


BACKEND = _backend()
pytestmark = pytest.mark.skipif(BACKEND is None, reason="git http-backend is not installed")


class _Handler(BaseHTTPRequestHandler):
    root: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its signature
        """Stay quiet."""

    def _serve(self, body: bytes) -> None:
        wanted = "Basic " + base64.b64encode(f"git:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            return
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run([str(BACKEND)], input=body, capture_output=True, check=True, env=environment)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200 OK").split()[0])
        self._answer(status, headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve the repositories below a folder, and yield the server's address."""
    handler = type("Handler", (_Handler,), {"root": root})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_token_of_a_file_opens_the_repository(origin: Origin, follow: Follow, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    (tmp_path / "token").write_text(TOKEN + "\n")
    with served(tmp_path) as address:
        follower = follow(url=f"{address}/origin/.git", token={"file": str(tmp_path / "token")})
        status = follower.source.fetch()
        assert status.error == ""
        assert list(follower.models()) == ["a"]
        second = origin.commit({"b.yaml": model("b")})
        status = follower.source.fetch()
    assert status.commit is not None
    assert status.commit.id == second
    assert TOKEN not in repr(follower.source)


def test_wrong_token_is_refused_once_and_never_shown(
    origin: Origin, follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.commit({"a.yaml": model("a")})
    monkeypatch.setenv("WRONG", "wrong-secret")
    with served(tmp_path) as address:
        status = follow(url=f"{address}/origin/.git", token={"env": "WRONG"}).source.fetch()
    assert "the server refused the credentials" in status.error
    assert "wrong-secret" not in status.error


def test_missing_token_says_what_to_set(origin: Origin, follow: Follow, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    with served(tmp_path) as address:
        status = follow(url=f"{address}/origin/.git").source.fetch()
    assert "the server asks for credentials" in status.error
    assert "git.token" in status.error


def test_token_file_that_vanished_is_an_error_of_the_fetch(follow: Follow, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    follower = follow(url="https://127.0.0.1:9/a.git", token={"file": str(tmp_path / "token")})
    (tmp_path / "token").unlink()
    assert "cannot read the secret file" in follower.source.fetch().error


def test_user_in_the_address_is_not_shown(follow: Follow) -> None:
    status = follow(url="http://somebody@127.0.0.1:9/a.git").source.fetch()
    assert status.failing_since is not None
    assert "somebody" not in status.error
    assert "http://***@127.0.0.1:9/a.git" in status.error


def test_server_that_never_answers_is_given_up(follow: Follow) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        follower = follow(url=f"http://127.0.0.1:{silent.getsockname()[1]}/a.git", timeout=timedelta(seconds=1))
        assert follower.source.fetch().failing_since == follower.clock.now
