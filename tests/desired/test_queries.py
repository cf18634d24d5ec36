"""Queries of checks: variables, templates, and what a spec may not ask."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from reconciler.desired.checks import SHORTEST, Check
from reconciler.desired.queries import (
    VARIABLES,
    Flavour,
    TemplateName,
    can_tell,
    resolve,
    samples_query,
    template_query,
    unresolvable,
)
from tests.desired.world import model, state_of

VALUES = {name: f"<{name}>" for name in VARIABLES}


def test_variables_are_filled_in_with_and_without_blanks() -> None:
    assert resolve('x{a="{{revision}}"}[{{ window }}]', VALUES) == 'x{a="<revision>"}[<window>]'


def test_a_value_cannot_end_the_text_that_it_stands_in() -> None:
    odd = {**VALUES, "model": "a\"} or vector(0) #\\\n'`"}
    assert resolve('x{m="{{model}}"}', odd) == r"""x{m="a\x22} or vector(0) #\\\n\x27\x60"}"""


QUOTED: dict[str, tuple[str, str]] = {
    "double quotes": ('x{m="{{model}}"}', r'x{m="a\x27\x22\\"}'),
    "single quotes": ("x{m='{{model}}'}", r"x{m='a\x27\x22\\'}"),
    "backticks, which escape nothing": (r"x{m=~`\d+'{{ model }}`}", r'x{m=~"\\d+\x27a\x27\x22\\"}'),
    "backticks without anything to fill in": (r"x{m=~`\d`,n='{{window}}'}", r"x{m=~`\d`,n='<window>'}"),
    "backticks in quotes": ('x{m="`{{window}}`"}', 'x{m="`<window>`"}'),
    "backticks after a quote that is escaped": (
        r"""x{m="\"`",n='\'`{{window}}`'}""",
        r"""x{m="\"`",n='\'`<window>`'}""",
    ),
    "backticks after a quote in a comment": ("x # it's\n{m=`{{window}}`}", 'x # it\'s\n{m="<window>"}'),
}


@pytest.mark.parametrize("sentence", QUOTED)
def test_a_value_is_written_as_its_quotes_have_it(sentence: str) -> None:
    query, resolved = QUOTED[sentence]
    assert resolve(query, {**VALUES, "model": "a'\"\\"}) == resolved


def test_what_was_filled_in_is_not_filled_in_again() -> None:
    assert resolve("{{model}}", {**VALUES, "model": "{{revision}}"}) == "{{revision}}"


WRONG: dict[str, tuple[str, str, str]] = {
    "a name with a typo": ("x{a='{{revison}}'}", "revison", 'did you mean "revision"?'),
    "a name of something else": ("{{pod_ip_address}}", "pod_ip_address", "the variables are namespace"),
    "no name": ("x{{}}", "", "the variables are"),
    "braces without an end": ("{{revision", "", "no double braces of its own"),
    "braces without a beginning": ("revision}}", "", "no double braces of its own"),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_nobody_can_fill_in_is_told(sentence: str) -> None:
    query, found, help_ = WRONG[sentence]
    wrong = unresolvable(query)
    assert wrong is not None
    assert (wrong.found, help_ in wrong.help) == (found, True)


TEMPLATES = [(t, f) for t in get_args(TemplateName) for f in get_args(Flavour) if can_tell(t, f)]


def test_every_template_but_one_is_there_for_every_flavour() -> None:
    missing = {(t, f) for t in get_args(TemplateName) for f in get_args(Flavour)} - set(TEMPLATES)
    assert missing == {("error-rate", "kserve")}


@pytest.mark.parametrize(("template", "flavour"), TEMPLATES)
def test_a_template_uses_known_variables_and_tells_the_sides_apart(template: TemplateName, flavour: Flavour) -> None:
    for query in (template_query(template, flavour), samples_query(flavour)):
        assert unresolvable(query) is None
        other = {**VALUES, "revision": "another", "workload": "another-deployment"}
        assert resolve(query, VALUES) != resolve(query, other)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "neither a query nor a template": ({"max": 1}, "either `query` or `template`"),
    "a share in percent": (
        {"template": "error-rate", "flavour": "istio", "max": 5}, "between 0 and 1: it is never above 5",
    ),
    "a share below zero": (
        {"template": "error-rate", "flavour": "istio", "max": -1}, "between 0 and 1: it is never -1 or less",
    ),
    "a least share above one": (
        {"template": "error-rate", "flavour": "istio", "min": 1.5}, "between 0 and 1: it is never above 1.5",
    ),
    "both": ({"query": "up", "template": "error-rate", "flavour": "istio", "max": 1}, "either `query` or `template`"),
    "a template without a flavour": ({"template": "error-rate", "max": 1}, "needs a flavour"),
    "a query with a flavour": ({"query": "up", "flavour": "istio", "max": 1}, "a query names its own"),
    "no limit": ({"query": "up"}, "max, min or maxIncrease"),
    "an unknown variable": ({"query": "x{a='{{pod}}'}", "max": 1}, "there is no variable {{pod}}"),
    "an unknown variable in samples": ({"query": "up", "samples": "{{x}}", "max": 1}, "there is no variable {{x}}"),
    "error rates of KServe's servers": (
        {"template": "error-rate", "flavour": "kserve", "max": 1}, "have no error-rate",
    ),
    "a limit at the end of the histogram": (
        {"template": "latency-p95", "flavour": "kserve", "max": 10}, "histograms of kserve end at 10 s: no value is",
    ),
    "a limit beyond it": ({"template": "latency-p99", "flavour": "knative", "max": 200}, "end at 100 s"),
    "samples beside a template": (
        {"template": "error-rate", "flavour": "istio", "samples": "up", "max": 1}, "counts its requests by itself",
    ),
    "a window of nothing": ({"query": "up", "max": 1, "window": "0s"}, "a window spans 1s at least"),
    "an increase in no way": ({"query": "up", "maxIncrease": {}}, "either `relative` or `absolute`"),
    "an increase in two ways": (
        {"query": "up", "maxIncrease": {"relative": 1.0, "absolute": 1.0}}, "either `relative` or `absolute`",
    ),
    "limits that nothing keeps": ({"query": "up", "min": 2, "max": 1}, "nothing is at least 2 and at most 1"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_a_prometheus_check_cannot_ask(sentence: str) -> None:
    document, words = REFUSED[sentence]
    with pytest.raises(ValidationError) as error:
        Check.model_validate({"name": "a", "prometheus": document})
    assert words in str(error.value)


@pytest.mark.parametrize(
    "document",
    [
        {"template": "latency-p95", "flavour": "knative-otel", "max": 9.9},
        {"template": "latency-p95", "flavour": "istio", "max": 3599},
        {"template": "request-rate", "flavour": "kserve", "max": 1000},
        {"query": "up", "max": 1000},
    ],
)
def test_a_limit_that_can_be_exceeded_is_taken(document: dict[str, object]) -> None:
    Check.model_validate({"name": "a", "prometheus": document})


def test_a_limit_beyond_the_histogram_is_told_with_its_place_and_what_to_do() -> None:
    spec = """
    rollout:
      analysis:
        - name: slow
          prometheus: {template: latency-p95, flavour: knative-otel, max: 200}
    """
    (diagnostic,) = state_of({"m.yaml": model(spec=spec)}).diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == ("beyond-histogram", 9, 73)
    assert diagnostic.help == "a latency's max is in seconds: write less than 10, or a query of your own"


@pytest.mark.parametrize("kinds", [{}, {"prometheus": {"query": "up", "max": 1}, "probe": {"inputs": {"file": "a"}}}])
def test_a_check_has_exactly_one_kind(kinds: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="exactly one kind"):
        Check.model_validate({"name": "a", **kinds})


@pytest.mark.parametrize("interval", ["0s", "999ms"])
def test_no_check_is_made_more_often_than_once_a_second(interval: str) -> None:
    asked = {"name": "own", "job": {"image": "tests:1"}}
    with pytest.raises(ValidationError, match="between two measurements lies 1s at least"):
        Check.model_validate({**asked, "interval": interval})
    assert Check.model_validate({**asked, "interval": "1s"}).interval == SHORTEST


def test_a_job_has_no_samples_to_count() -> None:
    with pytest.raises(ValidationError, match="a job is run once a step: it has no samples to count"):
        Check.model_validate({"name": "own", "minSamples": 5, "job": {"image": "tests:1"}})


def test_samples_needed_are_requests_where_somebody_counts_them() -> None:
    def needed(**prometheus: object) -> int:
        return Check.model_validate({"name": "a", "prometheus": {"max": 1, **prometheus}}).samples_needed

    assert needed(query="up") == 1
    assert needed(query="up", samples="up") == needed(template="error-rate", flavour="istio") == 20
