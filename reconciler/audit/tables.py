"""The tables of the ledger's database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

REVISION = "0002"
"""The migration that this code needs; revisions are numbers, so that a newer database can be told as such."""

metadata = MetaData()

entry = Table(
    "ledger_entry",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("model", String(253), nullable=False),
    Column("action", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Index("ledger_entry_by_model", "model", "seq"),
    Index("ledger_entry_by_action", "action", "seq"),
    Index("ledger_entry_by_time", "at", "seq"),
)

head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("entries", BigInteger, nullable=False),
)

spec = Table(
    "last_good_spec",
    metadata,
    Column("model", String(253), primary_key=True),
    Column("document", Text, nullable=False),
    Column("files", Text, nullable=False),
)

content = Table(
    "content",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

release = Table(
    "applied_release",
    metadata,
    Column("model", String(253), primary_key=True),
    Column("release", String(64), primary_key=True),
    Column("storage_uri", Text, nullable=False),
    Column("serving", Text, nullable=False),
)

claim = Table(
    "claim",
    metadata,
    Column("key", String(512), primary_key=True),
    Column("at", String(32), nullable=False),
)

acted_on = Table(
    "acted_on",
    metadata,
    Column("line", String(64), primary_key=True),
    Column("commit_id", String(64), nullable=False),
)
