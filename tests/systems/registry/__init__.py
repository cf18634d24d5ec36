"""Tests of the MLflow adapter."""
