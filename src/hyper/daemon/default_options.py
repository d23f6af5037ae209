"""Options of hyperd for containers' defaults, on the command line and in the file."""

from __future__ import annotations

import argparse
from typing import Any, Final

import msgspec

from hyper.units import parse_size


class _FileLimit(msgspec.Struct, rename="pascal"):
    """A ulimit as dockerd's file has it."""

    soft: int
    hard: int
    name: str = ""


#: Types of the file's values that are neither text, list, number nor flag.
_TYPES: Final[dict[str, Any]] = {
    "default_ulimits": dict[str, _FileLimit],
    "default_shm_size": int | str,
    "log_opts": dict[str, str],
}


def add_defaults(result: argparse.ArgumentParser) -> None:
    """The options of defaults are added to ``result``."""
    group = result.add_argument_group("what containers have that do not say otherwise")

    def add(option: str, **more: Any) -> None:
        group.add_argument(option, **more)

    add("--dns", action="append", metavar="ADDRESS", help="name server (repeatable)")
    add("--dns-search", action="append", metavar="DOMAIN", help="search domain (repeatable)")
    add("--dns-opt", action="append", dest="dns_opts", metavar="OPTION", help="resolver option")
    add(
        "--default-ulimit",
        action="append",
        type=_ulimit,
        dest="default_ulimits",
        metavar="NAME=SOFT[:HARD]",
        help="resource limit (repeatable)",
    )
    add("--default-shm-size", type=_size, metavar="BYTES", help="size of /dev/shm: 64M")
    add("--init", **FLAG, help="a reaper as PID 1")
    add("--no-new-privileges", **FLAG, help="setuid programs have no effect")
    add("--log-driver", metavar="NAME", help="what keeps their output (default: json-file)")
    add("--log-opt", action="append", type=_pair, dest="log_opts", metavar="KEY=VALUE")


def _ulimit(text: str) -> tuple[str, int, int]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        return name, int(soft), int(hard or soft)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SOFT[:HARD]") from None


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text in ("true", "1")


#: ``--tls``, ``--tls=true`` or ``--tls=false``, as dockerd has them.
FLAG: Final[dict[str, Any]] = {
    "nargs": "?",
    "const": True,
    "type": _yes_or_no,
    "metavar": "true|false",
}


def json_type(name: str) -> Any:
    """The type that the file's value for the field ``name`` has to have, if it is neither list, number nor flag."""
    return _TYPES.get(name, str)


def from_json(name: str, value: Any) -> Any:
    """The file's ``value`` (of its ``json_type``) as the command line has it.

    Raises:
        ValueError: the value is malformed.
    """
    if name == "default_shm_size":
        return parse_size(str(value))
    if name == "default_ulimits":
        return [(key, item.soft, item.hard) for key, item in value.items()]
    return value
