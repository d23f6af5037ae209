"""A registry client: manifests and blobs by HTTP, with typed errors, patience and suspicion.

Why not skopeo: docs/decisions/0002-images.md. Source: OCI distribution-spec v1.1, "Pull"; docs/spec/auth/token.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from hyper.errors import Forbidden, HyperError, NotFound, Unauthorized, Unavailable
from hyper.image import limits
from hyper.image.auth import Challenge, RegistryAuth, challenges
from hyper.image.endpoint import Endpoint
from hyper.image.outbound import Outbound, Trip
from hyper.image.patience import Patience, Transient, Waiting, retry_after
from hyper.image.reference import Reference
from hyper.image.trouble import cause, words
from hyper.types.oci import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT_BYTES

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_REDIRECTS = (301, 302, 303, 307, 308)
#: What a request sends: whole, or in pieces.
Body = Callable[[], bytes | AsyncIterator[bytes]]
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_TOO_MANY = 429
_CHUNK = 1 << 20
_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))


class VerificationFailed(HyperError):
    """The failure of bytes that are not those their digest promised."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]
    body: Body | None


class _ErrorItem(msgspec.Struct):
    code: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    errors: list[_ErrorItem] = []


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class Registry:
    """A registry's repository, as its servers show it to one user. Use as async context manager."""

    def __init__(
        self,
        reference: Reference,
        endpoints: list[Endpoint],
        auth: RegistryAuth | None,
        patience: Patience,
        outbound: Outbound,
        *,
        actions: str = "pull",
        also: tuple[str, ...] = (),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """A client. ``actions``: what tokens are asked for; "" for none. ``also``: paths of more repositories to read.

        ``tell`` hears what is waited for, when it takes a while.
        """
        self._reference = reference
        self._actions = actions
        self._also = also
        self._endpoints = endpoints
        self._auth = auth
        self._patience = patience
        self._authorization: dict[Endpoint, str] = {}
        self._scheme: dict[Endpoint, str] = {}
        verb = "pushing" if "push" in actions else "pulling"
        self._waiting = Waiting(patience, f"{verb} {reference.familiar}", tell)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=patience.connect_s, sock_read=patience.stall_s
        )
        self._trip = Trip(outbound, timeout)

    async def __aenter__(self) -> Registry:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._trip.close()

    async def manifest(self, tag_or_digest: str) -> tuple[bytes, str]:
        """The raw manifest or index, verified if asked for by digest, and the Content-Type it came with.

        Raises:
            NotFound, Unauthorized, Forbidden, Unavailable, VerificationFailed
        """

        async def ask(endpoint: Endpoint) -> tuple[bytes, str]:
            path = f"manifests/{tag_or_digest}"
            async with self._get(endpoint, path, {"Accept": _ACCEPT}) as response:
                data = await read_body(response, MAX_DOCUMENT_BYTES)
                _verify(data, tag_or_digest)
                return data, response.headers.get("Content-Type", "")

        return await self.on_endpoints(ask)

    async def small_blob(self, digest: str, size: int) -> bytes:
        """A blob that fits in memory (an image configuration), verified.

        Raises: as `manifest`.
        """

        async def ask(endpoint: Endpoint) -> bytes:
            async with self._get(endpoint, f"blobs/{digest}", {}) as response:
                data = await read_body(response, min(size, MAX_DOCUMENT_BYTES))
                _verify(data, digest)
                return data

        return await self.on_endpoints(ask)

    @asynccontextmanager
    async def blob(
        self, endpoint: Endpoint, digest: str, offset: int
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Open a blob at one endpoint: (where it really starts: ``offset`` or 0, its bytes).

        Raises: as `manifest`, and Transient.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._get(endpoint, f"blobs/{digest}", headers) as response:
            wanted = f"bytes {offset}-"
            partial = response.headers.get("Content-Range", "").startswith(wanted)
            start = offset if response.status == 206 and partial else 0
            if response.status == 206 and not partial:
                raise Unavailable(f"{endpoint} answered another range than asked for")
            yield start, self._pieces(response)

    async def on_endpoints(self, ask: Callable[[Endpoint], Awaitable[_T]]) -> _T:
        """The answer of ``ask`` from the first endpoint that has it; each is asked again while its failures may pass.

        Raises:
            HyperError: the last endpoint's answer; an earlier one's "not found" where the last cannot be reached.
            Unavailable names every endpoint and what happened there.
        """
        return await self._waiting.first(self._endpoints, ask)

    @asynccontextmanager
    async def _get(
        self, endpoint: Endpoint, path: str, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of success (200 or 206), its body unread. Raises: as `request`."""
        async with self.request(endpoint, "GET", path, headers=headers) as response:
            yield response

    @asynccontextmanager
    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        *,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        accepted: tuple[int, ...] = (200, 206),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer with an ``accepted`` status, its body unread.

        ``target``: below the repository, or with a slash in front below the host, or an URL from `location`. ``body``
        makes what is sent, once for every attempt.

        Raises:
            Transient: connection, time or server trouble. HyperError: a final no.
        """
        try:
            scheme = self._scheme.get(endpoint) or await self._find_scheme(endpoint)
            url = f"{scheme}://{endpoint.host}{endpoint.prefix}"
            if "://" in target:
                url = target
            elif target.startswith("/"):
                url += target
            else:
                url += f"/v2/{self._reference.path}/{target}"
            asked = _Request(method, url, headers or {}, body)
            sent = self._authorization.get(endpoint)
            response = await self._follow(endpoint, asked)
            if response.status == 401 and await self._authenticate(endpoint, response, sent):
                response.close()
                response = await self._follow(endpoint, asked)
            async with response:
                if response.status not in accepted:
                    await self._refused(endpoint, response)
                yield response
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorDNSError) as error:
            raise Unavailable(f"registry {endpoint}: {words(error)}") from error
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise Unavailable(f"registry {endpoint} leads to what is no URL to follow") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(cause(error), ConnectionRefusedError):
                raise Unavailable(f"registry {endpoint}: {_refusal(error)}") from error
            raise Transient(words(error)) from error
        except aiohttp.ClientHttpProxyError as error:
            raise _proxy_failure(endpoint, error) from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Transient(words(error)) from error

    async def _follow(self, endpoint: Endpoint, asked: _Request) -> aiohttp.ClientResponse:
        """The first answer that is no redirect. Credentials stay with the registry's own origin."""
        url = asked.url
        leaders = [f"{self._scheme[endpoint]}://{endpoint.host}"]
        for _ in range(limits.MAX_REDIRECTS + 1):
            response = await self._send(endpoint, asked, url, leaders)
            if response.status not in _REDIRECTS or asked.method not in ("GET", "HEAD"):
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            response.close()
            self._check_target(endpoint, url, target)
            leaders.append(url)
            url = target
        raise Unavailable(f"registry {endpoint}: more than {limits.MAX_REDIRECTS} redirects")

    async def _send(
        self, endpoint: Endpoint, asked: _Request, url: str, leaders: list[str]
    ) -> aiohttp.ClientResponse:
        ours = _origin(url) == (self._scheme[endpoint], endpoint.host)
        extra = dict(asked.headers)
        if ours and endpoint in self._authorization:
            extra["Authorization"] = self._authorization[endpoint]
        tls = endpoint.tls if ours and endpoint.tls is not None else endpoint.elsewhere
        limit = self._patience.connect_s + self._patience.answer_s
        async with asyncio.timeout(limit) as deadline:
            data = asked.body() if asked.body is not None else None
            if isinstance(data, AsyncIterator):
                data = _watched(data, deadline, limit)
            return await self._trip.request(
                asked.method, url, leaders=leaders, headers=extra, data=data, ssl=tls
            )

    def location(
        self, endpoint: Endpoint, response: aiohttp.ClientResponse, default: str | None = None
    ) -> str:
        """The URL an answer sends us to for what comes next; ``default`` where it does not say.

        Raises:
            Unavailable: it does not say and must, or leads away from https.
        """
        target = response.headers.get("Location", default or "")
        if not target:
            raise Unavailable(f"registry {endpoint} does not say where to upload to")
        url = urljoin(str(response.url), target)
        self._check_target(endpoint, str(response.url), url)
        return url

    def _check_target(self, endpoint: Endpoint, url: str, target: str) -> None:
        """The URL ``target`` may be followed from ``url``. Raises: Unavailable, it is no such URL, or less safe."""
        scheme = urlsplit(target).scheme
        if scheme not in ("http", "https"):
            raise Unavailable(f"registry {endpoint} leads to {target[:80]!r}: no URL to follow")
        if urlsplit(url).scheme == "https" and scheme != "https":
            raise Unavailable(f"registry {endpoint}: redirects from https to {target[:80]!r}")

    async def _find_scheme(self, endpoint: Endpoint) -> str:
        """The scheme of an endpoint: https where it answers; where the configuration allows, http otherwise."""
        for scheme in endpoint.schemes[:-1]:
            try:
                async with asyncio.timeout(self._patience.connect_s):
                    url = f"{scheme}://{endpoint.host}/v2/"
                    async with await self._trip.request("GET", url, ssl=endpoint.tls or True):
                        pass
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                log.debug("%s does not speak %s: %s", endpoint, scheme, error)
            else:
                self._scheme[endpoint] = scheme
                return scheme
        self._scheme[endpoint] = endpoint.schemes[-1]
        return endpoint.schemes[-1]

    async def _authenticate(
        self, endpoint: Endpoint, response: aiohttp.ClientResponse, sent: str | None
    ) -> bool:
        """Do what the 401 asks for; whether there is something else to try than what was ``sent``."""
        if self._authorization.get(endpoint) != sent:
            return True  # another request, of the same moment, has done it meanwhile
        offered = challenges(", ".join(response.headers.getall("WWW-Authenticate", [])))
        auth = None if endpoint.mirror else self._auth
        for challenge in offered:
            value = None
            if challenge.scheme == "bearer":
                value = await self._bearer(endpoint, challenge, auth)
            elif challenge.scheme == "basic" and auth is not None:
                value = auth.basic
            if value is not None and value != sent:
                self._authorization[endpoint] = value
                return True
        return False

    async def _bearer(
        self, endpoint: Endpoint, challenge: Challenge, auth: RegistryAuth | None
    ) -> str:
        if auth is not None and auth.registry_token:
            return f"Bearer {auth.registry_token}"
        query = [("service", challenge.service)]
        if self._actions:
            scope = challenge.scope or f"repository:{self._reference.path}:{self._actions}"
            query += [
                ("scope", scope),
                *(("scope", f"repository:{one}:pull") for one in self._also),
            ]
        async with self._ask_token(endpoint, challenge.realm, query, auth) as response:
            if response.status in (401, 403):
                raise Unauthorized(
                    f"unauthorized: {urlsplit(challenge.realm).netloc} refused the credentials"
                )
            if response.status != 200:
                raise Transient(
                    f"the token server answered {response.status}",
                    pause_s=retry_after(response.headers.get("Retry-After", "")),
                    limited=response.status == _TOO_MANY,
                )
            try:
                token = msgspec.json.decode(
                    await read_body(response, limits.MAX_ANSWER_BYTES), type=_Token
                )
            except msgspec.DecodeError as error:
                raise Unavailable(
                    f"registry {endpoint}: the token server's answer: {error}"
                ) from error
        return f"Bearer {token.token or token.access_token}"

    @asynccontextmanager
    async def _ask_token(
        self,
        endpoint: Endpoint,
        realm: str,
        query: list[tuple[str, str]],
        auth: RegistryAuth | None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        parts = urlsplit(realm)
        insecure = len(endpoint.schemes) > 1 or endpoint.schemes == ("http",)
        if parts.scheme not in (("https", "http") if insecure else ("https",)):
            raise Unavailable(f"registry {endpoint}: refusing the token server {realm[:80]!r}")
        tls = endpoint.tls if endpoint.tls is not None else True
        if auth is not None and auth.identity_token:
            scopes = " ".join(value for name, value in query if name == "scope")
            form = {
                "grant_type": "refresh_token",
                "refresh_token": auth.identity_token,
                "client_id": "hyper",
                "service": query[0][1],
                "scope": scopes,
            }
            options: dict[str, Any] = {"method": "POST", "data": form}
        else:
            headers = {"Authorization": auth.basic} if auth is not None and auth.basic else {}
            options = {"method": "GET", "params": query, "headers": headers}
        leaders = [f"{self._scheme[endpoint]}://{endpoint.host}"]
        async with asyncio.timeout(self._patience.connect_s + self._patience.answer_s):
            response = await self._trip.request(url=realm, leaders=leaders, ssl=tls, **options)
            async with response:
                yield response

    async def _refused(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> None:
        """Raise the error that an unsuccessful answer means, in Docker's words."""
        status, item = response.status, await _first_error(response)
        said = (
            f"{item.code.replace('_', ' ').lower()}: {item.message}" if item.code else str(status)
        )
        name = self._reference.familiar_name
        if status in _TRANSIENT:
            why = f"HTTP {status}" + (f": {said}" if item.code else "")
            pause_s = retry_after(response.headers.get("Retry-After", ""))
            raise Transient(why, pause_s=pause_s, limited=status == _TOO_MANY)
        if "push" in self._actions:
            self._push_refused(endpoint, status, said)
        if status in (401, 403) and (
            item.code == "DENIED" or self._authorization.get(endpoint, "").startswith("Bearer")
        ):
            raise NotFound(
                f"pull access denied for {name}, repository does not exist or may require "
                f"'docker login': denied: requested access to the resource is denied"
            )
        if status == 401:
            raise Unauthorized(
                f"{endpoint}: unauthorized: authentication required",
                hint=f"log in first: docker login {self._reference.domain}",
            )
        if status == 403:
            raise Forbidden(f"registry {endpoint} forbids {name}: {said}")
        if status == 404 and "/blobs/" in response.url.path:
            raise NotFound(f"{endpoint} has no {response.url.path.rpartition('/')[2]}: {said}")
        if status == 404 and item.code == "NAME_UNKNOWN":
            raise NotFound(f"repository {name} not found: {said}")
        if status == 404:
            raise NotFound(f"manifest for {self._reference.familiar} not found: {said}")
        raise Unavailable(f"registry {endpoint} answered HTTP {status}: {said}")

    def _push_refused(self, endpoint: Endpoint, status: int, said: str) -> None:
        """Raise the error that an unsuccessful answer to a push means, where a pull's would be another."""
        if status == 401 and not self._authorization.get(endpoint, "").startswith("Bearer"):
            raise Unauthorized(
                "unauthorized: authentication required",
                hint=f"log in first: docker login {self._reference.domain}",
            )
        if status in (401, 403):
            raise Forbidden("denied: requested access to the resource is denied")
        if status == 404:
            raise NotFound(f"registry {endpoint}: {said}")

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body in pieces of about a MiB: few, because each is handed to a thread."""
        buffer = bytearray()
        try:
            async for piece in response.content.iter_any():
                buffer += piece
                if len(buffer) >= _CHUNK:
                    yield bytes(buffer)
                    buffer.clear()
        except (aiohttp.ClientError, TimeoutError):
            if buffer:
                yield bytes(buffer)  # so that the next attempt starts behind it
            raise
        if buffer:
            yield bytes(buffer)


async def _watched(
    pieces: AsyncIterator[bytes], deadline: asyncio.Timeout, limit: float
) -> AsyncIterator[bytes]:
    """The pieces ``pieces``; while they are taken, the deadline moves on."""
    async for piece in pieces:
        if not deadline.expired():
            deadline.reschedule(asyncio.get_running_loop().time() + limit)
        yield piece


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _verify(data: bytes, digest: str) -> None:
    if digest.startswith("sha256:") and digest != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise VerificationFailed(f"manifest verification failed for digest {digest}")


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body of an answer.

    Raises:
        VerificationFailed: it is longer than ``limit``.
    """
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > limit:
            raise VerificationFailed(
                f"{response.url.host} sent more than {limit} bytes where that is the most"
            )
    return bytes(data)


async def _first_error(response: aiohttp.ClientResponse) -> _ErrorItem:
    """The first error in a registry's answer, shortened; the body may be anything."""
    try:
        body = msgspec.json.decode(
            await read_body(response, limits.MAX_ANSWER_BYTES), type=_ErrorBody
        )
    except (msgspec.DecodeError, VerificationFailed):
        return _ErrorItem()
    item = body.errors[0] if body.errors else _ErrorItem()
    return _ErrorItem(item.code[:64], item.message[:300])


def _refusal(error: aiohttp.ClientConnectorError) -> str:
    """The refusal in words, of the server itself or of the proxy before it."""
    through = isinstance(error, aiohttp.ClientProxyConnectionError)
    return words(error) if through else "connection refused"


def _proxy_failure(endpoint: Endpoint, error: aiohttp.ClientHttpProxyError) -> Exception:
    """The error that a proxy's no to CONNECT means: final where it is about us, else it may pass."""
    if error.status == 407:
        return Unavailable(
            f"registry {endpoint}: the proxy wants to know who asks (407)",
            hint="write user and password into its URL: http://USER:PASSWORD@HOST:PORT",
        )
    if error.status in _TRANSIENT:
        return Transient(words(error))
    return Unavailable(f"registry {endpoint}: {words(error)}")
