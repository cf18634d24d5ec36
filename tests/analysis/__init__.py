"""Tests of judging a canary."""
