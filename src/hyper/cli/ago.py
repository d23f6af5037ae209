"""Spans of time in a person's words, as docker says them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def in_words(seconds: float) -> str:
    """The span ``seconds`` in words: ``3 minutes``, ``About an hour``, ``2 weeks``."""
    whole = int(seconds)
    hours = int(seconds / _HOUR + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 2 * _MINUTE:
        return "About a minute"
    if whole < _HOUR:
        return f"{whole // _MINUTE} minutes"
    if hours == 1:
        return "About an hour"
    return _in_long_words(hours)


def _in_long_words(hours: int) -> str:
    days = hours // 24
    if hours < 48:
        return f"{hours} hours"
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{hours // (24 * 365)} years"


def since(timestamp: float | str) -> str:
    """The span since a time (Unix seconds, or RFC 3339) in words: ``3 minutes ago``; ``N/A`` for none."""
    moment = _seconds(timestamp)
    if moment <= 0:
        return "N/A"
    return in_words(datetime.now(UTC).timestamp() - moment) + " ago"


def local_time(timestamp: float | str) -> str:
    """A time as docker's CreatedAt: ``2026-11-23 18:30:59 +0000 UTC``."""
    moment = datetime.fromtimestamp(_seconds(timestamp), UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def precise_time(timestamp: str) -> str:
    """An RFC 3339 time of UTC as Go prints it: ``2026-11-23 21:54:17.76597405 +0000 UTC``."""
    if not timestamp.endswith("Z"):
        return timestamp
    whole, dot, fraction = timestamp[:-1].replace("T", " ").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}{dot if fraction else ''}{fraction} +0000 UTC"


def rfc3339_local(timestamp: float) -> str:
    """A time as ``2026-11-23T18:30:59Z``, with this host's offset in place of Z where it has one."""
    text = datetime.fromtimestamp(timestamp, UTC).astimezone().isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _seconds(timestamp: float | str) -> float:
    if not isinstance(timestamp, str):
        return float(timestamp)
    text, dot, fraction = timestamp.rstrip("Z").partition(".")
    try:
        whole = datetime.fromisoformat(text + "+00:00").timestamp()
    except ValueError:
        return 0.0
    return whole + (float("0." + fraction[:9]) if dot and fraction.isdecimal() else 0.0)
