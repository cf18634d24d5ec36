"""What a compiled pipeline declares, and the arguments that fit it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from reconciler.errors import Refused
from reconciler.observed import Package
from reconciler.systems.training.package import Compiled, Input, arguments, caches, read_package, uncached
from reconciler.systems.training.package import without_credentials as without
from tests.systems.training.conftest import request

TYPES = {
    "whole": Input("NUMBER_INTEGER", required=False),
    "number": Input("NUMBER_DOUBLE", required=False),
    "text": Input("STRING", required=False),
    "flag": Input("BOOLEAN", required=False),
    "list": Input("LIST", required=False),
    "map": Input("STRUCT", required=False),
}
PACKAGE = Package("pipelines/x.yaml", b"")


def fit(given: dict[str, Any], inputs: dict[str, Input]) -> dict[str, Any]:
    return arguments(Compiled({}, None, inputs), request(PACKAGE, given), "http://ana:secret@mlflow:5000/a")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"whole": 3}, {"whole": 3}),
        ({"whole": 3.0}, {"whole": 3}),
        ({"number": 3}, {"number": 3.0}),
        ({"text": "3"}, {"text": "3"}),
        ({"flag": True}, {"flag": True}),
        ({"list": [1]}, {"list": [1]}),
        ({"map": {"a": 1}}, {"map": {"a": 1}}),
    ],
)
def test_a_value_is_sent_as_the_pipeline_declares(given: dict[str, Any], sent: dict[str, Any]) -> None:
    fitted = fit(given, TYPES)
    assert fitted == sent
    assert [type(value) for value in fitted.values()] == [type(value) for value in sent.values()]


@pytest.mark.parametrize(
    ("given", "help_"),
    [
        ({"whole": 3.5}, "write a whole number"),
        ({"whole": True}, "write a whole number"),
        ({"number": float("nan")}, "write a number"),
        ({"number": "3"}, "write a number"),
        ({"text": 3}, 'write "3" in quotes'),
        ({"flag": "yes"}, "write true or false"),
        ({"list": None}, "write a list"),
        ({"map": []}, "write a mapping"),
        ({"numbr": 3}, "did you mean number?"),
        ({"zzz": 3}, "it declares whole, number, text, flag, list, map"),
        ({"reconciler_claim": "x"}, "leave it out"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_advice(given: dict[str, Any], help_: str) -> None:
    with pytest.raises(Refused, match=next(iter(given))) as refused:
        fit(given, TYPES)
    assert refused.value.help == help_


def test_a_parameter_without_default_must_be_given() -> None:
    with pytest.raises(Refused, match="the pipeline needs a, b"):
        fit({}, {"b": Input("STRING", required=True), "a": Input("STRING", required=True)})


def test_only_the_declared_ones_of_ours_are_filled() -> None:
    names = ("reconciler_training_key", "reconciler_registered_model", "reconciler_mlflow_tracking_uri")
    assert fit({}, {name: Input("STRING", required=True) for name in names}) == {
        "reconciler_training_key": "k1",
        "reconciler_registered_model": "iris-chef",
        "reconciler_mlflow_tracking_uri": "http://mlflow:5000/a",
    }


def test_no_password_is_left_in_an_address() -> None:
    assert without("https://u:p@host:1/x?y=1") == "https://host:1/x?y=1"
    assert without("sqlite:///tmp/x.db") == "sqlite:///tmp/x.db"


def test_a_real_package_is_read(packages: dict[str, Package]) -> None:
    read = read_package(packages["writes"])
    assert read.inputs == {
        "path": Input("STRING", required=True),
        "text": Input("STRING", required=False),
        "number": Input("NUMBER_INTEGER", required=False),
        "reconciler_claim": Input("STRING", required=False),
    }
    assert caches(read.spec)
    assert not caches(uncached(read.spec))


def test_tasks_of_nested_pipelines_do_without_the_cache_too(packages: dict[str, Package]) -> None:
    spec = read_package(packages["fails"]).spec
    nested = {**spec, "components": {"inner": spec["root"]}}
    assert "enableCache" not in yaml.safe_dump(uncached(nested))
    assert "enableCache" in yaml.safe_dump(nested)


def test_a_platform_spec_is_kept(packages: dict[str, Package]) -> None:
    content = packages["writes"].content + b"\n---\nplatforms: {kubernetes: {}}\n"
    assert read_package(Package("x", content)).platform == {"platforms": {"kubernetes": {}}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no compiled pipeline"),
        (b"[]", "no compiled pipeline"),
        (b"apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", "expected a mapping with pipelineInfo, root"),
        (b"{", "is no YAML"),
        (b"\xff\xfe\x00", "is no YAML"),
        (b"a: &a [1, 1]\nb: [*a, *a]\n", "holds YAML aliases"),
        (b"#" * (1 << 20) + b"#", "may have 1048576"),
    ],
)
def test_what_is_no_package_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        read_package(Package("pipelines/x.yaml", content))
