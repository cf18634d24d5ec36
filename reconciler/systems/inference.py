"""The Open Inference Protocol (V2) and KServe's V1: one row out, one answer in. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from reconciler.errors import Refused
from reconciler.ports import ProbeTarget


class Malformed(ValueError):  # noqa: N818  a state of an answer
    """The answer is not what the protocol says."""


def request_for(target: ProbeTarget, row: Any) -> tuple[str, bytes]:
    """Return address and body of the request for one row. Raises Refused for a row that cannot be sent."""
    base, model = target.url.rstrip("/"), quote(target.model, safe="")
    match target.protocol:
        case "v1":
            return f"{base}/v1/models/{model}:predict", _body({"instances": [row]})
        case "v2":
            return f"{base}/v2/models/{model}/infer", _body(_v2(row))
        case _:
            raise ValueError(f"protocol {target.protocol!r}: expected v1 or v2")


def answer_of(protocol: str, content: bytes) -> Any:
    """Return the one answer as a plain value. Raises Malformed."""
    try:
        answer = json.loads(content, parse_constant=_finite, parse_float=_finite)
        value = _v1_answer(answer) if protocol == "v1" else _v2_answer(answer)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Refused) as error:
        raise Malformed("not an answer to one row") from error
    if value is None:
        raise Malformed("the answer is null")
    return value


def _finite(text: str) -> float:
    """Read a number; JSON has no NaN, and no number that is infinite once it is read."""
    value = float(text)
    if not math.isfinite(value):
        raise Malformed(f"{text} is no number")
    return value


def _body(value: object) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise Refused(f"a probe row cannot be sent as JSON: {error}", help="use finite numbers and text") from error


def _v2(row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        inputs = [_tensor(str(name), value) for name, value in row.items()]
        # Tells KServe's and MLServer's runtimes that the inputs are columns of one table.
        return {"parameters": {"content_type": "pd"}, "inputs": inputs}
    return {"inputs": [_tensor("input-0", row)]}


def _tensor(name: str, value: Any) -> dict[str, Any]:
    values, shape = _flat(value)
    shape = [1, *shape] if shape else [1, 1]
    return {"name": name, "shape": shape, "datatype": _datatype(name, values), "data": values}


def _flat(value: Any) -> tuple[list[Any], list[int]]:
    if not isinstance(value, list | tuple):
        return [value], []
    parts = [_flat(v) for v in value]
    shapes = {tuple(shape) for _, shape in parts}
    if len(shapes) > 1:
        raise Refused("a probe row is ragged: its nested lists differ in length")
    return [v for values, _ in parts for v in values], [len(parts), *next(iter(shapes), ())]


def _datatype(name: str, values: Sequence[Any]) -> str:
    kinds = {type(v) for v in values}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    if kinds and kinds <= {int, float}:
        return "FP64"
    if kinds == {str}:
        return "BYTES"
    found = ", ".join(sorted(k.__name__ for k in kinds)) or "nothing"
    raise Refused(
        f"a probe row's {name} mixes types that one V2 tensor cannot carry: {found}",
        help='give the row as named columns, such as {"sepal_length": 5.1, "colour": "red"}',
    )


def _v1_answer(answer: Any) -> Any:
    predictions = answer["predictions"]
    if isinstance(predictions, dict):
        return {str(k): _single(v) for k, v in predictions.items()}
    return _single(predictions)


def _single(values: Any) -> Any:
    if not isinstance(values, list) or len(values) != 1:
        raise Malformed("expected one prediction for one row")
    return values[0]


def _v2_answer(answer: Any) -> Any:
    outputs = {str(output["name"]): _output(output) for output in answer["outputs"]}
    if not outputs:
        raise Malformed("no outputs")
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _is_shape(shape: Any) -> bool:
    """Tell whether it is the shape of one row's answer; multiplying anything else could fill the memory."""
    if not isinstance(shape, list) or not 1 <= len(shape) <= _MOST_AXES or shape[0] != 1:
        return False
    return all(type(size) is int and 0 <= size <= _LARGEST_AXIS for size in shape)


_MOST_AXES, _LARGEST_AXIS = 16, 2**31


def _output(output: Any) -> Any:
    data, shape = output["data"], output["shape"]
    values = _flat(data)[0]
    if not isinstance(data, list) or not values or not _is_shape(shape) or len(values) != math.prod(shape):
        raise Malformed("data and shape do not agree")
    return values[0] if len(values) == 1 else values
