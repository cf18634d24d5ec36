"""What the KFP API v2beta1 knows, as the client that KFP generates from it tells: paths, queries and bodies."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api

from tests.systems.training.kfp_server import Call

PREFIX = "/apis/v2beta1"
_SERVICES = (
    kfp_server_api.RunServiceApi,
    kfp_server_api.ExperimentServiceApi,
    kfp_server_api.PipelineServiceApi,
)
_CALLED = re.compile(r"call_api\(\s*'([^']+)', '([A-Z]+)'")
_QUERIED = re.compile(r"query_params\.append\(\('([^']+)'")
_BODY = re.compile(r":type \w+: (V2beta1\w+)")
_KIND = re.compile(r"(?:list\[)?(V2beta1\w+)\]?")
_SORTED_BY = {"created_at", "display_name", "name", "id"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One call that the API knows; `body` is the class of what is sent with it."""

    method: str
    path: re.Pattern[str]
    query: frozenset[str]
    body: str | None


def _operations() -> Iterator[Operation]:
    for service in _SERVICES:
        for name, function in inspect.getmembers(service, inspect.isfunction):
            if not name.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            called, body = _CALLED.search(source), _BODY.search(source)
            assert called, f"the generated client's {name} is not written as expected"
            path = re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(called[1].removeprefix(PREFIX))))
            yield Operation(called[2], path, frozenset(_QUERIED.findall(source)), body[1] if body else None)


OPERATIONS = tuple(_operations())


def check(call: Call) -> None:
    """Hold that a request is one that the API knows, in its path, method, query and body."""
    known = [o for o in OPERATIONS if o.method == call.method and o.path.fullmatch(call.path)]
    assert known, f"KFP knows no {call.method} {call.path}"
    (operation,) = known
    assert call.query.keys() <= operation.query, f"{call.path}: {call.query.keys() - operation.query}"
    if call.body:
        assert operation.body, f"{call.method} {call.path} takes no body"
        check_fields(call.body, operation.body)
    _check_list(call.query)


def check_fields(value: Mapping[str, Any], kind: str) -> None:
    """Hold that an object has only the fields of that class, all the way down."""
    shape = getattr(kfp_server_api, kind)
    types = {shape.attribute_map[name]: type_ for name, type_ in shape.openapi_types.items()}
    for name, each in value.items():
        assert name in types, f"{kind} has no {name}"
        inner = _KIND.fullmatch(types[name])
        for item in each if isinstance(each, list) else [each]:
            if inner and isinstance(item, Mapping):
                check_fields(item, inner[1])


def _check_list(query: Mapping[str, str]) -> None:
    field, _, order = query.get("sort_by", "created_at asc").partition(" ")
    assert field in _SORTED_BY, f"lists are not sorted by {field}"
    assert order in {"asc", "desc"}, f"lists are not sorted {order}"
    assert 0 < int(query.get("page_size", "1")) <= 200, "the server cuts pages at 200 items"
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
        words = {re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", key): v for key, v in predicate.items()}
        check_fields(words, "V2beta1Predicate")
        assert words["operation"] in kfp_server_api.V2beta1PredicateOperation.allowable_values
