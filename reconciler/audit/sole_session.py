"""One reconciler at a time on a ledger in PostgreSQL: who holds an advisory lock, by a session that does nothing else.

The server drops the lock with the session, however that ends. That it is still held is asked in each transaction that
writes, of the server, so that a session which was lost is noticed before anything is written.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reconciler.audit.database import Database, open_session
from reconciler.audit.tables import head
from reconciler.errors import Refused, Transient

_LOCK = 0x5EC0_4C12
_LOCK_NOT_AVAILABLE = "55P03"
_PREFIX = "model-reconciler: "
# An advisory lock holds for a database, and a ledger may be in any schema of it.
_LEDGER = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
_HELD = f"""FROM pg_locks AS held WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 2
    AND held.classid = {_LOCK} AND held.objid = {_LEDGER}
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # noqa: S608  constants
_TAKE = sa.text(f"SELECT pg_backend_pid() FROM pg_advisory_lock({_LOCK}, CAST({_LEDGER} AS int))")  # noqa: S608  constants
_HOLDER = sa.text(f"SELECT application_name FROM pg_stat_activity WHERE pid = (SELECT held.pid {_HELD})")  # noqa: S608  constants
_STILL_HELD = sa.text(f"SELECT EXISTS (SELECT 1 {_HELD} AND held.pid = :pid)")
_HEAD = sa.select(head.c.seq).where(head.c.id == 1)
_HELP = "stop it first, or give this one a stateDir and a ledgerUrl of its own"


@contextmanager
def sole_session(url: str) -> Iterator[SoleSession]:
    """Hold the ledger on a server until the block ends. Raises Refused where another process does, or Transient."""
    host = socket.gethostname()
    database = open_session(url, f"{_PREFIX}process {os.getpid()} on {host}")
    session = SoleSession(database)
    try:
        if (holder := session.take()) is not None:
            raise Refused(_fight(holder, database), help=_HELP)
        yield session
    finally:
        session.close()
        database.close()


class SoleSession:
    """The session that holds the lock. Used by one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._pid = 0
        self._seen: int | None = None

    def take(self) -> str | None:
        """Connect and take the lock; return who has it where that is somebody else. Raises Transient."""
        self.close()
        with self._database.explained("hold"):
            connection = self._database.engine.connect()
            self._connection = connection
            try:
                # Waits a moment: of a process that was killed just now, the server may not know yet.
                self._pid = connection.execute(_TAKE).scalar_one()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                    raise
                return connection.execute(_HOLDER).scalar() or "another process"
        return None

    def check(self, writing: Connection) -> None:
        """See before a write that the lock is held; a lost one is taken again where nobody wrote meanwhile.

        Raises Transient where another process has it, Refused where one had it and wrote.
        """
        if not writing.execute(_STILL_HELD, {"pid": self._pid}).scalar_one():
            if (holder := self.take()) is not None:
                raise Transient(_fight(holder, self._database), help=_HELP)
            self._only_ours(writing)
        self._seen = writing.execute(_HEAD).scalar()

    def _only_ours(self, writing: Connection) -> None:
        """Refuse to go on where entries came from somebody else: what this process remembers is not what is there."""
        found = writing.execute(_HEAD).scalar()
        # Since it was looked at last, one entry may have been our own.
        if self._seen is not None and (found is None or found > self._seen + 1):
            self.close()
            raise Refused(
                f"another process wrote to the ledger in {self._database.name} while the hold on it was lost",
                help="start this one again: it reads anew what is there",
            )

    def close(self) -> None:
        """Let go of the lock, by ending the session."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate()  # not back into a pool, where it would keep the lock
            connection.close()
        except SQLAlchemyError:
            return  # it had ended already


def _fight(holder: str, database: Database) -> str:
    who = holder.removeprefix(_PREFIX)
    return f"{who} already reconciles from the ledger in {database.name}: two would fight"
