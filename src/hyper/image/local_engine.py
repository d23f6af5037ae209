"""A container engine of this host (Docker, podman) and its images, asked in Docker's API on a unix socket.

Source: Docker Engine API v1.41, "Inspect an image" and "Export an image"; podman serves the same, and its own API.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp
import msgspec

from hyper.errors import Forbidden, InvalidRequest, NotFound, Unavailable
from hyper.image import limits
from hyper.image.reference import Reference, parse
from hyper.image.trouble import words
from hyper.system import socket as sockets
from hyper.types.oci import Platform, is_digest

_ROOT: Final = 0
#: The first word of the Server header, and what people call who says so.
_NAMES: Final = {"Docker": "Docker", "Libpod": "podman", "Hyper": "Hyper"}
#: podman's own API, in the oldest version that it has served since its release 4.
_LIBPOD: Final = "/v4.0.0/libpod"
#: Characters of an engine's complaint that are passed on.
_MAX_ERROR: Final = 200


@dataclass(frozen=True, slots=True)
class EnginePatience:
    """The patience with an engine, in seconds: for an answer, for the first byte of an image (Docker writes
    all of it into a folder first), between two pieces of it.
    """

    answer_s: float = limits.ANSWER_TIMEOUT_S
    export_s: float = limits.EXPORT_TIMEOUT_S
    stall_s: float = limits.STALL_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer: an image that an engine says it has. ``tags`` and ``digests``: its names there."""

    image_id: str
    platform: Platform
    tags: tuple[Reference, ...] = ()
    digests: tuple[Reference, ...] = ()


class _Inspect(msgspec.Struct, rename="pascal"):
    """The members of ImageInspect that count here."""

    id: str
    os: str = ""
    architecture: str = ""
    variant: str | None = ""
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None


class _Error(msgspec.Struct):
    message: str = ""


class LocalEngine:
    """An engine to speak to; made by `connected`. ``socket``: where it listens."""

    def __init__(
        self, socket: Path, session: aiohttp.ClientSession, patience: EnginePatience
    ) -> None:
        self.socket = socket
        #: As people call it, once it has answered.
        self.name = "The local engine"
        self._session = session
        self._patience = patience

    @property
    def kind(self) -> str:
        """The `Origin.kind` of the engine's images."""
        return self.name.lower() if self.name in _NAMES.values() else "engine"

    async def find(self, name: Reference | str) -> Offer | None:
        """The image of this name, or with this id (or beginning of an id: a string); None if it has none.

        Raises:
            Unavailable: the engine does not answer in time, or with an error, or nothing that makes sense.
        """
        text = name if isinstance(name, str) else str(name)
        path = f"/images/{quote(text, safe='/:@')}/json"
        with self._errors(f"GET {path}"):
            async with (
                asyncio.timeout(self._patience.answer_s),
                self._session.get(f"http://engine{path}", allow_redirects=False) as response,
            ):
                word = response.headers.get("Server", "").partition("/")[0]
                self.name = _NAMES.get(word, self.name)
                data = await _body(response)
        if response.status == 404:
            return None
        if response.status != 200:
            raise self._broken(f"it answers {response.status}: {_message(data)}")
        offer = self._offer(data)
        return offer if _is_meant(offer, name) else None

    def _offer(self, data: bytes) -> Offer:
        try:
            said = msgspec.json.decode(data, type=_Inspect)
            tags = _references(said.repo_tags)
            digests = _references(said.repo_digests)
        except (msgspec.DecodeError, UnicodeError, RecursionError, InvalidRequest) as error:
            raise self._broken(f"what it says of the image makes no sense: {error}") from None
        image_id = said.id if said.id.startswith("sha256:") else f"sha256:{said.id}"
        if not is_digest(image_id):
            raise self._broken(f"{said.id[:80]!r} is no image id")
        platform = Platform(said.architecture, said.os or "linux", said.variant or "")
        return Offer(image_id, platform, tags, digests)

    async def archive(self, image_id: str) -> AsyncGenerator[bytes, None]:
        """The image as `docker save` has it, or as an OCI layout, in pieces.

        Raises:
            Unavailable: the engine does not answer, fails, or stops in the middle. NotFound: the image has just gone.
        """
        path = f"/images/{image_id}/get"
        response = await self._exported(path)
        if response.status == 500 and self.kind == "podman":
            # It cannot put layers compressed with zstd into an archive of Docker's kind.
            response.close()
            path = f"{_LIBPOD}{path}?format=oci-archive"
            response = await self._exported(path)
        with self._errors(f"GET {path}"):
            async with response:
                if response.status != 200:
                    async with asyncio.timeout(self._patience.answer_s):
                        why = _message(await _body(response))
                    kind = NotFound if response.status == 404 else Unavailable
                    raise kind(f"{self.name} at {self.socket} answers {response.status}: {why}")
                while True:
                    async with asyncio.timeout(self._patience.stall_s):
                        piece = await response.content.readany()
                    if not piece:
                        return
                    yield piece

    async def _exported(self, path: str) -> aiohttp.ClientResponse:
        with self._errors(f"GET {path}"):
            async with asyncio.timeout(self._patience.export_s):
                return await self._session.get(f"http://engine{path}", allow_redirects=False)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise self._broken(f"{what} is not answered in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._broken(f"{what}: {words(error)[:_MAX_ERROR]}") from error

    def _broken(self, why: str) -> Unavailable:
        return Unavailable(f"{self.name} at {self.socket}: {why}")


@asynccontextmanager
async def connected(
    socket: Path, patience: EnginePatience, *, own_pid: int
) -> AsyncIterator[LocalEngine | None]:
    """The engine that listens at ``socket``, as long as the context lasts.

    None where there is none for us: no socket, no listener, we may not connect, or process ``own_pid`` listens.

    Raises:
        Forbidden: the listener's user is neither root nor ours. Unavailable: its queue is full, it is no socket.
    """
    with _held(socket, own_pid) as way:
        if way is None:
            yield None
            return
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience.answer_s)
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=way),
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "hyper/0.1", "Accept-Encoding": "identity"},
        ) as session:
            yield LocalEngine(socket, session, patience)


@contextmanager
def _held(path: Path, own_pid: int) -> Iterator[str | None]:
    """A path to the socket that ``path`` names now, whatever that comes to mean; None or errors as in `connected`."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        fd = -1
    except OSError as error:
        raise Unavailable(f"the local engine {path} cannot be found: {error.strerror}") from None
    if fd < 0:
        yield None
        return
    try:
        way = f"/proc/self/fd/{fd}"
        yield way if _listener(path, fd, way) not in (None, own_pid) else None
    finally:
        os.close(fd)


def _listener(path: Path, fd: int, way: str) -> int | None:
    """The process that listens on the socket; None: there is none, or not for us."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise Unavailable(f"the local engine {path} is no socket")
    try:
        with closing(sockets.connect(Path(way))) as probe:
            pid, uid = sockets.peer(probe)
    except (ConnectionRefusedError, PermissionError):
        return None
    except OSError as error:
        why = error.strerror
        raise Unavailable(f"the local engine {path} takes no connection: {why}") from None
    if uid not in (_ROOT, os.geteuid()):
        raise Forbidden(
            f"the local engine {path} is of user {uid}: only root's and our own is trusted"
        )
    return pid


def _references(texts: list[str] | None) -> tuple[Reference, ...]:
    """The references in an engine's answer. Docker's <none>:<none> is none."""
    return tuple(parse(text) for text in texts or () if "<none>" not in text)


def _is_meant(offer: Offer, name: Reference | str) -> bool:
    """Whether the offer is the image that was asked for: podman guesses at registries, Docker at ids."""
    if isinstance(name, str):
        return offer.image_id.startswith(f"sha256:{name}")
    if name.digest is not None:
        return name.with_digest(name.digest) in offer.digests
    return name in offer.tags


async def _body(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > limits.MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is longer than {limits.MAX_ANSWER_BYTES} bytes")
    return data


def _message(data: bytes) -> str:
    try:
        return msgspec.json.decode(data, type=_Error).message[:_MAX_ERROR]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ascii(data[:_MAX_ERROR])
