"""Sizes and times: parsing of users' text, and text for users."""

from __future__ import annotations

import re
from datetime import UTC, datetime

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b)?", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?)?([Zz]|[+-]\d\d:\d\d)?"
)
NANOSECONDS = 1_000_000_000
#: Longer than anything anybody means.
_MAX_SECONDS = 1e11


def parse_size(text: str, *, kilo: int = KIB) -> int:
    """The bytes meant by ``512m``, ``1.5GiB``, ``64k``, ``1000`` (multiples of ``kilo``: binary, as Docker's -m).

    Raises:
        ValueError: not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"invalid size: {text!r} (examples: 64m, 1.5g)")
    return int(float(match[1]) * kilo ** " kmgtp".index(match[2].lower() or " "))


def human_size(count: float, digits: int = 3) -> str:
    """``count`` bytes in decimal units with ``digits`` digits (docker images: 3, docker system df: 4)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.{digits}g}{unit}"
        count /= 1000
    return f"{count:.{digits}g}PB"


def parse_duration_s(text: str) -> float:
    """The seconds meant by a Go duration: ``1m30s``, ``250ms``, ``2h``.

    Raises:
        ValueError: not a duration.
    """
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"invalid duration: {text!r} (examples: 90s, 1m30s)")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def rfc3339(timestamp_ns: int) -> str:
    """A wall-clock time (nanoseconds since the epoch) as Docker writes it: UTC, nine digits, Z."""
    seconds, nanoseconds = divmod(timestamp_ns, NANOSECONDS)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{nanoseconds:09d}Z"


def parse_timestamp_ns(text: str, *, now_ns: int) -> int:
    """The time meant, in nanoseconds since the epoch, by a ``since``/``until`` argument of the API.

    Accepts Unix seconds with a fraction, RFC 3339 (parts may be missing, UTC then), or a Go duration before
    ``now_ns``.

    Raises:
        ValueError: the text has none of these forms.
    """
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * NANOSECONDS + int(fraction.ljust(9, "0") or 0)
    match = _RFC3339.fullmatch(text)
    if match is not None:
        return _from_rfc3339(match)
    duration_s = parse_duration_s(text)
    if duration_s > _MAX_SECONDS:
        raise ValueError(f"duration is too long: {text!r}")
    return now_ns - int(duration_s * NANOSECONDS)


def _from_rfc3339(match: re.Match[str]) -> int:
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}")
    return int(moment.timestamp()) * NANOSECONDS + int((fraction or "").ljust(9, "0"))
