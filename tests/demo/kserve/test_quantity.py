"""Quantities come back as the API server writes them."""

from __future__ import annotations

import pytest

from reconciler.demo.kserve.quantity import canonical

TABLE = {
    "0.5": "500m",
    "1": "1",
    "1000m": "1",
    "100m": "100m",
    "1.5": "1500m",
    "1000": "1k",
    "2500": "2500",
    "512Mi": "512Mi",
    "0.5Gi": "512Mi",
    "1024Mi": "1Gi",
    "1.5Gi": "1536Mi",
    "0.5Ki": "512",
    "100M": "100M",
    "1500M": "1500M",
    "1e3": "1e3",
    "0": "0",
}


@pytest.mark.parametrize("given", TABLE)
def test_a_quantity_is_written_with_an_integer_and_the_largest_suffix(given: str) -> None:
    assert canonical(given) == TABLE[given]


@pytest.mark.parametrize("given", ["", "a lot", "1 Gi", "1KB", "--1"])
def test_what_is_no_quantity_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        canonical(given)
