"""The fleet in MLflow: rows as the reconciler's own writes leave them, put into the server's SQLite at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from reconciler.desired.state import DesiredModel
from reconciler.observed import MANAGER, TAG_GATES, TAG_MANAGED, TAG_TRAINING_KEY, Stage
from reconciler.plan.facts import passed_mark
from reconciler.plan.training import recipe_of
from reconciler.registry_roles import CHAMPION

VERSIONS = 3
CREATED = 1_767_225_600_000
Row = tuple[object, ...]

_INSERTS = {
    "registered_models": "name, creation_time, last_updated_time",
    "registered_model_tags": "name, key, value",
    "registered_model_aliases": "name, alias, version",
    "model_versions": "name, version, creation_time, last_updated_time, current_stage, source, storage_location, "
    "run_id, status",
    "model_version_tags": "name, version, key, value",
}


def insert(database: Path, models: Iterable[DesiredModel]) -> None:
    """Register three versions of each model; the last one is in Production, the others are Archived."""
    rows: dict[str, list[Row]] = {table: [] for table in _INSERTS}
    for model in models:
        for table, row in _rows(model):
            rows[table].append(row)
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, columns in _INSERTS.items():
            marks = ", ".join("?" * (columns.count(",") + 1))
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows[table])  # noqa: S608  constants


def remove(database: Path, names: Iterable[str]) -> None:
    """Take the models out again."""
    wanted = [(name,) for name in names]
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table in reversed(_INSERTS):
            connection.executemany(f"DELETE FROM {table} WHERE name = ?", wanted)  # noqa: S608  constants


def _rows(model: DesiredModel) -> Iterator[tuple[str, Row]]:
    name = model.registered_model
    yield "registered_models", (name, CREATED, CREATED + VERSIONS)
    yield "registered_model_tags", (name, TAG_MANAGED, MANAGER)
    yield "registered_model_aliases", (name, CHAMPION, VERSIONS)
    for version in range(1, VERSIONS + 1):
        at = CREATED + version
        newest = version == VERSIONS
        stage = Stage.PRODUCTION if newest else Stage.ARCHIVED
        source = f"mlflow-artifacts:/1/models/m-{name}-{version}/artifacts"
        run_id = f"{version:02d}{name.replace('-', '')}".ljust(32, "0")[:32]
        yield "model_versions", (name, version, at, at, stage.value, source, source, run_id, "READY")
        key = recipe_of(model) if newest else f"0ldrecipe{version}"
        yield "model_version_tags", (name, version, TAG_TRAINING_KEY, key)
        yield "model_version_tags", (name, version, TAG_GATES, passed_mark(model.spec))
