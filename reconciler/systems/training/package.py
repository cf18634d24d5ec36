"""Compiled Kubeflow pipelines: what they declare, and the arguments to run them with."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from reconciler.desired.yaml_nodes import Unparsable, read_documents
from reconciler.errors import Refused
from reconciler.observed import Package, TrainingRequest

MAX_BYTES = 1 << 20

RESERVED = (
    "reconciler_training_key",
    "reconciler_registered_model",
    "reconciler_mlflow_tracking_uri",
    "reconciler_claim",
)

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter that a pipeline declares: `type` is KFP's name of it, such as NUMBER_INTEGER."""

    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled pipeline: its spec, its platform spec (None in most), and its inputs by name."""

    spec: Spec
    platform: Spec | None
    inputs: Mapping[str, Input]


def read_package(package: Package) -> Compiled:
    """Read a compiled package. Raises Refused when it is none."""
    if len(package.content) > MAX_BYTES:
        raise Refused(f"{package.path} has {len(package.content)} bytes; a compiled pipeline may have {MAX_BYTES}")
    try:
        # With limits and before anything else: libyaml's constructor follows nesting until the process dies of it.
        documents = list(read_documents(package.content))
        if b"*" in package.content and _has_aliases(package.content):
            raise Refused(f"{package.path} holds YAML aliases, which compiled pipelines never do", help=_COMPILE)
    except (yaml.YAMLError, ValueError) as error:
        raise Refused(f"{package.path} is no YAML: {error}", help=_COMPILE) from error
    except Unparsable as error:
        place, message = error.problem.place, error.problem.message
        raise Refused(f"{package.path} is no YAML (line {place.line}): {message}", help=_COMPILE) from error
    for problem in (problem for document in documents for problem in document.problems):
        raise Refused(f"{package.path}, line {problem.place.line}: {problem.message}", help=_COMPILE)
    values = [document.value for document in documents]
    platform = next((d for d in values[1:] if isinstance(d, dict) and "platforms" in d), None)
    return compiled(values[0] if values else None, platform, package.path)


def _has_aliases(content: bytes) -> bool:
    """Tell whether there are aliases: the compiler writes none, and a few of them can unfold to gigabytes."""
    return any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, Loader=yaml.CSafeLoader))


_COMPILE = "compile the pipeline with kfp's compiler and commit the YAML that it writes"


def compiled(spec: object, platform: Spec | None, where: str) -> Compiled:
    """Check a pipeline spec given as a mapping. Raises Refused when it is none."""
    if not isinstance(spec, dict) or not all(isinstance(spec.get(k), dict) for k in _PARTS):
        raise Refused(f"{where} is no compiled pipeline: expected a mapping with {', '.join(_PARTS)}", help=_COMPILE)
    declared = _mapping(_mapping(spec["root"], "inputDefinitions"), "parameters")
    inputs = {str(name): _input(definition) for name, definition in declared.items()}
    return Compiled(spec, platform, inputs)


_PARTS = ("pipelineInfo", "root", "deploymentSpec")


def _mapping(holder: object, field: str) -> Mapping[str, Any]:
    value = holder.get(field) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def _input(definition: object) -> Input:
    fields = definition if isinstance(definition, dict) else {}
    return Input(str(fields.get("parameterType", "")), "defaultValue" not in fields and not fields.get("isOptional"))


def arguments(pipeline: Compiled, request: TrainingRequest, tracking_uri: str) -> dict[str, Any]:
    """Return every argument of the run, typed as the pipeline declares; raises Refused when they do not fit."""
    filled = {
        "reconciler_training_key": request.key,
        "reconciler_registered_model": request.registered_model,
        "reconciler_mlflow_tracking_uri": without_credentials(tracking_uri),
        "reconciler_claim": f"{request.model}/{request.key}/{request.attempt}",
    }
    given = {name: value for name, value in filled.items() if name in pipeline.inputs}
    for name, value in request.parameters.items():
        if name in RESERVED:
            raise Refused(f"training.parameters.{name} is filled by the reconciler", help="leave it out")
        if name not in pipeline.inputs:
            raise _unknown(name, pipeline)
        given[name] = _typed(name, value, pipeline.inputs[name].type)
    missing = sorted(name for name, each in pipeline.inputs.items() if each.required and name not in given)
    if missing:
        raise Refused(f"the pipeline needs {', '.join(missing)}", help="add it to spec.training.parameters")
    return given


def without_credentials(uri: str) -> str:
    """Drop user and password from a URI: arguments of a run are shown to everybody who sees the run."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _unknown(name: str, pipeline: Compiled) -> Refused:
    known = [each for each in pipeline.inputs if each not in RESERVED]
    near = difflib.get_close_matches(name, known, 1)
    help_ = f"did you mean {near[0]}?" if near else f"it declares {', '.join(known) or 'no parameters'}"
    return Refused(f"training.parameters.{name} is no parameter of the pipeline", help=help_)


def _typed(name: str, value: Any, kind: str) -> Any:
    match kind, value:
        case "NUMBER_INTEGER", int() if not isinstance(value, bool):
            return value
        case "NUMBER_INTEGER", float() if value.is_integer():
            return int(value)
        case "NUMBER_DOUBLE", int() | float() if not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        case ("STRING", str()) | ("BOOLEAN", bool()) | ("LIST", list()) | ("STRUCT", dict()):
            return value
    expected = _WORDS.get(kind, kind)
    raise Refused(
        f"training.parameters.{name} is {value!r}, but the pipeline declares {expected}",
        help=f'write "{value}" in quotes' if kind == "STRING" else f"write {expected}",
    )


_WORDS = {
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "STRING": "a string",
    "BOOLEAN": "true or false",
    "LIST": "a list",
    "STRUCT": "a mapping",
}


def uncached(spec: Spec) -> Spec:
    """Return a copy of a pipeline spec in which no task takes an older run's result for its own."""
    fresh = {**spec, "root": _uncached_dag(spec["root"])}
    components = _mapping(spec, "components")
    return {**fresh, "components": {name: _uncached_dag(each) for name, each in components.items()}}


def caches(spec: Spec) -> bool:
    """Tell whether any task of a pipeline may take an older run's result."""
    return uncached(spec) != spec


def _uncached_dag(component: Spec) -> Spec:
    dag = _mapping(component, "dag")
    if not dag:
        return component
    tasks = {
        name: {**task, "cachingOptions": {}} if isinstance(task, dict) else task
        for name, task in _mapping(dag, "tasks").items()
    }
    return {**component, "dag": {**dag, "tasks": tasks}}
