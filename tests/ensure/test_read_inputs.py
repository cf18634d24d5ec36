"""Probe files: what is taken, and what is refused before anything is sent."""

from __future__ import annotations

import json

import pytest

from reconciler.ensure.analysis import Inputs, read_inputs
from reconciler.errors import Refused

GOOD: dict[str, tuple[object, Inputs]] = {
    "rows alone": ({"inputs": [[1], [2]]}, Inputs([[1], [2]], None)),
    "rows with an answer for each": ({"inputs": [[1], [2]], "expected": [5, 6]}, Inputs([[1], [2]], [5, 6])),
    "as many rows as are sent at most": ({"inputs": 1000 * [[1]]}, Inputs(1000 * [[1]], None)),
    "what else stands there does not matter": ({"inputs": [[1]], "note": "x"}, Inputs([[1]], None)),
}
BAD: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"3",
    "a list": b"[]",
    "no inputs": b'{"expected": [1]}',
    "no row": b'{"inputs": []}',
    "a text in place of rows": b'{"inputs": "12"}',
    "an object in place of rows": b'{"inputs": {"a": 1}}',
    "a number in place of rows": b'{"inputs": 3}',
    "more answers than rows": b'{"inputs": [[1]], "expected": [1, 2]}',
    "fewer answers than rows": b'{"inputs": [[1], [2]], "expected": [1]}',
    "no answer for any row": b'{"inputs": [[1]], "expected": []}',
    "a text in place of answers": b'{"inputs": [[1]], "expected": "1"}',
    "more rows than are sent": json.dumps({"inputs": 1001 * [[1]]}).encode(),
    "nested beyond all measure": b'{"inputs": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("sentence", GOOD)
def test_a_probe_file_that_is_taken(sentence: str) -> None:
    document, inputs = GOOD[sentence]
    assert read_inputs("probes/rows.json", json.dumps(document).encode()) == inputs


@pytest.mark.parametrize("sentence", BAD)
def test_a_probe_file_that_is_refused_is_named(sentence: str) -> None:
    with pytest.raises(Refused, match=r"^probes/rows\.json: "):
        read_inputs("probes/rows.json", BAD[sentence])
