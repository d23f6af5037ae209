"""The way out of the daemon for everything about images: through the proxies it was told of, and only within reach.

Every request to a registry, a token server or a web server begins here (container engines of this host have sockets).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from hyper import __version__
from hyper.errors import Forbidden
from hyper.image.proxy import Proxies, address_of
from hyper.image.reach import ANYWHERE, Place, Reach, Refused, place_of, reach_of
from hyper.image.trouble import cause

_HEADERS: Final = {"User-Agent": f"hyper/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Outbound:
    """The daemon's way out. ``is_named``: whether its configuration names a host[:port]: all servers may lead there."""

    proxies: Proxies = field(default_factory=Proxies)
    is_named: Callable[[str], bool] = lambda _: False


class Trip:
    """A trip: requests that belong together, over connections they share, until `close`."""

    def __init__(self, outbound: Outbound, timeout: aiohttp.ClientTimeout) -> None:
        self._outbound = outbound
        self._timeout = timeout
        self._names = _Names()
        self._sessions: dict[Reach, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """The trip's connections are all closed."""
        for session in self._sessions.values():
            await session.close()
        await self._names.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        leaders: Iterable[str] = (),
        within: Reach = ANYWHERE,
        **options: Any,
    ) -> aiohttp.ClientResponse:
        """The answer to one request; redirects are the caller's.

        ``leaders``: URLs whose servers named this one. ``within``: how far the servers before them may lead.

        Raises:
            Forbidden: the servers lead nearer than they may. aiohttp's errors.
        """
        host = urlsplit(url).netloc
        led = [name for leader in leaders if (name := urlsplit(leader).netloc) != host]
        is_named = self._outbound.is_named(host)
        reach = ANYWHERE if is_named else within & self.reach(led)
        proxy = self._outbound.proxies.of(url)
        try:
            if proxy is not None:
                _check_proxy(proxy, host, options.get("ssl"))
                # It resolves the name by itself, and is where whoever runs the daemon said.
                self._check_literal(url, reach)
                reach = ANYWHERE
            return await self._session(reach).request(
                method, url, proxy=proxy, allow_redirects=False, **options
            )
        except aiohttp.ClientConnectorError as error:
            refused = cause(error)
            if isinstance(refused, Refused):
                raise _forbidden(led, host, refused) from error
            raise
        except Refused as error:
            raise _forbidden(led, host, error) from error

    def _check_literal(self, url: str, reach: Reach) -> None:
        name = urlsplit(url).hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            reach.check("127.0.0.1")
        elif (address := address_of(name)) is not None:
            reach.check(str(address))

    def reach(self, leaders: Iterable[str]) -> Reach:
        """The reach of the hosts: as far as each of the addresses they were found at could lead."""
        places = set[Place]()
        for leader in leaders:
            name = urlsplit(f"//{leader}").hostname or ""
            literal = address_of(name)
            known = {str(literal)} if literal is not None else self._names.seen.get(name, set())
            # What only a proxy knows the address of is public: that is what proxies are for.
            places |= {place_of(address) for address in known} or {Place.PUBLIC}
        return reach_of(places)

    def _session(self, reach: Reach) -> aiohttp.ClientSession:
        if reach not in self._sessions:
            connector = aiohttp.TCPConnector(resolver=self._names, socket_factory=reach.socket)
            self._sessions[reach] = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
            )
        return self._sessions[reach]


class _Names(AbstractResolver):
    """The system's resolver of names, which remembers every address that a name had."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()
        self.seen: dict[str, set[str]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        self.seen.setdefault(host, set()).update(one["host"] for one in found)
        return found

    async def close(self) -> None:
        await self._system.close()


def _check_proxy(proxy: str, host: str, tls: ssl.SSLContext | bool | None) -> None:
    """The proxy may be used. Raises: Forbidden, where its certificate would be as unchecked as the server's: it
    gets passwords.
    """
    unchecked = isinstance(tls, ssl.SSLContext) and tls.verify_mode is ssl.CERT_NONE
    if unchecked and proxy.startswith("https:"):
        raise Forbidden(
            f"{host} is an insecure registry: its proxy would be spoken to without a check, too",
            hint="say an http:// proxy, or put the registry's authority into certs.d (docs/daemon.md)",
        )


def _forbidden(leaders: list[str], host: str, refused: Refused) -> Forbidden:
    return Forbidden(
        f"{leaders[0] if leaders else host} leads to {host[:200]}, and {refused.strerror}: not followed",
        hint="if that is right, make the folder certs.d/HOST:PORT for it on the daemon's host (docs/daemon.md)",
    )
