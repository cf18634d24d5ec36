"""Kubernetes quantities in the form the API server writes them back: 0.5 becomes 500m."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_UP, Decimal

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_EXPONENTS = {suffix: exponent for exponent, suffix in _DECIMAL.items()}
_SMALLEST = Decimal("1e-9")


def canonical(quantity: str | float) -> str:
    """Write a quantity with an integer and the largest suffix that loses nothing.

    Source: apimachinery's resource.Quantity. Raises ValueError for what is no quantity.
    """
    match = _QUANTITY.fullmatch(str(quantity).strip())
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity; expected a number with a suffix such as m, k, Mi or Gi")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY[1:]:
        return _binary(number * 1024 ** _BINARY.index(suffix))
    if suffix[:1] in ("e", "E") and suffix != "E":
        return _decimal(number.scaleb(int(suffix[1:])), exponent_notation)
    return _decimal(number.scaleb(_EXPONENTS[suffix]), _DECIMAL.__getitem__)


def exponent_notation(exponent: int) -> str:
    """Write a power of ten as the quantities that were given so are kept."""
    return f"e{exponent}" if exponent else ""


def _binary(value: Decimal) -> str:
    if abs(value) < 1024:
        return _decimal(value, _DECIMAL.__getitem__)
    whole, power = int(value.to_integral_value(ROUND_UP)), 0
    while whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def _decimal(value: Decimal, suffix_of: Callable[[int], str]) -> str:
    value = value.quantize(_SMALLEST, rounding=ROUND_UP)
    if not value:
        return "0"
    for exponent in sorted(_DECIMAL, reverse=True):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix_of(exponent)}"
    raise AssertionError(f"{value} was rounded to a multiple of {_SMALLEST}")
