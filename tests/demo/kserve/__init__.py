"""Tests of the KServe stand-in."""
