"""Options of hyperd for registries and the proxies to them, on the command line and in the file."""

from __future__ import annotations

import argparse
from typing import Any, Final

import msgspec

from hyper.errors import InvalidRequest

#: The file's key of an object, as dockerd has it.
PROXIES: Final = "proxies"


class _Proxies(msgspec.Struct, rename="kebab", forbid_unknown_fields=True):
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None


def add_registries(result: argparse.ArgumentParser) -> None:
    """The options of registries are added to ``result``."""
    add = result.add_argument
    add(
        "--insecure-registry",
        action="append",
        dest="insecure_registries",
        metavar="HOST[:PORT]",
        help="registry that may be spoken to without TLS (loopback ones always may; repeatable)",
    )
    add(
        "--registry-mirror",
        action="append",
        dest="registry_mirrors",
        metavar="URL",
        help="mirror of Docker Hub to ask first (repeatable)",
    )
    add(
        "--registry-ca",
        action="append",
        metavar="FILE",
        help="certificates that sign for registries, beside the system's (repeatable)",
    )
    add("--http-proxy", metavar="URL", help="proxy for http registries (default: $HTTP_PROXY)")
    add("--https-proxy", metavar="URL", help="proxy for the others (default: $HTTPS_PROXY)")
    add(
        "--no-proxy",
        metavar="HOST,…",
        help="hosts, domains and networks asked without it (default: $NO_PROXY)",
    )


def proxies_of(value: Any) -> dict[str, str]:
    """The settings, by field name, that the file's object makes.

    Raises:
        InvalidRequest: it is no such object.
    """
    try:
        said = msgspec.convert(value, _Proxies)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"configuration key {PROXIES}: {error}") from None
    return {name: text for name, text in msgspec.structs.asdict(said).items() if text is not None}
