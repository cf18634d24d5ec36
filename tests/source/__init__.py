"""Tests of where the desired state comes from."""
