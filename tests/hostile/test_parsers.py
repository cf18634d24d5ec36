"""Every parser takes its hostile corpus within its limits, and raises nothing but the product's own errors."""

from __future__ import annotations

import importlib
from functools import cache

import pytest

from tests.hostile.bounded import Ended, run_corpus

# Per case, on a machine that does other things too: seconds, and megabytes beyond what importing takes.
CORPORA = {
    "tests.hostile.corpus_specs": (10.0, 400),
    "tests.hostile.corpus_values": (10.0, 400),
    "tests.hostile.corpus_http": (15.0, 400),
}


@cache
def _ended(corpus: str) -> dict[str, Ended]:
    return run_corpus(corpus, *CORPORA[corpus])


@pytest.mark.parametrize(
    ("corpus", "case"), [(corpus, case) for corpus in CORPORA for case in importlib.import_module(corpus).CASES]
)
def test_a_hostile_input_is_taken_within_its_limits_and_without_an_unexpected_error(corpus: str, case: str) -> None:
    assert _ended(corpus)[case].wrong == ""
