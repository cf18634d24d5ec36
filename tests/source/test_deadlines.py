"""A fetch ends: whatever the other side does, within its deadline and its bounds."""

from __future__ import annotations

import os
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.desired.world import model
from tests.hanging import drip, dripping_headers, playing, silent
from tests.source.conftest import Follow
from tests.source.repositories import Origin

DEADLINE = timedelta(seconds=1.5)
# The server may be slow for ever, as long as each wait is shorter than this.
WAIT = timedelta(seconds=60)
ADVERTISED = b"001e# service=git-upload-pack\n0000"
HEADERS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n"
    b"Content-Length: 999999999999\r\n\r\n"
)


def dripping_refs(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65536)
    drip(connection, over, HEADERS + ADVERTISED + b"fff0")


def dripping_greeting(connection: socket.socket, over: threading.Event) -> None:
    drip(connection, over, b"SSH-2.0-")


GAMES = {
    "https, silent": ("http", silent),
    "https, headers that drip": ("http", dripping_headers),
    "https, a list of branches that drips": ("http", dripping_refs),
    "ssh, silent": ("ssh", silent),
    "ssh, a greeting that drips": ("ssh", dripping_greeting),
}


@pytest.mark.parametrize("case", GAMES)
def test_a_fetch_ends_at_its_deadline_whatever_the_server_does(
    case: str, follow: Follow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    scheme, play = GAMES[case]
    (tmp_path / "known_hosts").write_text("")
    ssh = {"knownHosts": str(tmp_path / "known_hosts")} if scheme == "ssh" else {}
    with playing(play) as address:
        follower = follow(url=f"{scheme}://{address}/a.git", timeout=WAIT, deadline=DEADLINE, **ssh)
        began = time.monotonic()
        status = follower.source.fetch()
        took = time.monotonic() - began
    assert "did not end within 1.5 s" in status.error
    assert "git.deadline" in status.error
    assert took < 4


def test_a_repository_on_a_disk_that_does_not_answer_ends_at_the_deadline_too(origin: Origin, follow: Follow) -> None:
    origin.commit({"a.yaml": model("a")})
    head = origin.path / ".git" / "refs" / "heads" / "main"
    head.unlink()
    os.mkfifo(head)
    status = follow(deadline=DEADLINE).source.fetch()
    assert status.commit is None
    assert status.error


def test_a_server_that_never_comes_to_an_end_fills_no_memory(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sent: list[int] = []

    def endless(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        first = b"a" * 40 + b" HEAD\0side-band-64k"
        connection.sendall(HEADERS + ADVERTISED + b"%04x" % (len(first) + 4) + first)
        number = 0
        while not over.is_set():
            lines = (b"a" * 40 + b" refs/heads/%060000d" % each for each in range(number, number + 20))
            part = b"".join(b"%04x" % (len(line) + 4) + line for line in lines)
            connection.sendall(part)
            number += 20
            sent.append(len(part))

    with playing(endless) as address:
        follower = follow(url=f"http://{address}/a.git", mostMebibytes=8, deadline=timedelta(seconds=30))
        status = follower.source.fetch()
    assert status.commit is None
    assert "git.mostMebibytes" in status.error
    assert 8 * 1024 * 1024 < sum(sent) < 300 * 1024 * 1024


def test_a_repository_larger_than_the_settings_allow_is_refused(origin: Origin, follow: Follow) -> None:
    (origin.path / "large.bin").write_bytes(os.urandom(6 * 1024 * 1024))
    origin.commit({"a.yaml": model("a")})
    status = follow(mostMebibytes=2).source.fetch()
    assert status.commit is None
    assert "git.mostMebibytes" in status.error
    status = follow(mostMebibytes=512).source.fetch()
    assert status.error == ""


def test_what_a_killed_fetch_left_behind_keeps_no_later_one_out(origin: Origin, follow: Follow, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    follower = follow()
    follower.source.fetch()
    (mirror,) = (tmp_path / "state" / "git").glob("*.git")
    left = [mirror / "refs/reconciler/fetched.lock", *(mirror / "refs/reconciler").glob("good-*")]
    left = [left[0], *(path.with_name(path.name + ".lock") for path in left[1:]), mirror / "objects/pack/pack_git2_x1"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    new = origin.commit({"b.yaml": model("b")})
    status = follower.source.fetch()
    assert (status.error, status.commit and status.commit.id) == ("", new)
    assert [path for path in left if path.exists()] == []
