"""Match objects by label selectors and field selectors."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from reconciler.demo.kubeapi.errors import bad_request
from reconciler.demo.kubeapi.objects import JsonObject, metadata

Predicate = Callable[[JsonObject], bool]

_REQUIREMENT = re.compile(
    r"""\s*(?:
        (?P<absent>!\s*[\w./-]+)
      | (?P<set_key>[\w./-]+)\s+(?P<set_op>in|notin)\s*\((?P<values>[^)]*)\)
      | (?P<key>[\w./-]+)\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)
      | (?P<present>[\w./-]+)
    )\s*(?:,|$)""",
    re.VERBOSE,
)
_Labels = Mapping[str, str]


def label_selector(text: str) -> Predicate:
    """Compile an equality- or set-based label selector; raise 400 where it cannot be read."""
    tests = []
    position = 0
    while position < len(text):
        found = _REQUIREMENT.match(text, position)
        if not found or found.end() == position:
            raise bad_request(f"unable to parse label selector {text!r} at {text[position:]!r}")
        tests.append(_label_test(found))
        position = found.end()
    return lambda obj: _all(tests, metadata(obj).get("labels") or {})


def _all(tests: list[Callable[[_Labels], bool]], labels: _Labels) -> bool:
    return all(test(labels) for test in tests)


def _label_test(found: re.Match[str]) -> Callable[[_Labels], bool]:
    if absent := found["absent"]:
        missing = absent[1:].strip()
        return lambda labels: missing not in labels
    if key := found["set_key"]:
        values = {value.strip() for value in found["values"].split(",")}
        if found["set_op"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: key not in labels or labels[key] not in values
    if key := found["key"]:
        value = found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    present = found["present"]
    return lambda labels: present in labels


def field_selector(text: str, selectable: Collection[str]) -> Predicate:
    """Compile a field selector over the fields a resource allows; raise 400 for others."""
    tests = [_field_test(part, selectable) for part in text.split(",") if part.strip()]
    return lambda obj: all(test(obj) for test in tests)


def _field_test(part: str, selectable: Collection[str]) -> Predicate:
    found = re.fullmatch(r"\s*([\w.]+)\s*(==|=|!=)\s*(.*?)\s*", part)
    if not found:
        raise bad_request(f"invalid field selector {part!r}: expected field=value or field!=value")
    path, operator, value = found.groups()
    if path not in selectable:
        raise bad_request(f"field label not supported: {path}; supported: {', '.join(sorted(selectable))}")
    if operator == "!=":
        return lambda obj: _value_at(obj, path) != value
    return lambda obj: _value_at(obj, path) == value


def _value_at(obj: JsonObject, path: str) -> str:
    found: Any = obj
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else str(found)
