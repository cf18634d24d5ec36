"""What must survive a restart and is no evidence: last good specs, applied releases, claims, the commit acted on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from reconciler.audit import contents, tables
from reconciler.audit.database import Database
from reconciler.audit.record import canonical, format_time
from reconciler.desired.state import DesiredModel
from reconciler.observed import Release, ReleaseRecord

Encode = Callable[[DesiredModel], str]
Decode = Callable[[str], DesiredModel]

_Releases = dict[str, dict[Release, ReleaseRecord]]


class SqlMemory:
    """The memory's port on a database: read once, then kept in the process, written through.

    The files that specs name are stored apart from them, each content once. One process writes at a time (the
    leader); whoever becomes it calls `reload`. `decode` raises ValueError for a text that it cannot read: such a model
    counts as never taken over, and stands in `unreadable`.
    """

    def __init__(self, database: Database, encode: Encode, decode: Decode) -> None:
        self._database = database
        self._encode = encode
        self._decode = decode
        self._guard = threading.RLock()
        self._specs: dict[str, DesiredModel] | None = None
        self._contents: contents.Contents = {}
        self._releases: _Releases | None = None
        self._lines: dict[str, str] | None = None
        self._unreadable: dict[str, str] = {}

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Return the models whose stored spec cannot be read, and why."""
        with self._guard:
            self._loaded_specs()
            return dict(self._unreadable)

    def reload(self) -> None:
        """Drop what is kept in the process, because another process may have written."""
        with self._guard:
            self._specs = None
            self._releases = None
            self._lines = None

    def last_good(self) -> Mapping[str, DesiredModel]:
        """Return the last good spec of every model that was ever taken over and not let go."""
        with self._guard:
            return dict(self._loaded_specs())

    def remember(self, models: Iterable[DesiredModel]) -> None:
        """Keep these as the last good specs; one that differs by nothing but its commit is not written again."""
        with self._guard:
            specs = self._loaded_specs()
            given = {model.name: model for model in models}
            changed = [model for model in given.values() if not _same(specs.get(model.name), model)]
            if changed:
                self._write_specs(changed, {**specs, **given})
            specs.update(given)
            for name in given:
                self._unreadable.pop(name, None)

    def _write_specs(self, changed: Iterable[DesiredModel], specs: Mapping[str, DesiredModel]) -> None:
        used = contents.contents_of(specs.values(), self._contents)
        rows = [
            {
                "model": model.name,
                "document": self._encode(replace(model, files={})),
                "files": contents.to_text(model.files, used),
            }
            for model in changed
        ]
        with self._database.write() as connection:
            _put(connection, tables.content, contents.missing(used, self._contents))
            _put(connection, tables.spec, rows)
            if not self._unreadable:
                contents.drop(connection, used, self._contents)
        # What an unreadable spec may name is still stored.
        self._contents = {**self._contents, **used} if self._unreadable else used

    def forget(self, model: str, keep: Collection[Release] = ()) -> None:
        """Let go of a model, at once: its last good spec, and its releases but those to keep."""
        with self._guard:
            specs, releases = self._loaded_specs(), self._loaded_releases()
            if not any(model in kept for kept in (specs, releases, self._unreadable)):
                return
            left = {release: record for release, record in releases.get(model, {}).items() if release in keep}
            spec, release = tables.spec, tables.release
            with self._database.write() as connection:
                connection.execute(spec.delete().where(spec.c.model == model))
                gone = (release.c.model == model) & release.c.release.not_in([str(each) for each in left])
                connection.execute(release.delete().where(gone))
            for kept in (specs, releases, self._unreadable):
                kept.pop(model, None)
            if left:
                releases[model] = left

    def releases(self, model: str) -> Mapping[Release, ReleaseRecord]:
        """Return what was applied for each release of a model."""
        with self._guard:
            return dict(self._loaded_releases().get(model, {}))

    def keep_release(self, model: str, record: ReleaseRecord) -> None:
        """Keep what is about to be applied for a release; the same again is not written again."""
        with self._guard:
            kept = self._loaded_releases().setdefault(model, {})
            if kept.get(record.release) == record:
                return
            row = {
                "model": model,
                "release": str(record.release),
                "storage_uri": record.storage_uri,
                "serving": canonical(dict(record.serving)),
            }
            with self._database.write() as connection:
                _put(connection, tables.release, [row])
            kept[record.release] = record

    def claim(self, key: str, at: datetime) -> bool:
        """Claim a unique key; False when it was claimed before."""
        try:
            with self._database.write() as connection:
                connection.execute(tables.claim.insert(), {"key": key, "at": format_time(at)})
        except IntegrityError:
            return False
        return True

    def acted_on(self, line: str) -> str | None:
        """Return the last commit of this line of Git that may have been acted on, None before the first."""
        with self._guard:
            return self._loaded_lines().get(line)

    def act_on(self, line: str, commit: str) -> None:
        """Keep which commit is acted on from now on; the same again is not written again."""
        with self._guard:
            lines = self._loaded_lines()
            if lines.get(line) == commit:
                return
            with self._database.write() as connection:
                _put(connection, tables.acted_on, [{"line": line, "commit_id": commit}])
            lines[line] = commit

    def _loaded_lines(self) -> dict[str, str]:
        if self._lines is None:
            with self._database.read() as connection:
                rows = connection.execute(sa.select(tables.acted_on)).all()
            self._lines = {row.line: row.commit_id for row in rows}
        return self._lines

    def _loaded_specs(self) -> dict[str, DesiredModel]:
        if self._specs is None:
            with self._database.read() as connection:
                rows = connection.execute(sa.select(tables.spec)).all()
                self._contents = contents.load(connection)
            self._specs, self._unreadable = self._decoded(rows)
        return self._specs

    def _decoded(self, rows: Iterable[Any]) -> tuple[dict[str, DesiredModel], dict[str, str]]:
        specs, unreadable = {}, {}
        by_digest = {digest: data for data, digest in self._contents.items()}
        for row in rows:
            try:
                files = contents.from_text(row.files, by_digest)
                specs[row.model] = replace(self._decode(row.document), files=files)
            except ValueError as error:
                unreadable[row.model] = str(error)
        return specs, unreadable

    def _loaded_releases(self) -> _Releases:
        if self._releases is None:
            with self._database.read() as connection:
                rows = connection.execute(sa.select(tables.release)).all()
            self._releases = _group(rows)
        return self._releases


def _same(known: DesiredModel | None, model: DesiredModel) -> bool:
    return known is not None and (known is model or replace(known, commit=model.commit) == model)


def _group(rows: Iterable[Any]) -> _Releases:
    grouped: _Releases = {}
    # Thousands of releases share a few templates: each text is read, and kept, once.
    serving: dict[str, Any] = {}
    for row in rows:
        release = Release.parse(row.release)
        fields = serving.get(row.serving) or serving.setdefault(row.serving, _fields(row.serving))
        if release is not None and fields is not None:
            grouped.setdefault(row.model, {})[release] = ReleaseRecord(release, row.storage_uri, fields)
    return grouped


def _fields(text: str) -> dict[str, Any] | None:
    """Read the serving fields of a release, None for what is none: then the release is not on record."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _put(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, str | bytes]]) -> None:
    """Insert rows, or replace those with the same key."""
    if not rows:
        return
    insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=rest), rows)
