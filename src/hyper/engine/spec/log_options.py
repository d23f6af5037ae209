"""Docker's log drivers and their options: how a container's output is kept, and how much of it. Pure.

Source: moby, daemon/logger/jsonfilelog, local, and loggerutils.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from hyper.engine.record.container_spec import LogLimits
from hyper.errors import InvalidRequest
from hyper.types.container import LogConfig
from hyper.units import parse_size

#: Of ``json-file`` and ``local`` the same file is kept; they differ in how much of it where nothing is said.
DRIVERS: Final = ("json-file", "local", "none")
#: Bytes and number of the files ``local`` keeps.
_LOCAL: Final = ("20m", "5")
#: What is kept of output nobody wants: how far it has got, a short record each time.
_OFFSETS_BYTES: Final = 64 * 1024
#: More files are surely a mistake.
_MAX_FILES: Final = 1000
#: Options of dockerd's that are taken and change nothing: output always waits for the disk, and is kept as it came.
_WITHOUT_EFFECT: Final = frozenset(
    "compress labels-regex env-regex tag mode max-buffer-size".split()
)
#: Options of json-file's that say what ``logs --details`` shows.
_DETAILS: Final = frozenset({"labels", "env"})
_MODES: Final = ("", "blocking", "non-blocking")


def limits(config: LogConfig) -> LogLimits:
    """The limits that ``config`` asks for.

    Raises:
        InvalidRequest: a value makes no sense.
    """
    if config.type == "none":
        return LogLimits(_OFFSETS_BYTES, 1, content=False)
    said = config.config or {}
    size, files = _LOCAL if config.type == "local" else ("", "1")
    size, files = said.get("max-size", size), said.get("max-file", files)
    if not size or size == "-1":
        return LogLimits()
    return LogLimits(_size(size), _count(files))


def check(config: LogConfig) -> list[str]:
    """Warnings about options that have no effect.

    Raises:
        InvalidRequest: no such driver, no such option, or a value that makes no sense (dockerd's words).
    """
    driver, said = config.type or "json-file", config.config or {}
    if driver not in DRIVERS:
        raise InvalidRequest(f"logger: no log driver named '{driver[:100]}' is registered")
    if driver == "none":
        return []
    known = _WITHOUT_EFFECT | _DETAILS | {"max-size", "max-file"}
    for name in said:
        if name not in known:
            raise InvalidRequest(f"unknown log opt '{name[:100]}' for {driver} log driver")
    if said.get("mode", "") not in _MODES:
        raise InvalidRequest(f"logger: logging mode not supported: {said['mode'][:100]}")
    limits(config)
    _count(said.get("max-file", "1"))
    return _warnings(said, _WITHOUT_EFFECT if driver == "json-file" else _WITHOUT_EFFECT | _DETAILS)


def details(
    config: LogConfig, *, labels: Mapping[str, str], env: Iterable[str]
) -> list[tuple[str, str]]:
    """Labels and variables that ``config`` wants told with each line: those that the container has, sorted by name."""
    said = (config.config or {}) if config.type == "json-file" else {}
    variables = dict(one.split("=", 1) for one in env if "=" in one)
    found = {}
    for option, there in (("labels", labels), ("env", variables)):
        for name in said.get(option, "").split(","):
            if name in there:
                found[name] = there[name]
    return sorted(found.items())


def _warnings(said: Mapping[str, str], ineffective: frozenset[str]) -> list[str]:
    asked = sorted(name for name in said if name in ineffective)
    return [f"HostConfig.LogConfig option {name} has no effect." for name in asked]


def _bad(why: str) -> InvalidRequest:
    return InvalidRequest(f"failed to initialize logging driver: {why}")


def _size(text: str) -> int:
    try:
        size = parse_size(text, kilo=1000)
    except (ValueError, OverflowError):
        raise _bad(f"invalid size: '{text[:100]}'") from None
    if size <= 0:
        raise _bad("max-size must be a positive number")
    return size


def _count(text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 10):
        raise _bad(f"max-file '{text[:100]}' is not a number")
    if int(text) < 1:
        raise _bad("max-file cannot be less than 1")
    if int(text) > _MAX_FILES:
        raise _bad(f"max-file cannot be more than {_MAX_FILES}")
    return int(text)
