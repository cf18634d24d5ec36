"""pydantic's validation errors as diagnostics: what, where, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.desired.base import Document
from reconciler.desired.duration import NotADuration
from reconciler.desired.fields import is_union_step, suggest
from reconciler.desired.parse import ParsedFile, RawDocument, field_text
from reconciler.desired.state import Diagnostic, Severity
from reconciler.desired.yaml_nodes import FieldPath, Place
from reconciler.desired.yaml_scalars import explain as explain_scalar
from reconciler.desired.yaml_scalars import quoted

_JSON_NAMES = {"str": "text", "bool": "true or false", "NoneType": "null", "dict": "a mapping", "list": "a list"}
_WANTED = {
    "string_type": ("not-text", "must be text"),
    "int_type": ("not-a-number", "must be a whole number"),
    "int_from_float": ("not-a-number", "must be a whole number"),
    "float_type": ("not-a-number", "must be a number"),
    "bool_type": ("not-a-flag", "must be true or false"),
    "dict_type": ("not-a-mapping", "must be a mapping"),
    "model_type": ("not-a-mapping", "must be a mapping"),
    "model_attributes_type": ("not-a-mapping", "must be a mapping"),
    "tuple_type": ("not-a-list", "must be a list"),
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
    "string_too_long": ("at most this many characters long:", "max_length"),
    "string_too_short": ("at least this many characters long:", "min_length"),
}


# Nobody reads more, and each one is looked up in the file.
_MOST_EXPLAINED = 50


@dataclass(frozen=True, slots=True)
class Origin:
    """Where values come from: a document, and the policy whose defaults lie under it."""

    file: ParsedFile
    document: RawDocument
    policy: Origin | None = None

    def report(
        self,
        code: str,
        message: str,
        field: FieldPath,
        *,
        advice: str = "",
        label: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Diagnostic:
        """Return a diagnostic at the value of a field, or at what is nearest to it."""
        file, place = self.find(field)
        return file.diagnostic(code, message, place, field, advice=advice, label=label, severity=severity)

    def report_key(self, code: str, message: str, field: FieldPath, advice: str) -> Diagnostic:
        """Return a diagnostic at the key of a field."""
        origin, path = self._owner(field)
        place = origin.file.key_place(origin.document, path)
        return origin.file.diagnostic(code, message, place, field, advice=advice)

    def find(self, field: FieldPath) -> tuple[ParsedFile, Place]:
        """Return the file and the place of a field's value."""
        origin, path = self._owner(field)
        return origin.file, origin.file.place(origin.document, path)[0]

    def _owner(self, field: FieldPath) -> tuple[Origin, FieldPath]:
        reached = self.file.place(self.document, field)[1]
        if self.policy is not None and field[:1] == ("spec",) and reached < len(field):
            path = ("spec", "defaults", *field[1:])
            if self.policy.file.place(self.policy.document, path)[1] - 1 > reached:
                return self.policy, path
        return self, field


def explain(error: ValidationError, root: type[Document], origin: Origin) -> tuple[Diagnostic, ...]:
    """Turn every error of a document into a diagnostic, in the order of the file."""
    details = error.errors(include_url=False)
    found = {_one(detail, root, origin): None for detail in details[:_MOST_EXPLAINED]}
    return tuple(sorted(found, key=lambda d: (d.path, d.line, d.column)))


def _one(detail: ErrorDetails, root: type[Document], origin: Origin) -> Diagnostic:
    location = detail["loc"]
    field: FieldPath = tuple(step for step in location if not is_union_step(step))
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_field(location, field, root, origin)
    if kind == "missing":
        return _missing(field, origin)
    if kind in _WANTED:
        return _wrong_type(detail, field, origin)
    explained = _EXPLAINED.get(kind, _other)
    return explained(detail, field, origin)


def _unknown_field(location: Sequence[str | int], field: FieldPath, root: type[Document], origin: Origin) -> Diagnostic:
    wrong = str(field[-1])
    where = field_text(field[:-1]) or "the document"
    advice = suggest(wrong, root, location[:-1])
    return origin.report_key("unknown-field", f'there is no field "{wrong}" in {where}', field, advice)


def _missing(field: FieldPath, origin: Origin) -> Diagnostic:
    parent = field[:-1]
    where = field_text(parent) or "the document"
    diagnostic = origin.report("missing-field", f'the field "{field[-1]}" is missing in {where}', parent)
    return replace(diagnostic, field=field_text(field), help=f"add {field[-1]}: to {where}")


def _wrong_type(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    code, wanted = _WANTED[detail["type"]]
    value = detail["input"]
    is_a = _JSON_NAMES.get(type(value).__name__, "a number")
    _, place = origin.find(field)
    advice = _as_meant(place, value, detail["type"])
    return origin.report(code, f"{field_text(field)} {wanted}, not {is_a}", field, advice=advice)


def _as_meant(place: Place, value: object, kind: str) -> str:
    """Explain how YAML read the text, where that is the likely cause."""
    if place.text is None:
        quoted_number = kind in ("int_type", "float_type", "bool_type") and isinstance(value, str)
        return "write it without quotes" if quoted_number else ""
    is_text = isinstance(value, str)
    return explain_scalar(place.text) if is_text == (kind != "string_type") else ""


def _limit(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    words, key = _LIMITS[detail["type"]]
    limit = detail["ctx"][key]
    shown = _shown(detail["input"])
    if key == "min_length" and limit == 1:
        return origin.report("empty", f"{field_text(field)} must not be empty", field)
    return origin.report("out-of-range", f"{field_text(field)} must be {words} {limit}, not {shown}", field)


def _choice(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    expected = str(detail["ctx"]["expected"]).replace("'", '"')
    value = detail["input"]
    options = [option for option in expected.split('"') if option.strip(" ,") not in ("", "or")]
    close = difflib.get_close_matches(str(value).lower(), [o.lower() for o in options], 1)
    meant = next((o for o in options if close and o.lower() == close[0]), None)
    advice = f'did you mean "{meant}"?' if meant else ""
    _, place = origin.find(field)
    if not isinstance(value, str) and place.text is not None:
        advice = explain_scalar(place.text)
    message = f"{field_text(field)} must be {expected}, not {_shown(value)}"
    return origin.report("not-a-choice", message, field, advice=advice)


def _pattern(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    shown = _shown(detail["input"])
    advice = _PATTERNS.get(str(field[-1]), f"write what matches {detail['ctx']['pattern']}")
    return origin.report("invalid-value", f"{field_text(field)} cannot be {shown}", field, advice=advice)


_PATTERNS = {
    "name": "a name has small letters, digits and -, begins with a letter and ends with a letter or digit",
    "namespace": "a namespace has small letters, digits and -, and begins with a letter",
    "version": 'write "auto", or one version such as "7"',
}


def _value_error(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    error = detail["ctx"]["error"]
    message = str(error)
    if isinstance(error, NotADuration):
        return origin.report("invalid-value", message, field, advice=error.meant(str(field[-1]) if field else ""))
    _, place = origin.find(field)
    plain = isinstance(detail["input"], str) or place.text is None
    return origin.report("invalid-value", message, field, advice="" if plain else explain_scalar(place.text or ""))


def _missing_key(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    keys = str(detail["ctx"]["keys"]).split(",")
    value = detail["input"]
    for wrong in value if isinstance(value, dict) else ():
        close = difflib.get_close_matches(wrong, keys, 1)
        if close:
            message = f'there is no field "{wrong}" in {field_text(field)}'
            return origin.report_key("unknown-field", message, (*field, wrong), f'did you mean "{close[0]}"?')
    return origin.report("missing-field", f"{field_text(field)} needs one of the keys {', '.join(keys)}", field)


def _other(detail: ErrorDetails, field: FieldPath, origin: Origin) -> Diagnostic:
    context: dict[str, Any] = detail.get("ctx", {})
    if "advice" in context:
        at = (*field, *context["at"])
        return origin.report(detail["type"], detail["msg"], at, advice=context["advice"], label=context["label"])
    message = detail["msg"]
    return origin.report("invalid-value", f"{field_text(field)}: {message[:1].lower()}{message[1:]}", field)


def _shown(value: object) -> str:
    text = quoted(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


_EXPLAINED: dict[str, Callable[[ErrorDetails, FieldPath, Origin], Diagnostic]] = {
    **dict.fromkeys(_LIMITS, _limit),
    "literal_error": _choice,
    "enum": _choice,
    "string_pattern_mismatch": _pattern,
    "value_error": _value_error,
    "missing-key": _missing_key,
}
