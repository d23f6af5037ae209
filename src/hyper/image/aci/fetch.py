"""HTTP for discovery, downloads and imports: GET over TLS, suspicious of every answer.

Proxies, and how near servers may lead: `hyper.image.outbound`. TLS as for registries (`hyper.image.endpoint`): the
host's authorities and ``certs.d``; without verification, or without TLS, only where the daemon was told so
(``--insecure-registry``). Loopback is no exception here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp

from hyper.errors import InvalidRequest, NotFound, Unauthorized, Unavailable
from hyper.image import limits
from hyper.image.endpoint import Endpoints
from hyper.image.outbound import Outbound, Trip
from hyper.image.patience import Patience
from hyper.image.reach import ANYWHERE, Reach
from hyper.image.reference import Reference
from hyper.image.trouble import words

_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 20


class Web:
    """The web: other hosts, as this daemon trusts them."""

    def __init__(self, endpoints: Endpoints, outbound: Outbound, patience: Patience) -> None:
        self._endpoints = endpoints
        self._outbound = outbound
        self._patience = patience

    async def document(
        self, url: str, *, max_bytes: int, within: Reach = ANYWHERE
    ) -> tuple[bytes, Reach]:
        """The document at ``url``, and how far its server may lead.

        Raises:
            NotFound: nothing (any 4xx). InvalidRequest: more than ``max_bytes``, or a URL we do not follow.
            Unauthorized, Unavailable, Forbidden: as `download`.
        """
        data = bytearray()
        async with self.download(url, lambda _done, _total: None, within=within) as (pieces, reach):
            async for piece in pieces:
                data += piece
                if len(data) > max_bytes:
                    raise InvalidRequest(f"{url} is longer than {max_bytes} bytes")
        return bytes(data), reach

    @asynccontextmanager
    async def download(
        self,
        url: str,
        progress: Callable[[int, int], None],
        *,
        within: Reach = ANYWHERE,
        plain: bool = False,
    ) -> AsyncIterator[tuple[AsyncIterator[bytes], Reach]]:
        """The pieces of what GET ``url`` brings, redirects followed; and how far those servers together may lead.

        ``progress`` gets bytes so far and in all (0: not known). ``within``: how far the one who named the URL may
        lead; users anywhere. ``plain``: http is as good as https, until a server speaks https.

        Raises:
            NotFound: the server has it not. Unauthorized: it wants credentials. Unavailable: it does not answer,
            or not with 200. InvalidRequest: a URL that is not followed. Forbidden: it leads where it may not.
        """
        patience = self._patience
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=patience.connect_s, sock_read=patience.stall_s
        )
        trip = Trip(self._outbound, timeout)
        try:
            response, reach = await self._follow(trip, url, within, plain=plain)
            try:
                _check(response)
                total = response.content_length or 0
                yield self._pieces(response, lambda done: progress(done, total)), reach
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"cannot get {url}: {words(error)}") from error
        finally:
            await trip.close()

    async def _follow(
        self, trip: Trip, url: str, within: Reach, *, plain: bool
    ) -> tuple[aiohttp.ClientResponse, Reach]:
        leaders: list[str] = []
        for _ in range(limits.MAX_REDIRECTS + 1):
            context = await self._trusted(url, plain=plain)
            async with asyncio.timeout(self._patience.answer_s):
                response = await trip.request(
                    "GET", url, leaders=leaders, within=within, ssl=context
                )
            leaders.append(url)
            if response.status not in _REDIRECTS:
                return response, within & trip.reach(urlsplit(one).netloc for one in leaders)
            response.close()
            plain = plain and urlsplit(url).scheme == "http"
            url = _joined(url, response.headers.get("Location", ""))
        raise Unavailable(f"{url}: more than {limits.MAX_REDIRECTS} redirects")

    async def _trusted(self, url: str, *, plain: bool) -> ssl.SSLContext:
        """The TLS context for the host of ``url``. Raises: InvalidRequest for a URL that is not followed."""
        parts = _split(url)
        endpoint = (await asyncio.to_thread(self._endpoints.of, Reference(parts.netloc, "")))[-1]
        if parts.scheme not in endpoint.schemes and not plain:
            raise InvalidRequest(
                f"{url[:200]} is not encrypted",
                hint=f"hyperd --insecure-registry {parts.netloc} allows it",
            )
        assert endpoint.tls is not None
        return endpoint.tls

    async def _pieces(
        self, response: aiohttp.ClientResponse, progress: Callable[[int], None]
    ) -> AsyncIterator[bytes]:
        done = 0
        async for piece in response.content.iter_chunked(_CHUNK):
            done += len(piece)
            progress(done)
            yield piece


def _joined(base: str, target: str) -> str:
    """The URL a redirect leads to. Raises: InvalidRequest, nowhere."""
    try:
        return urljoin(base, target)
    except ValueError:
        raise InvalidRequest(f"{base} leads to {target[:200]!r}, which is no URL") from None


def _split(url: str) -> SplitResult:
    """The parts of a URL that can be followed. Raises: InvalidRequest, it cannot."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:
        raise InvalidRequest(f"{url[:200]!r} is no URL to follow: https://… is")
    return parts


def _check(response: aiohttp.ClientResponse) -> None:
    shown = f"{response.url} answered HTTP {response.status}"
    if response.status == 401:
        raise Unauthorized(shown)
    if 400 <= response.status < 500:
        raise NotFound(shown)
    if response.status != 200:
        raise Unavailable(shown)
