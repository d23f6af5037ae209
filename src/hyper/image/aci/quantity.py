"""Quantities of resources as isolators write them: ``500m``, ``2G``, ``123Mi``. Pure.

Source: appc spec v0.8.11, ace.md, "Resource Isolators".
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from hyper.errors import InvalidRequest

_QUANTITY = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?([A-Za-z]{0,2})")
_SUFFIXES: Final = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "k": Fraction(1000),
    **{letter: Fraction(1000**power) for power, letter in enumerate("KMGTPE", 1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)},
}
_MOST: Final = 2**63 - 1


def quantity(text: str, *, unit: int = 1) -> int:
    """The quantity ``text`` in units of 1/``unit`` (1: bytes; 10⁹: nano-CPUs), rounded up; ≥ 0.

    Raises:
        InvalidRequest: no quantity, or one that no machine has.
    """
    match = _QUANTITY.fullmatch(text)
    factor = _SUFFIXES.get(match[3]) if match is not None else None
    if match is None or factor is None:
        raise InvalidRequest(
            f"invalid quantity {text[:50]!r}",
            hint='write a number like "500m", "0.5", "2G" or "512Mi"',
        )
    number = Fraction(f"{match[1]}.{match[2] or 0}") * factor * unit
    result = -(-number.numerator // number.denominator)
    if result > _MOST:
        raise InvalidRequest(f"the quantity {text[:50]!r} is too large")
    return result
