"""Tests of the service's scheduling."""
