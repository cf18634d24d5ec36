"""One process at a time writes to a state directory and its ledger; readers are never kept out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.audit.database import Guard, sqlite_file, unguarded
from reconciler.audit.sole_session import sole_session
from reconciler.errors import Refused, SettingsError


@contextmanager
def only_writer(state_dir: Path, ledger_url: str) -> Iterator[Guard]:
    """Hold the state, and a ledger that lies elsewhere, until the block ends; give what each write is to ask first.

    Raises Refused or SettingsError, and Transient where the ledger's server does not answer.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    ledger = sqlite_file(ledger_url)
    with _held(state_dir / "lock", f"the state in {state_dir}"):
        if ledger is None:
            with sole_session(ledger_url) as session:
                yield session.check
        elif ledger.parent.absolute() == state_dir.absolute():
            yield unguarded
        else:
            ledger.parent.mkdir(parents=True, exist_ok=True)
            with _held(ledger.with_name(f"{ledger.name}.lock"), f"the ledger {ledger}"):
                yield unguarded


@contextmanager
def _held(path: Path, what: str) -> Iterator[None]:
    """Hold a lock that the kernel drops with the process, however that ends; the file itself stays."""
    try:
        # No child process inherits it.
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SettingsError(f"cannot use {what}: {path}: {error.strerror}", help="check its owner") from error
    try:
        _lock(file, path, what)
        # A full disk must not keep the service from starting: only the words of an error are lost.
        with suppress(OSError):
            os.truncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(file)


def _lock(file: int, path: Path, what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
        raise Refused(
            f"process {holder or '(unknown)'} already reconciles from {what}: two would fight",
            help="stop it first, or give this one a stateDir and a ledgerUrl of its own",
        ) from error
    except OSError as error:
        raise SettingsError(
            f"cannot lock {path}: {error.strerror}", help="put the stateDir on a file system that knows locks"
        ) from error
