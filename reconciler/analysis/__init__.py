"""Judging a canary: pure functions of what was measured."""
