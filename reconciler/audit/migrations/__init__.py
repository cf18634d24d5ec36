"""Alembic's environment: migrations of the ledger's database."""
