"""Probes as health checks. The guest's agent knows two tests by itself, so that an image needs no client for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from hyper.errors import InvalidRequest

#: ``[HTTP_TEST, url, "Name: value", …]``: an answer from 200 to 399 is well. ``[TCP_TEST, address]``: somebody listens.
HTTP_TEST, TCP_TEST = "HYPER-HTTP", "HYPER-TCP"
SECOND_NS: Final = 1_000_000_000
_HERE: Final = "127.0.0.1"
_URL_PATH: Final = re.compile(r"/[\x21-\x7e]{0,2000}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{0,1000}")
_MAX_HEADERS: Final = 20


def http_test(port: int, target: str, headers: Iterable[tuple[str, str]], path: str) -> list[str]:
    """A test that asks ``target`` (a path and maybe a query) of the server on ``port``.

    Raises:
        InvalidRequest: a path or header cannot stand in a request, or there are too many headers.
    """
    target = target if target.startswith("/") else f"/{target}"
    if _URL_PATH.fullmatch(target) is None or "#" in target:
        raise InvalidRequest(f"{path}: {target[:80]!r} is no path of a URL")
    lines = []
    for name, value in headers:
        if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
            raise InvalidRequest(f"{path}: {name[:80]!r} is no header, or its value is none")
        lines.append(f"{name}: {value}")
    if len(lines) > _MAX_HEADERS:
        raise InvalidRequest(f"{path}: a probe sends at most {_MAX_HEADERS} headers")
    return [HTTP_TEST, f"http://{_HERE}:{port}{target}", *lines]


def tcp_test(port: int) -> list[str]:
    """A test that connects to ``port``."""
    return [TCP_TEST, f"{_HERE}:{port}"]


def command_test(argv: list[str] | None, path: str) -> list[str]:
    """A test that runs a program: exit code 0 is healthy.

    Raises:
        InvalidRequest: there is no program.
    """
    if not argv:
        raise InvalidRequest(f"{path}: it names no program")
    return ["CMD", *argv]
