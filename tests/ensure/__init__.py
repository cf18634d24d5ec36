"""Tests of reconciler.ensure."""
