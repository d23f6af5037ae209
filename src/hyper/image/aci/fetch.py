"""What discovery and downloads need of HTTP: GET over TLS, suspicious of every answer.

TLS as for registries (`hyper.image.endpoint`): the host's authorities and ``certs.d``; without verification, or without
TLS, only where the daemon was told so (``--insecure-registry``). Loopback is no exception here.
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
from hyper.image.reference import Reference
from hyper.image.registry import Patience

_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 20


class Web:
    """Other hosts, as this daemon trusts them."""

    def __init__(self, endpoints: Endpoints, patience: Patience) -> None:
        self._endpoints = endpoints
        self._patience = patience

    async def document(self, url: str, *, max_bytes: int) -> bytes:
        """What is at ``url``.

        Raises:
            NotFound: nothing (any 4xx). InvalidRequest: more than ``max_bytes``, or a URL we do not follow.
            Unauthorized, Unavailable: as `opened`.
        """
        async with self.opened(url) as response:
            data = bytearray()
            async for piece in self._pieces(response, lambda _: None):
                data += piece
                if len(data) > max_bytes:
                    raise InvalidRequest(f"{url} is longer than {max_bytes} bytes")
            return bytes(data)

    @asynccontextmanager
    async def download(
        self, url: str, progress: Callable[[int, int], None]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of what is at ``url``. ``progress`` gets bytes so far and in all (0: not known).

        Raises: as `opened`.
        """
        async with self.opened(url) as response:
            total = response.content_length or 0
            yield self._pieces(response, lambda done: progress(done, total))

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to GET ``url`` with status 200, redirects followed.

        Raises:
            NotFound: the server has it not. Unauthorized: it wants to know who asks. Unavailable: it does not answer,
            or not with 200. InvalidRequest: a URL that is not followed.
        """
        patience = self._patience
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=patience.connect_s, sock_read=patience.stall_s
        )
        try:
            async with aiohttp.ClientSession(
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            ) as session:
                response = await self._follow(session, url)
                try:
                    _check(response)
                    yield response
                finally:
                    response.close()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"cannot get {url}: {error or type(error).__name__}") from error

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> aiohttp.ClientResponse:
        for _ in range(limits.MAX_REDIRECTS + 1):
            context = await self._trusted(url)
            async with asyncio.timeout(self._patience.answer_s):
                response = await session.get(url, ssl=context, allow_redirects=False)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            url = _joined(url, response.headers.get("Location", ""))
        raise Unavailable(f"{url}: more than {limits.MAX_REDIRECTS} redirects")

    async def _trusted(self, url: str) -> ssl.SSLContext:
        """How to speak TLS with the host of ``url``. Raises: InvalidRequest for one that is not followed."""
        parts = _split(url)
        endpoint = (await asyncio.to_thread(self._endpoints.of, Reference(parts.netloc, "")))[-1]
        if parts.scheme not in endpoint.schemes:
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
    """Where a redirect leads. Raises: InvalidRequest, nowhere."""
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
