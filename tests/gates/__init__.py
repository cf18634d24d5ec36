"""Tests of reconciler.gates."""
