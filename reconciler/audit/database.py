"""Opening the ledger's database: SQLite in one file by default, or PostgreSQL.

The only module that knows how the two differ: durability, locking, migrations, and which errors may pass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from reconciler.audit import tables
from reconciler.errors import Conflict, ReconcilerError, SettingsError, Transient

BUSY_TIMEOUT_SECONDS = 15
_MIGRATION_LOCK = 0x5EC0_4C11_E201
_BEGIN = "reconciler_begin"
Guard = Callable[[Connection], None]
"""Sees at the start of a transaction that it may write, or raises."""


def unguarded(_: Connection) -> None:
    """Let everything be written."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database; `name` is its address without anything secret, `guard` is asked before each write."""

    engine: Engine
    name: str
    guard: Guard = unguarded
    # Threads of one process queue here instead of polling SQLite's file lock.
    turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection whose reads see one state. Raises Transient."""
        with self.explained("read"), self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that is durable when this returns. Raises Transient, after which nothing was written."""
        with self.explained("write"), self.turn, self.engine.connect() as plain:
            connection = plain.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            with connection.begin():
                self.guard(connection)
                yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Raise what goes wrong inside as an error of ours; a broken unique key passes as it is."""
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise _explain(error, doing, self.name) from error


def open_database(url: str, guard: Guard = unguarded) -> Database:
    """Open the database for the service, creating or migrating it first; `guard` is asked then and before each write.

    Raises SettingsError for an address that cannot be used or a database of a newer version, Transient where trying
    again may help.
    """
    database = _connect(url, create=True)
    try:
        if database.engine.dialect.name == "sqlite":
            _use_wal(database)
        migrate(database)
        with database.read() as connection:
            guard(connection)
    except ReconcilerError:
        database.close()
        raise
    return replace(database, guard=guard)


def open_session(url: str, name: str) -> Database:
    """Open a server's database to hold a session on it that is called `name` there; nothing happens before that."""
    address = _parse(url)
    return _server(address, {"application_name": name}, _HOLDING, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def open_for_reading(url: str) -> Database:
    """Open an existing database of this version, for commands that only look. Raises SettingsError or Transient."""
    database = _connect(url, create=False)
    try:
        with database.read() as connection:
            found = revision_of(connection)
        if found is None:
            raise SettingsError(f"there is no ledger in {database.name}", help=_NO_LEDGER)
        if found != tables.REVISION:
            _refuse_newer(found, database.name)
            raise SettingsError(
                f"the ledger in {database.name} has version {found}, this program reads {tables.REVISION}",
                help="start `reconciler run` of this version once: it migrates the ledger",
            )
    except ReconcilerError:
        database.close()
        raise
    return database


_NO_LEDGER = "`reconciler run` creates it; check ledgerUrl and stateDir in the settings (--config)"


def revision_of(connection: Connection) -> str | None:
    """Return the version of the database, None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def migrate(database: Database) -> None:
    """Bring the database to this version; several processes may try at once. Raises SettingsError or Transient."""
    with database.read() as connection:
        found = revision_of(connection)
    if found == tables.REVISION:
        return
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        found = revision_of(connection)
        if found is not None:
            _refuse_newer(found, database.name)
        if found != tables.REVISION:
            if connection.dialect.name == "postgresql":
                # A large ledger may take its time; what somebody else holds is still not waited for.
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    # Alembic costs 60 ms and 10 MB: paid only where there is something to migrate.
    from alembic import command  # noqa: PLC0415  as just said
    from alembic.config import Config  # noqa: PLC0415  as just said

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "reconciler.audit:migrations")
    config.set_main_option("path_separator", "os")
    command.upgrade(config, tables.REVISION)


def _refuse_newer(found: str, name: str) -> None:
    if not found.isdigit() or int(found) > int(tables.REVISION):
        raise SettingsError(
            f"the ledger in {name} has version {found}, this program knows {tables.REVISION} and older",
            help="run the newer reconciler, or name another ledgerUrl; a ledger is never migrated backwards",
        )


def sqlite_file(url: str) -> Path | None:
    """Return the file that an address names, None when it names a server. Raises SettingsError."""
    address = _parse(url)
    return Path(address.database) if address.get_backend_name() == "sqlite" and address.database else None


def _connect(url: str, *, create: bool) -> Database:
    address = _parse(url)
    if address.get_backend_name() == "sqlite":
        return _sqlite(address, create=create)
    return _server(address, {}, {}, pool_pre_ping=True)


def _server(address: URL, named: Mapping[str, str], limits: Mapping[str, str], **options: Any) -> Database:
    waits = {name: value for name, value in _WAITS.items() if name not in address.query}
    # The last of several values counts: what the address says.
    said = address.query.get("options", ())
    parameters = [f"-c {name}={value}" for name, value in {**_LIMITS, **limits}.items()]
    parameters += [said] if isinstance(said, str) else said
    try:
        engine = sa.create_engine(address, connect_args={**waits, "options": " ".join(parameters), **named}, **options)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the ledger's address needs the Python package {error.name}, which is not installed",
            help='for PostgreSQL: pip install "psycopg[binary]"',
        ) from error
    return Database(engine, address.set(query={}).render_as_string(hide_password=True))


# A server that does not answer a connection, and a network that swallows everything: both end. The address may differ.
_WAITS = {
    "connect_timeout": 10,
    "tcp_user_timeout": BUSY_TIMEOUT_SECONDS * 1000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# What the server is to give up by itself: a statement that waits for somebody else's, for one.
_LIMITS = {"statement_timeout": f"{BUSY_TIMEOUT_SECONDS}s"}
# Of a session that holds a lock: the server ends it soon after its machine vanished, and never because it is idle.
_HOLDING = {
    "lock_timeout": "2s",
    "idle_session_timeout": "0",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        backend = address.get_backend_name()
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise SettingsError("ledgerUrl is no database address", help=_ADDRESSES) from error
    if backend not in ("sqlite", "postgresql"):
        raise SettingsError(f"ledgerUrl names {backend}, which cannot hold the ledger", help=_ADDRESSES)
    return address


_ADDRESSES = "write sqlite:////var/lib/reconciler/ledger.db or postgresql://user@host/database"


def _sqlite(address: URL, *, create: bool) -> Database:
    if not address.database or address.database == ":memory:" or address.database.startswith("file:"):
        raise SettingsError("the ledger needs a file, ledgerUrl names none", help=_ADDRESSES)
    path = Path(address.database)
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"cannot create {path.parent} for the ledger: {error.strerror}") from error
    elif not path.is_file():
        raise SettingsError(f"there is no ledger at {path}", help=_NO_LEDGER)
    engine = sa.create_engine(address, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return Database(engine, str(path))


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own transactions begin deferred; ours are begun by _begin.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    # A read transaction that turns to writing fails at once, whatever the time-out, when another wrote meanwhile.
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)


def _use_wal(database: Database) -> None:
    """Let readers and the writer work side by side; the mode stays with the file."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            with database.explained("open"), database.engine.connect() as connection:
                connection.execution_options(**{_BEGIN: ""}).exec_driver_sql("PRAGMA journal_mode=WAL")
        except Transient as error:
            # SQLite does not wait for another process that changes the mode at the same moment.
            if "locked" not in error.message or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _explain(error: SQLAlchemyError, doing: str, name: str) -> ReconcilerError:
    """Say what went wrong by the driver's own words alone: SQLAlchemy's would add the statement and its values."""
    cause = str(error.orig).strip() if isinstance(error, DBAPIError) else type(error).__name__
    message = f"cannot {doing} the ledger in {name}: {cause}"
    if "append-only" in cause or "only moves forward" in cause:
        return Conflict(message)
    return Transient(message, help=next((text for sign, text in _ADVICE if sign in cause), ""))


_BUSY = "another session holds the ledger's tables, or the server is busy: pg_stat_activity and pg_locks show which"
_ADVICE = (
    ("full", "free space on the disk: nothing is done while it cannot be recorded"),
    ("No space left", "free space on the disk: nothing is done while it cannot be recorded"),
    ("statement timeout", _BUSY),
    ("lock timeout", _BUSY),
    ("locked", "another process writes to it for long: is there a second reconciler, or a backup that holds it?"),
    ("readonly", "the file or its folder cannot be written by this user"),
    ("unable to open", "check that the folder exists and that this user may write to it"),
    ("not a database", "the file is something else, or damaged: name another ledgerUrl, or restore a backup"),
    ("malformed", "the file is damaged: restore a backup; `reconciler audit verify` tells how far it can be trusted"),
    ("connection", "check that the database server runs and accepts this user"),
)
