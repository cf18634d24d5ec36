"""Whatever the bytes are, diagnostics come back, and limits hold."""

from __future__ import annotations

import json
from contextlib import suppress

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired.parse import parse_file
from reconciler.desired.pipeline import NotAPipeline, read_pipeline
from reconciler.desired.render import render
from reconciler.desired.yaml_nodes import read_documents
from tests.desired.world import PIPELINE, model, state_of

_PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            ":",
            " ",
            "  ",
            "\n",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&x ",
            "*x",
            "<<: ",
            "!t ",
            "|",
            '"',
            "'",
            "#",
        ),
        *("?", "---\n", "...\n", "\t", "1e3", "0x", "yes", "~", "2026-01-01", "spec:", "metadata:", "name: iris"),
        *("\ufeff", "é"),
    ]
)
_HEADER = "apiVersion: reconciler.dev/v1alpha1\nkind: Model\n"
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00\x85"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef yes123.", max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.binary(max_size=300))
def test_any_bytes_give_diagnostics_at_most(data: bytes) -> None:
    for diagnostic in parse_file("m.yaml", data).diagnostics:
        assert render(diagnostic)


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_text_that_looks_like_yaml_gives_diagnostics_at_most(text: str) -> None:
    for diagnostic in state_of({"m.yaml": _HEADER + text, "ok.yaml": model("other")}).diagnostics:
        assert render(diagnostic)
        assert diagnostic.path == "m.yaml"


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_any_package_is_a_pipeline_or_not(text: str) -> None:
    with suppress(NotAPipeline):
        assert isinstance(read_pipeline((PIPELINE + text).encode()), dict)


@given(st.dictionaries(st.sampled_from(["training", "promotion", "serving", "rollout", "retention", "x"]), _JSON))
def test_any_spec_is_taken_or_explained(spec: dict[str, object]) -> None:
    text = _HEADER + "metadata: {name: iris}\nspec: " + json.dumps(spec)
    state = state_of({"m.yaml": text})
    assert bool(state.models) != bool([d for d in state.diagnostics if d.severity.value == "error"])
    for diagnostic in state.diagnostics:
        assert diagnostic.line
        assert render(diagnostic)


@settings(max_examples=200)
@given(_JSON)
def test_what_yaml_writes_is_read_as_it_was(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    (document,) = read_documents(text.encode()) if value is not None else read_documents(b"null")
    assert document.value == value
    assert document.problems == []
