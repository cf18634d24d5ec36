"""A compiled Kubeflow pipeline, as far as a spec must agree with it: its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.desired.yaml_nodes import Unparsable, read_documents

# The reconciler fills these where a pipeline declares them.
FILLED = frozenset(
    ("reconciler_training_key", "reconciler_registered_model", "reconciler_mlflow_tracking_uri", "reconciler_claim")
)
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "STRING": ((str,), "text"),
    "BOOLEAN": ((bool,), "true or false"),
    "NUMBER_INTEGER": ((int,), "a whole number"),
    "NUMBER_DOUBLE": ((int, float), "a number"),
    "LIST": ((list,), "a list"),
    "STRUCT": ((dict,), "a mapping"),
}


class NotAPipeline(Exception):  # noqa: N818  it carries a sentence
    """The file is no compiled pipeline; `advice` is what to do next."""

    def __init__(self, message: str, advice: str = "compile it with kfp.compiler and commit the result") -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input of a pipeline: `type` is KFP's name of it, such as NUMBER_DOUBLE."""

    type: str
    required: bool


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A parameter that a spec and a pipeline do not agree on; `name` is None where it is missing."""

    name: str | None
    code: str
    message: str
    wanted: str = ""


def read_pipeline(data: bytes) -> Mapping[str, Parameter]:
    """Return the inputs that a compiled pipeline declares. Raises NotAPipeline."""
    try:
        document = next(iter(read_documents(data)), None)
    except Unparsable as error:
        place = error.problem.place
        raise NotAPipeline(f"it is not YAML (line {place.line}): {error.problem.message}") from error
    spec = document.value if document else None
    if not isinstance(spec, dict):
        raise NotAPipeline("it holds no mapping")
    if spec.get("kind") == "Workflow":
        raise NotAPipeline("it is an Argo workflow of KFP 1", "compile it with KFP 2, which writes the pipeline spec")
    missing = [key for key in ("pipelineInfo", "root", "components", "deploymentSpec") if key not in spec]
    if missing or not isinstance(spec["root"], dict):
        raise NotAPipeline(f"it is no compiled KFP pipeline: {', '.join(missing) or 'a mapping at root'} is missing")
    return _inputs(spec["root"])


def _inputs(root: Mapping[str, Any]) -> dict[str, Parameter]:
    definitions = root.get("inputDefinitions") or {}
    declared = definitions.get("parameters") if isinstance(definitions, dict) else None
    return {
        name: Parameter(
            str(parameter.get("parameterType", "")),
            required="defaultValue" not in parameter and not parameter.get("isOptional"),
        )
        for name, parameter in (declared or {}).items()
        if isinstance(parameter, dict)
    }


def mismatches(given: Mapping[str, Any], declared: Mapping[str, Parameter]) -> Iterator[Mismatch]:
    """Yield every parameter that is not declared, of another type, or missing."""
    for name, value in given.items():
        if name not in declared:
            yield Mismatch(name, "unknown-parameter", f"the pipeline has no parameter {name}")
            continue
        kinds, wanted = _TYPES.get(declared[name].type, ((object,), ""))
        if not _fits(value, kinds):
            yield Mismatch(name, "parameter-type", f"the pipeline's parameter {name} must be {wanted}", wanted)
    for name, parameter in declared.items():
        if parameter.required and name not in given and name not in FILLED:
            yield Mismatch(None, "missing-parameter", f"the pipeline needs the parameter {name}")


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds or object in kinds
    # JSON does not tell 50.0 from 50, and neither does KFP.
    whole = isinstance(value, float) and value.is_integer() and int in kinds
    return whole or isinstance(value, kinds)
