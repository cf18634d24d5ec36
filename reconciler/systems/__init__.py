"""Adapters: one home for each outside system."""
