"""Following a repository over SSH, from a real sshd that trusts one key and shows one host key."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desired.world import model
from tests.source.conftest import Follow
from tests.source.repositories import Origin

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin")
KEYGEN = shutil.which("ssh-keygen")
pytestmark = pytest.mark.skipif(not SSHD or not KEYGEN, reason="sshd or ssh-keygen is not installed")


def _key(path: Path, *, passphrase: str = "") -> Path:
    subprocess.run(
        [str(KEYGEN), "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True, stdin=subprocess.DEVNULL
    )
    return path


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """Run sshd on a free port of loopback; the keys `user` and `locked` may log in."""
    host, user, locked = _key(tmp_path / "host"), _key(tmp_path / "user"), _key(tmp_path / "locked", passphrase="pw")
    keys = tmp_path / "authorized_keys"
    keys.write_text("".join(key.with_suffix(".pub").read_text() for key in (user, locked)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": host,
        "PidFile": "none",
        "AuthorizedKeysFile": keys,
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",
    }
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (tmp_path / "sshd.log").open("wb") as log:
        process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=log)
    try:
        deadline = time.monotonic() + 10
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"sshd does not start here: {(tmp_path / 'sshd.log').read_text().strip()}")
            time.sleep(0.02)
        _know(tmp_path, host, port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _know(folder: Path, host: Path, port: int) -> None:
    kind, key, *_ = host.with_suffix(".pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")


def _settings(folder: Path, port: int, key: str = "user") -> dict[str, object]:
    user = pwd.getpwuid(os.getuid()).pw_name
    return {
        "url": f"ssh://{user}@127.0.0.1:{port}{folder}/origin/.git",
        "sshKey": {"file": str(folder / key)},
        "knownHosts": str(folder / "known_hosts"),
    }


def test_key_opens_the_repository_of_a_known_host(origin: Origin, follow: Follow, server: int, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    follower = follow(**_settings(tmp_path, server))
    assert follower.source.fetch().error == ""
    assert list(follower.models()) == ["a"]


def test_key_with_a_passphrase_opens_it_too(
    origin: Origin, follow: Follow, server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.commit({"a.yaml": model("a")})
    monkeypatch.setenv("PASSPHRASE", "pw")
    settings = {**_settings(tmp_path, server, "locked"), "sshPassphrase": {"env": "PASSPHRASE"}}
    assert follow(**settings).source.fetch().error == ""


def test_host_that_is_not_known_gets_no_credentials(
    origin: Origin, follow: Follow, server: int, tmp_path: Path
) -> None:
    origin.commit({"a.yaml": model("a")})
    _know(tmp_path, _key(tmp_path / "other"), server)
    status = follow(**_settings(tmp_path, server)).source.fetch()
    assert "is not trusted" in status.error
    assert "git.knownHosts" in status.error
    assert status.commit is None


def test_empty_known_hosts_trusts_nobody(origin: Origin, follow: Follow, server: int, tmp_path: Path) -> None:
    origin.commit({"a.yaml": model("a")})
    (tmp_path / "known_hosts").write_text("")
    assert "is not trusted" in follow(**_settings(tmp_path, server)).source.fetch().error


def test_key_that_the_server_does_not_know_is_refused(
    origin: Origin, follow: Follow, server: int, tmp_path: Path
) -> None:
    origin.commit({"a.yaml": model("a")})
    _key(tmp_path / "stranger")
    status = follow(**_settings(tmp_path, server, "stranger")).source.fetch()
    assert "the server refused the credentials" in status.error
    assert "PRIVATE KEY" not in status.error
