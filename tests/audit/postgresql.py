"""A PostgreSQL server of the tests' own, where one is installed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BINARIES = Path(os.path.realpath(shutil.which("pg_ctl") or "/nowhere/pg_ctl")).parent


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, reached by a socket in its folder."""

    folder: str

    def new(self, name: str) -> str:
        """Make an empty database; return its address."""
        _run(str(BINARIES / "createdb"), "-h", self.folder, "-U", "ledger", name)
        return f"postgresql://ledger@/{name}?host={self.folder}"


def missing() -> str:
    """Say what is missing here, "" when a server can be run."""
    if not (BINARIES / "initdb").exists():
        return "no PostgreSQL server (initdb, pg_ctl) is installed"
    if importlib.util.find_spec("psycopg") is None:
        return "the driver psycopg is not installed"
    if os.geteuid() == 0 and not _unprivileged():
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return ""


@contextmanager
def running() -> Iterator[Server]:
    """Run a server on a socket in a folder of its own."""
    # Not in pytest's own folder: only its owner may enter that, and a socket's path is at most 107 bytes long.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        user = _unprivileged() if os.geteuid() == 0 else None
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data, control = f"{folder}/data", str(BINARIES / "pg_ctl")
        _run(str(BINARIES / "initdb"), "-D", data, "-U", "ledger", "-A", "trust", "--locale=C", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        _run(control, "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield Server(folder)
        finally:
            _run(control, "-D", data, "-w", "-m", "immediate", "stop")


def _unprivileged() -> pwd.struct_passwd | None:
    return next((user for user in pwd.getpwall() if user.pw_name == "postgres"), None)


def _run(*command: str) -> None:
    user = _unprivileged() if os.geteuid() == 0 else None
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()} if user else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **who)  # type: ignore[call-overload]  # user and group by name
