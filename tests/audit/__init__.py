"""Tests of the ledger, its database and its exports."""
