"""Mutation testing of what decides and what acts: every small change of the code must fail a test."""
