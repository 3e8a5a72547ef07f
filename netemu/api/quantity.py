"""Resource quantities: `100m`, `1.5Gi`, `2e3`; exact, and canonical when printed.

A number, then nothing, an SI suffix (n u m k M G T P E), a binary one (Ki Mi Gi Ti Pi Ei) or a
decimal exponent. The printed form keeps the suffix family and uses the largest one that leaves no
fraction.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_FORM = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_ERROR = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_NANO = 10**9


def parse(text: str | int | float) -> Fraction:
    """The exact value. ValueError, with Kubernetes' text, when it is no quantity."""
    return _parse(str(text))[0]


def is_valid(text: str | int | float) -> bool:
    try:
        _parse(str(text))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Fraction, str]:
    """(value, family): the family is `binary`, `exponent` or `decimal`."""
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(_ERROR)
    number, suffix = Fraction(found[1].rstrip(".")), found[2] or ""
    if suffix in _BINARY:
        value, family = number * (1 << _BINARY[suffix]), "binary"
    elif suffix in _DECIMAL:
        value, family = number * Fraction(10) ** _DECIMAL[suffix], "decimal"
    else:
        value, family = number * Fraction(10) ** int(suffix[1:]), "exponent"
    nanos = value * _NANO
    if nanos.denominator != 1:  # finer than nano: rounded away from zero, as Kubernetes does
        whole = -(-abs(nanos).numerator // nanos.denominator)
        value = Fraction(whole if nanos > 0 else -whole, _NANO)
    return value, family


def format(value: Fraction | int, family: str = "decimal") -> str:
    """The canonical text; `family` is `decimal`, `binary` or `exponent`."""
    value = Fraction(value)
    if value == 0:
        return "0"
    if family == "binary" and (abs(value) < 1024 or value.denominator != 1):
        family = "decimal"
    if family == "binary":
        return _binary(int(value))
    return _decimal(value, exponent=family == "exponent")


@lru_cache(maxsize=4096)
def is_canonical(text: str | int | float) -> bool:
    """Whether the API server would store `text` as it is. False when it cannot be read."""
    try:
        return isinstance(text, str) and canonical(text) == text
    except ValueError:
        return False


def canonical(text: str | int | float) -> str:
    """`text` as the API server prints it: `1000m` → `1`, `1024Mi` → `1Gi`."""
    value, family = _parse(str(text))
    return format(value, family)


def family(text: str | int | float) -> str:
    """Which suffixes `text` uses: `decimal`, `binary` or `exponent`."""
    return _parse(str(text))[1]


def _binary(value: int) -> str:
    for suffix, bits in reversed(_BINARY.items()):
        if value % (1 << bits) == 0:
            return f"{value >> bits}{suffix}"
    return str(value)


def _decimal(value: Fraction, *, exponent: bool) -> str:
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = value / Fraction(10) ** power
        if scaled.denominator == 1:
            if not exponent:
                return f"{scaled.numerator}{suffix}"
            return f"{scaled.numerator}e{power}" if power else str(scaled.numerator)
    raise AssertionError("every parsed quantity is a whole number of nanos")
