"""Kubernetes' quantities: ``500m`` of a CPU, ``64Mi`` of memory.

Source: Kubernetes API reference, resource.Quantity.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest.fields import shown

_QUANTITY: Final = re.compile(
    r"([0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
)
_POWERS: Final = {"": 0, "n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_NANO: Final = 1_000_000_000
_MOST: Final = 2**62


def size(value: object, path: str) -> int:
    """The bytes of a quantity, rounded up.

    Raises:
        InvalidRequest: no quantity.
    """
    return _bounded(_parse(value, path), value, path)


def nano_cpus(value: object, path: str) -> int:
    """The billionths of a CPU of a quantity, rounded up.

    Raises:
        InvalidRequest: no quantity.
    """
    return _bounded(_parse(value, path) * _NANO, value, path)


def _bounded(number: Fraction, value: object, path: str) -> int:
    if number > _MOST:
        raise InvalidRequest(f"{path}: {shown(value)} is too much")
    return math.ceil(number)


def _parse(value: object, path: str) -> Fraction:
    text = (
        str(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else ""
    )
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise InvalidRequest(
            f"{path}: {shown(value)} is no quantity", hint="write it as 500m, 2, 64Mi or 1G"
        )
    number, suffix = Fraction(found[1].rstrip(".")), found[2] or ""
    if suffix in _POWERS:
        return number * Fraction(Fraction(1000) ** _POWERS[suffix])
    if suffix.endswith("i"):
        return number * Fraction(1024 ** _POWERS["k" if suffix == "Ki" else suffix[0]])
    return number * Fraction(Fraction(10) ** int(suffix[1:]))
