"""Save every write to one SQLite file, so that a killed server continues where it stood."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.demo.kubeapi.store import Key, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
INSERT OR IGNORE INTO latest VALUES (1, 0);
"""


class MemoryJournal:
    """Save nothing."""

    def put(self, record: Record) -> None:
        """Take note of a write."""

    def remove(self, key: Key, revision: int) -> None:
        """Take note of a deletion."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes."""
        yield

    def load(self) -> tuple[list[Record], int]:
        """Return nothing saved."""
        return [], 0

    def close(self) -> None:
        """Release nothing."""


class SqliteJournal:
    """Save objects and the latest revision; a request's writes become durable together or not at all."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One writer at a time is ensured by the cluster's lock, whatever the thread.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        # Survives a kill of the process; only a power cut may lose the last writes, never the file.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def put(self, record: Record) -> None:
        """Save an object's state."""
        key = record.key
        self._db.execute(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)",
            (key.resource, key.namespace, key.name, record.revision, record.body),
        )
        self._note(record.revision)

    def remove(self, key: Key, revision: int) -> None:
        """Save a deletion."""
        self._db.execute(
            "DELETE FROM object WHERE resource = ? AND namespace = ? AND name = ?",
            (key.resource, key.namespace, key.name),
        )
        self._note(revision)

    def _note(self, revision: int) -> None:
        self._db.execute("UPDATE latest SET revision = ?", (revision,))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes: all of them are saved, or, when the block raises, none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def load(self) -> tuple[list[Record], int]:
        """Return all saved objects and the latest revision."""
        rows = self._db.execute("SELECT resource, namespace, name, revision, body FROM object")
        records = [Record(Key(*row[:3]), row[3], json.loads(row[4]), row[4]) for row in rows]
        (revision,) = self._db.execute("SELECT revision FROM latest").fetchone()
        return records, revision

    def close(self) -> None:
        """Close the file."""
        self._db.close()
