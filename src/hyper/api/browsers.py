"""Browsers' pages are kept out: an ``Origin`` of another site is refused, and so is a Host that hyperd is not called.

A page that a user of this host opens can send requests to loopback addresses and to private networks. It cannot read
the answers of another site, unless its own name leads to that address (DNS rebinding): to the browser it is one site.
Clients that are no browsers send neither ``Origin`` nor ``Sec-Fetch-Site``, and a Host that they reached hyperd by.

Source: Fetch Standard, "Origin header"; Fetch Metadata Request Headers.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from hyper.config import Config
from hyper.errors import Forbidden, InvalidRequest

logger = logging.getLogger(__name__)

#: What docker's client says over a connection that another program made for it, and the name that Docker Desktop gives
#: to the host. Nobody can point them elsewhere.
_CLIENTS: Final = frozenset({"docker.example.com", "host.docker.internal"})
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})
_ORIGIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]{0,31}://[a-z0-9._-]{1,253}(?::[0-9]{1,5})?|[a-z]+://\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?"
)
_NAME: Final = re.compile(r"[a-z0-9._-]{1,253}")


class Way(Enum):
    """The way on which a request came. Only plain TCP can be led to by a name that is not hyperd's."""

    UNIX = auto()
    PLAIN = auto()
    TLS = auto()


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of a request that say whether a browser's page sent it, and for which host."""

    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    site: str = ""

    @classmethod
    def of(cls, request: web.Request) -> Head:
        """The headers of ``request``."""
        headers = request.headers
        return cls(
            headers.getall("Host", []),
            headers.getall("Origin", []),
            headers.get("Sec-Fetch-Site", ""),
        )


class Browsers:
    """The names that hyperd is called, and the origins of pages that may use it."""

    def __init__(self, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """Names and origins in any case.

        Raises:
            InvalidRequest: one of them is no name, or no origin.
        """
        self._hosts = _CLIENTS | {_host(text) for text in hosts}
        self._origins = frozenset(map(_origin, origins))

    @classmethod
    def of(cls, config: Config) -> Browsers:
        """The names that ``config`` and this host have, and the origins that ``config`` allows.

        Raises:
            InvalidRequest: one of them is no name, or no origin.
        """
        names = {socket.gethostname(), *filter(None, map(_served, config.hosts))}
        known = [name for name in names if _NAME.fullmatch(name.lower())]
        return cls(hosts=[*known, *config.allowed_hosts], origins=config.allowed_origins)

    def check(self, head: Head, way: Way) -> None:
        """A check of a request's head. Raises: Forbidden: a page of another site sent it, or it is for another host."""
        if way is Way.PLAIN:
            for name in map(_name, head.hosts):
                if not self._is_ours(name):
                    raise _not_ours(name)
        for origin in head.origins:
            if not self._may_ask(origin.lower(), head.hosts, way):
                raise _kept_out(origin.lower())
        if not head.origins and head.site.lower() in _OTHER_SITES:
            raise _kept_out("")

    def _may_ask(self, origin: str, hosts: Sequence[str], way: Way) -> bool:
        if origin in self._origins:
            return True
        host = hosts[0].lower() if hosts else ""
        same = host != "" and origin.partition("://")[2] == host
        # A certificate is only good for hyperd's own names; before a unix socket may be a proxy that looks at nothing.
        return same and (way is Way.TLS or self._is_ours(_name(host)))

    def _is_ours(self, name: str) -> bool:
        """Whether a stranger could not have pointed ``name`` here: hyperd's own, an address, one without a dot."""
        if "." not in name or name.endswith(".localhost") or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _name(host: str) -> str:
    """The name in a Host header without its port and final dot. An IPv6 address has no dot that counts."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _served(host: str) -> str | None:
    """The name in an address of hyperd's; None: it has none, or is no address, which the listener says."""
    try:
        return urlsplit(host).hostname if host.startswith("tcp://") else None
    except ValueError:
        return None


def _host(text: str) -> str:
    name = text.lower().rstrip(".")
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"allowed host {text!r}: not the name of a host, without a port")
    return name


def _origin(text: str) -> str:
    origin = text.lower().rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise InvalidRequest(f"allowed origin {text!r}: not SCHEME://HOST or SCHEME://HOST:PORT")
    return origin


def _kept_out(origin: str) -> Forbidden:
    if not _ORIGIN.fullmatch(origin):
        return Forbidden("the request is of another site's page in a browser: refused")
    return Forbidden(
        f"the request is of the page {origin} in a browser: refused",
        hint=f"if that page may do whatever hyperd can, start hyperd with --allowed-origin {origin}",
    )


def _not_ours(name: str) -> Forbidden:
    if not _NAME.fullmatch(name):
        return Forbidden("the request's Host header is no name of this hyperd: refused")
    return Forbidden(
        f"the request is for the host {name}, which hyperd does not know as its own name: refused",
        hint=f"use its IP address, or start hyperd with --allowed-host {name}",
    )


BROWSERS: Final = web.AppKey("browsers", Browsers)


@web.middleware
async def keep_out(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Middleware that lets requests of browsers' pages get no further. Raises: Forbidden."""
    try:
        request.app[BROWSERS].check(Head.of(request), _way(request))
    except Forbidden as error:
        logger.warning("%s: %s", request.method, error.message)
        raise
    return await handler(request)


def _way(request: web.Request) -> Way:
    transport = request.transport
    if (
        transport is None
    ):  # the client has left: nobody reads the answer, and nothing is to be done for it
        return Way.PLAIN
    if transport.get_extra_info("ssl_object") is not None:
        return Way.TLS
    return Way.UNIX if transport.get_extra_info("socket").family == socket.AF_UNIX else Way.PLAIN
