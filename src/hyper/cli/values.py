"""Values of flags: each function is a flag's ``parse`` and raises ValueError with the reason."""

from __future__ import annotations

import os

from hyper.cli import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def size(text: str) -> int:
    """A size in bytes."""
    from hyper.units import parse_size  # its datetime and patterns cost 2 ms

    return parse_size(text)


def size_or_unlimited(text: str) -> int:
    """A size in bytes; -1 for no limit."""
    return -1 if text == "-1" else size(text)


def duration(text: str) -> int:
    """A Go duration in nanoseconds."""
    from hyper.units import NANOSECONDS, parse_duration_s

    return round(parse_duration_s(text) * NANOSECONDS)


def moment(text: str) -> str:
    """A time as the API takes it: ``seconds.nanoseconds`` since the epoch."""
    import time

    from hyper.units import NANOSECONDS, parse_timestamp_ns

    at = parse_timestamp_ns(text, now_ns=time.time_ns())
    return f"{at // NANOSECONDS}.{at % NANOSECONDS:09d}"


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError("use " + ", ".join(choices))
        return text

    return parse


def cpus(text: str) -> int:
    try:
        count = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not 0 < count < 1e6:
        raise ValueError("must be positive")
    return round(count * 1_000_000_000)


def variable(text: str) -> str:
    return environment.variable(text, os.environ)


def env_file(path: str) -> list[str]:
    return environment.read_env_file(path, os.environ)


def pair(text: str) -> str:
    if "=" not in text[1:]:
        raise ValueError("use NAME=VALUE")
    return text


def shell(text: str) -> list[str]:
    """A health check that a shell runs, as the API wants it."""
    return ["CMD-SHELL", text]


def label_file(path: str) -> list[str]:
    """The labels of a file: a line each, ``#`` comments; a NAME alone has no value."""
    return environment.read_env_file(path, {})


_NETWORK_KEYS = {
    "alias": "Aliases",
    "driver-opt": "DriverOpts",
    "gw-priority": "GwPriority",
    "ip": "IPv4Address",
    "ip6": "IPv6Address",
    "link-local-ip": "LinkLocalIPs",
    "mac-address": "MacAddress",
}


def network(text: str) -> tuple[str, dict[str, list[str]]]:
    """A network's name and the options asked for: ``back``, or ``name=back,alias=db,ip=10.1.2.3``.

    Raises:
        ValueError: an unknown word, or no name.
    """
    if "=" not in text:
        return text, {}
    name = ""
    asked: dict[str, list[str]] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals or not value:
            raise ValueError(f"invalid field {field!r}: use NAME=VALUE")
        if key == "name":
            name = value
        elif key in _NETWORK_KEYS:
            asked.setdefault(_NETWORK_KEYS[key], []).append(value)
        else:
            raise ValueError(f"unknown word {key!r}: use name, {', '.join(_NETWORK_KEYS)}")
    if not name:
        raise ValueError("it has no name=NETWORK")
    return name, asked


def mapping(pairs: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts as the API's map; a NAME alone has the value "" and the last of a name counts."""
    parts = [text.partition("=") for text in pairs]
    return {name: value for name, _, value in parts}


def boolean_text(value: object) -> str:
    """A boolean as Go prints it: true or false."""
    return "true" if value else "false"


def capability(text: str) -> str:
    """A capability's name; ``net_admin`` and ``CAP_NET_ADMIN`` are one."""
    name = text.upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError("it has no name")
    return text


def add_host(text: str) -> str:
    """A host's name and address; HOST:IP and HOST=IP are one; the address may contain colons."""
    for mark in ("=", ":"):
        host, found, ip = text.partition(mark)
        if found and host and ip and ":" not in host:
            return f"{host}:{ip.strip('[]')}"
    raise ValueError("use HOST:IP")


def ulimit(text: str) -> str:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    numbers = [soft, hard or soft]
    if not name or not all(n.removeprefix("-").isdecimal() for n in numbers):
        raise ValueError("use NAME=SOFT[:HARD], -1 for no limit")
    if 0 <= int(numbers[1]) < int(numbers[0]):
        raise ValueError("the soft limit is above the hard one")
    return f"{name}={numbers[0]}:{numbers[1]}"


def restart(text: str) -> str:
    name, colon, count = text.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure", ""):
        raise ValueError("use no, always, unless-stopped or on-failure[:N]")
    if colon and (name != "on-failure" or not count.isdecimal()):
        raise ValueError("only on-failure takes a number of tries")
    return text


def security(text: str) -> str:
    """A security option; ``seccomp=FILE`` becomes ``seccomp=CONTENT``: the daemon may not see this host's files."""
    name, _, value = text.partition("=")
    if name != "seccomp" or value in ("unconfined", "builtin", ""):
        return text
    from pathlib import Path  # 3 ms that run and exec need not pay

    try:
        return "seccomp=" + Path(value).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot read {value}: {error.strerror}") from error
