"""Tests of model-reconciler; they mirror the package."""
