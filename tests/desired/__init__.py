"""Tests of what Git says."""
