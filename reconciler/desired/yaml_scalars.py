"""Unquoted scalars as YAML 1.1 reads them, and what surprises people about that."""

from __future__ import annotations

import math
import re
from functools import lru_cache

Scalar = str | int | float | bool | None

_BOOLS = {
    word: value
    for value, words in ((True, ("yes", "true", "on")), (False, ("no", "false", "off")))
    for lower in words
    for word in (lower, lower.capitalize(), lower.upper())
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_HEX = re.compile(r"[-+]?0x[0-9a-fA-F_]+")
_BINARY = re.compile(r"[-+]?0b[01_]+")
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*)?\.[0-9_]*([eE][-+][0-9]+)?")
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FIRST_OF_NUMBERS = frozenset("0123456789+-.")
_LARGEST = 2**63
# Every number below the largest fits into as many digits, in any base; Python refuses to convert more than 4300.
_MOST_DIGITS = 70
# Only short scalars are remembered, so that the cache stays small whatever a file holds.
_LONGEST_REMEMBERED = 48


class Surprise(ValueError):  # noqa: N818  it is what the reader feels
    """A scalar that different YAML readers understand differently; `help` says what to write instead."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def quoted(text: str) -> str:
    """Write a scalar in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar. Raises Surprise."""
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _read(text)


def _read(text: str) -> Scalar:
    if text in _BOOLS:
        return _BOOLS[text]
    if text in _NULLS:
        return None
    return _number(text) if text[0] in _FIRST_OF_NUMBERS else text


_remembered = lru_cache(maxsize=8192)(_read)


def _number(text: str) -> Scalar:
    if _INTEGER.fullmatch(text):
        return _integer(text, 10)
    if text != "." and _FLOAT.fullmatch(text) and any(c.isdigit() for c in text):
        return _float(text)
    if _HEX.fullmatch(text):
        return _integer(text, 16)
    if _BINARY.fullmatch(text):
        return _integer(text, 2)
    _refuse(text)
    return text


def _integer(text: str, base: int) -> int:
    digits = text.replace("_", "")
    value = int(digits, base) if len(digits) <= _MOST_DIGITS else _LARGEST
    if abs(value) >= _LARGEST:
        raise Surprise("the number is too large", f"quote it if it is text: {quoted(text)}")
    return value


def _float(text: str) -> float:
    value = float(text.replace("_", ""))
    if not math.isfinite(value):
        raise Surprise("the number is too large", f"quote it if it is text: {quoted(text)}")
    return value


def _refuse(text: str) -> None:
    if _OCTAL.fullmatch(text):
        digits = text.replace("_", "")
        decimal = int(digits, 8) if len(digits) <= _MOST_DIGITS else "too large"
        raise Surprise(
            f"{text} is an octal number in YAML 1.1, and {decimal} in decimal",
            f"quote it if it is text: {quoted(text)}; otherwise write it without the leading zero",
        )
    if _SEXAGESIMAL.fullmatch(text):
        raise Surprise(f"{text} is a number to the base of 60 in YAML 1.1", f"quote it: {quoted(text)}")
    if _DATE.fullmatch(text):
        raise Surprise(f"{text} is a date in YAML, and no field holds dates", f"quote it: {quoted(text)}")
    if _NOT_FINITE.fullmatch(text):
        raise Surprise(f"{text} is no number that JSON can hold", f"write a finite number, or quote it: {quoted(text)}")


def explain(text: str) -> str:
    """Say what an unquoted scalar is to YAML 1.1, and how to write it as people usually mean it; "" if it is plain."""
    if text in _BOOLS:
        return f"{text} without quotes is {str(_BOOLS[text]).lower()} in YAML 1.1; quote it: {quoted(text)}"
    if text in _NULLS:
        return f"{text or 'nothing'} is null in YAML; write a value, or quote it: {quoted(text)}"
    if is_text_that_looks_like_a_number(text):
        return f"{text} is text in YAML 1.1, not a number: write {_with_point_and_sign(text)}"
    if text[0] in _FIRST_OF_NUMBERS and not isinstance(_value_or_text(text), str):
        return f"{text} without quotes is a number; quote it: {quoted(text)}"
    return ""


def is_text_that_looks_like_a_number(text: str) -> bool:
    """Tell whether YAML 1.1 takes for text what YAML 1.2, JSON and people take for a number, such as 1e3."""
    return _EXPONENT.fullmatch(text) is not None and not _FLOAT.fullmatch(text)


def _with_point_and_sign(text: str) -> str:
    mantissa, _, exponent = text.lower().partition("e")
    point = mantissa if "." in mantissa else mantissa + ".0"
    return f"{point}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _value_or_text(text: str) -> Scalar:
    try:
        return read_scalar(text)
    except Surprise:
        return text
