"""The real reconciler over the real adapters, with a counter at every boundary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import event

from reconciler.audit.database import Database, open_database
from reconciler.audit.ledger import SqlLedger
from reconciler.audit.memory import SqlMemory
from reconciler.bootstrap import build_reconciler, build_systems, utc_now
from reconciler.desired.parse import ParsedFile, parse_file
from reconciler.desired.repository import Assembler
from reconciler.desired.stored import from_json, to_json
from reconciler.ensure.scene import Systems
from reconciler.reconcile import ModelReconciler
from reconciler.settings import Settings
from reconciler.source.git import GitSource
from reconciler.systems.registry.rest import MlflowRegistry
from reconciler.systems.serving.api import Call, Stream
from reconciler.systems.serving.connect import Connection
from reconciler.systems.serving.kserve import KServe, Options


@dataclass(slots=True)
class Counts:
    """Calls made to each system."""

    registry_requests: int = 0
    kubernetes_lists: int = 0
    kubernetes_watches: int = 0
    kubernetes_other: int = 0
    database_reads: int = 0
    database_writes: int = 0
    blobs_parsed: int = 0

    def since(self, before: Counts) -> Counts:
        """Return what was counted after `before`."""
        return Counts(**{name: value - getattr(before, name) for name, value in asdict(self).items()})

    def copy(self) -> Counts:
        """Return the counts as they are now."""
        return Counts(**asdict(self))


@dataclass(slots=True)
class CountingApi:
    """Implements `serving.api.Api`."""

    connection: Connection
    counts: Counts

    def call(self, call: Call) -> Any:
        if call.verb == "list":
            self.counts.kubernetes_lists += 1
        elif not call.path:
            self.counts.kubernetes_other += 1
        return self.connection.call(call)

    def open(self, call: Call, idle_seconds: float) -> AbstractContextManager[Stream]:
        self.counts.kubernetes_watches += 1
        return self.connection.open(call, idle_seconds)


@dataclass(slots=True)
class Rig:
    """A reconciler, and what it calls."""

    reconciler: ModelReconciler
    systems: Systems
    source: GitSource
    serving: KServe
    counts_now: Counts = field(default_factory=Counts)

    @property
    def counts(self) -> Counts:
        """Return the counts so far."""
        registry = self.systems.registry
        assert isinstance(registry, MlflowRegistry)
        self.counts_now.registry_requests = registry.calls
        return self.counts_now.copy()

    def start(self) -> None:
        """Read everything once."""
        self.reconciler.refresh_source()
        self.reconciler.refresh_registry()
        self.synced()

    def synced(self) -> None:
        """Wait until Kubernetes has been listed."""
        assert self.serving.wait_synced(timedelta(minutes=2)), self.serving.read_all()

    def look_at_all(self) -> None:
        """Step every model; all of them must be in sync."""
        for name in self.reconciler.names():
            result = self.reconciler.reconcile(name)
            assert result.status is not None
            assert (result.acted, result.error, result.status.sync) == (None, None, "Synced"), result


@contextmanager
def rig(settings: Settings) -> Iterator[Rig]:
    """Build the reconciler as bootstrap does, with counters."""
    counts = Counts()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        database = open_database(settings.database_url)
        stack.callback(database.close)
        _count_statements(database, counts)
        memory = SqlMemory(database, to_json, from_json)
        ledger = SqlLedger(database, lambda value: value, lambda _: None)
        connection = Connection(settings.kubernetes)
        stack.callback(connection.close)
        serving = stack.enter_context(KServe(CountingApi(connection, counts), Options(), utc_now, Random(1)))
        systems = build_systems(settings, utc_now, stack, ledger=ledger, memory=memory, serving=serving)
        source = GitSource(settings.git, settings.state_dir, utc_now, memory)
        source._assembler = Assembler(_counting_parse(counts))
        yield Rig(build_reconciler(settings, source, systems), systems, source, serving, counts)


def _counting_parse(counts: Counts) -> Any:
    def parse(path: str, data: bytes) -> ParsedFile:
        counts.blobs_parsed += 1
        return parse_file(path, data)

    return parse


def _count_statements(database: Database, counts: Counts) -> None:
    def executed(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        word = statement.split(None, 1)[0].upper()
        if word == "SELECT":
            counts.database_reads += 1
        elif word in ("INSERT", "UPDATE", "DELETE"):
            counts.database_writes += 1

    event.listen(database.engine, "before_cursor_execute", executed)
