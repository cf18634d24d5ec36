"""The files that remembered specs name: each content is stored once, however many models share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from reconciler.audit import tables
from reconciler.audit.record import canonical
from reconciler.desired.state import DesiredModel

Contents = Mapping[bytes, str]
"""Every content by itself, with its SHA-256 in hex. Thousands of models share one object, whose hash Python keeps."""


def contents_of(models: Iterable[DesiredModel], known: Contents) -> dict[bytes, str]:
    """Return the contents of all files that these models name; a digest that is known is not worked out again."""
    found: dict[bytes, str] = {}
    for model in models:
        for data in model.files.values():
            if data not in found:
                found[data] = known.get(data) or hashlib.sha256(data).hexdigest()
    return found


def to_text(files: Mapping[str, bytes], contents: Contents) -> str:
    """Write which content each path names."""
    return canonical({path: contents[data] for path, data in files.items()})


def from_text(text: str, by_digest: Mapping[str, bytes]) -> dict[str, bytes]:
    """Read it back. Raises ValueError where a content is missing."""
    try:
        return {path: by_digest[digest] for path, digest in json.loads(text).items()}
    except (KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"the stored spec names a file that is not stored: {error}") from error


def load(connection: Connection) -> dict[bytes, str]:
    """Read every stored content."""
    rows = connection.execute(sa.select(tables.content.c.digest, tables.content.c.data)).all()
    return {bytes(row.data): row.digest for row in rows}


def missing(contents: Contents, stored: Contents) -> list[dict[str, str | bytes]]:
    """Return the rows of the contents that are not stored yet."""
    return [{"digest": digest, "data": data} for data, digest in contents.items() if data not in stored]


def drop(connection: Connection, contents: Contents, stored: Contents) -> None:
    """Delete the contents that are stored, but not among `contents` any more."""
    for data in stored.keys() - contents.keys():
        connection.execute(tables.content.delete().where(tables.content.c.digest == stored[data]))
