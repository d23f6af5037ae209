"""Dockerfile instructions (``--change`` of import and commit) applied to an image's configuration. Pure.

Source: Dockerfile reference; moby builder/dockerfile/dispatchers.go for what an instruction does to the configuration.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from hyper.errors import InvalidRequest
from hyper.image import expansion
from hyper.units import parse_duration_s

Config = dict[str, Any]

MAX_INSTRUCTIONS: Final = 1000
_SHELL: Final = ("/bin/sh", "-c")
_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_SECOND: Final = 1_000_000_000
_DURATIONS: Final = {
    "--interval": "Interval", "--timeout": "Timeout", "--start-period": "StartPeriod",
    "--start-interval": "StartInterval",
}  # fmt: skip


def applied(config: Config, changes: Iterable[str]) -> Config:
    """The configuration (an image configuration's ``config``, PascalCase) after ``changes``; ``config`` is unchanged.

    Raises:
        InvalidRequest: an instruction that cannot be given here, or a broken one.
    """
    made = {**config}
    lines = [line for change in changes for line in _lines(change)]
    if len(lines) > MAX_INSTRUCTIONS:
        raise InvalidRequest(f"{len(lines)} instructions (at most {MAX_INSTRUCTIONS})")
    for line in lines:
        word, _, rest = line.partition(" ")
        apply = _INSTRUCTIONS.get(word.upper())
        if apply is None:
            raise InvalidRequest(f"{word.lower()[:50]} is not a valid change command")
        if not rest.strip():
            raise InvalidRequest(f"{word.upper()} requires at least one argument")
        apply(made, rest.strip())
    return made


def _lines(change: str) -> list[str]:
    joined = change.replace("\\\n", "")
    return [line.strip() for line in joined.splitlines() if line.strip()]


def _exec_form(rest: str) -> list[str] | None:
    """The words of ``["a", "b"]``; None for another form."""
    try:
        words = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words
    return None


def _program(config: Config, rest: str) -> list[str]:
    words = _exec_form(rest)
    return [*(config.get("Shell") or _SHELL), rest] if words is None else words


def _cmd(config: Config, rest: str) -> None:
    config["Cmd"] = _program(config, rest)


def _entrypoint(config: Config, rest: str) -> None:
    config["Entrypoint"] = _program(config, rest)


def _environment(config: Config) -> dict[str, str]:
    """The values of variables in an instruction: the image's so far."""
    pairs = (item.partition("=") for item in config.get("Env") or [])
    return {name: value for name, _, value in pairs}


def _expanded(config: Config, word: str) -> str:
    return expansion.expand(word, _environment(config))


def _pairs(config: Config, instruction: str, rest: str) -> list[tuple[str, str]]:
    """The pairs of ``a=b "c=d e"``, or of the old form ``a b c``; variables have the same values throughout."""
    values = _environment(config)
    name, _, value = rest.partition(" ")
    if "=" not in name:
        if not value.strip():
            raise InvalidRequest(f"{instruction} must have two arguments")
        return [(expansion.expand(name, values), expansion.expand(value.strip(), values))]
    pairs = [word.partition("=") for word in expansion.split(rest)]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise InvalidRequest(
                f'Syntax error - can\'t find = in "{name[:200]}". Must be of the form: name=value'
            )
    return [
        (expansion.expand(name, values), expansion.expand(value, values))
        for name, _, value in pairs
    ]


def _env(config: Config, rest: str) -> None:
    merged = {item.partition("=")[0]: item for item in config.get("Env") or []}
    merged |= {name: f"{name}={value}" for name, value in _pairs(config, "ENV", rest)}
    config["Env"] = list(merged.values())


def _label(config: Config, rest: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(config, "LABEL", rest))}


def _expose(config: Config, rest: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _expanded(config, rest).split():
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 0 < first <= last <= 65535:
            raise InvalidRequest(f"invalid containerPort: {word[:50]}")
        protocol = (match[3] or "tcp").lower()
        ports |= {f"{number}/{protocol}": {} for number in range(first, last + 1)}
    config["ExposedPorts"] = ports


def _volume(config: Config, rest: str) -> None:
    paths = _exec_form(rest)
    volumes = dict(config.get("Volumes") or {})
    for word in expansion.split(rest) if paths is None else paths:
        path = _expanded(config, word)
        if not path.strip():
            raise InvalidRequest("VOLUME specified can not be an empty string")
        volumes[path.strip()] = {}
    config["Volumes"] = volumes


def _user(config: Config, rest: str) -> None:
    config["User"] = _expanded(config, rest)


def _workdir(config: Config, rest: str) -> None:
    config["WorkingDir"] = posixpath.normpath(
        posixpath.join("/", config.get("WorkingDir") or "/", _expanded(config, rest))
    )


def _onbuild(config: Config, rest: str) -> None:
    trigger = rest.partition(" ")[0].upper()
    if trigger in ("ONBUILD", "MAINTAINER", "FROM"):
        raise InvalidRequest(f"{trigger} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), rest]


def _stopsignal(config: Config, rest: str) -> None:
    config["StopSignal"] = _expanded(config, rest)


def _shell(config: Config, rest: str) -> None:
    words = _exec_form(rest)
    if not words:
        raise InvalidRequest("SHELL requires the arguments to be in JSON form")
    config["Shell"] = words


def _healthcheck(config: Config, rest: str) -> None:
    check: dict[str, Any] = {}
    word, _, left = rest.partition(" ")
    while word.startswith("--"):
        name, _, value = word.partition("=")
        try:
            if name == "--retries":
                check["Retries"] = int(value)
            else:
                check[_DURATIONS[name]] = int(parse_duration_s(value) * _SECOND)
        except (ValueError, KeyError):
            raise InvalidRequest(f"HEALTHCHECK: invalid option {word[:50]!r}") from None
        word, _, left = left.strip().partition(" ")
    if word.upper() == "NONE" and not left.strip() and not check:
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if word.upper() != "CMD" or not left.strip():
        raise InvalidRequest("HEALTHCHECK: NONE, or CMD and a command")
    words = _exec_form(left.strip())
    test = ["CMD-SHELL", left.strip()] if words is None else ["CMD", *words]
    config["Healthcheck"] = {"Test": test, **check}


_INSTRUCTIONS: Final[dict[str, Callable[[Config, str], None]]] = {
    "CMD": _cmd, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose, "HEALTHCHECK": _healthcheck,
    "LABEL": _label, "ONBUILD": _onbuild, "SHELL": _shell, "STOPSIGNAL": _stopsignal, "USER": _user,
    "VOLUME": _volume, "WORKDIR": _workdir,
}  # fmt: skip
