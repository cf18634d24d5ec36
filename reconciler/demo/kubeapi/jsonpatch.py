"""Apply JSON patches (RFC 6902)."""

from typing import Any

from reconciler.demo.kubeapi.errors import ApiError, bad_request
from reconciler.demo.kubeapi.objects import JsonObject, deep_copy


def json_patch(document: JsonObject, operations: list[JsonObject]) -> JsonObject:
    """Return the document after all operations; raise 422 where one does not fit."""
    patched = deep_copy(document)
    for operation in operations:
        try:
            _run(patched, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            message = f"the JSON patch operation {operation} does not fit the object: {error}"
            raise ApiError(422, "Invalid", message) from error
    return patched


def _run(document: JsonObject, operation: JsonObject) -> None:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            _add(document, path, operation["value"])
        case "remove":
            _remove(document, path)
        case "replace":
            _remove(document, path)
            _add(document, path, operation["value"])
        case "move":
            _add(document, path, _remove(document, _pointer(operation["from"])))
        case "copy":
            _add(document, path, deep_copy({"": _get(document, _pointer(operation["from"]))})[""])
        case "test":
            if _get(document, path) != operation["value"]:
                raise ValueError(f"test failed at {operation['path']}")
        case other:
            raise bad_request(f"unknown JSON patch operation {other!r}")


def _pointer(text: str) -> list[str]:
    if not text.startswith("/"):
        raise bad_request(f"a JSON pointer starts with '/': {text!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _step(node: Any, token: str) -> Any:
    return node[int(token)] if isinstance(node, list) else node[token]


def _get(document: Any, path: list[str]) -> Any:
    for token in path:
        document = _step(document, token)
    return document


def _add(document: Any, path: list[str], value: Any) -> None:
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        parent[last] = value


def _remove(document: Any, path: list[str]) -> Any:
    parent, last = _get(document, path[:-1]), path[-1]
    return parent.pop(int(last)) if isinstance(parent, list) else parent.pop(last)
