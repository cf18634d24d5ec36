"""Tests of deciding and of presenting plans."""
