"""``docker import``: a root file system as a tar becomes an image of one layer.

Source: moby daemon/images/image_import.go (v20.10).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from hyper.errors import InvalidRequest, Unavailable
from hyper.image import instructions
from hyper.image import platform as platforms
from hyper.image.assemble import Recipe
from hyper.image.images import Images
from hyper.image.record import ImageRecord, PullEvent
from hyper.image.reference import Reference, parse_tag
from hyper.units import rfc3339

_CHUNK: Final = 1 << 20
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=15.0, sock_read=30.0)
_MAX_TEXT: Final = 64 * 1024

Progress = Callable[[PullEvent], None]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What was asked. ``source``: "-" (the body) or a URL; ``repository`` "": no name."""

    source: str
    repository: str
    tag: str
    message: str
    platform: str
    changes: list[str]


async def import_image(
    images: Images, request: ImportRequest, body: AsyncIterable[bytes], progress: Progress
) -> ImageRecord:
    """The image is here.

    Raises:
        InvalidRequest: a bad name, instruction, URL or tar. Unavailable: the URL does not answer. HyperError: no space…
    """
    name = _name(request)
    config = _config(request)
    if request.source == "-":
        return await images.assemble(Recipe(config, tar=body, name=name))
    url = _url(request.source)
    progress(PullEvent("", f"Downloading from {url}"))
    async with _download(url, progress) as pieces:
        return await images.assemble(Recipe(config, tar=pieces, name=name))


def _name(request: ImportRequest) -> Reference | None:
    return parse_tag(request.repository, request.tag) if request.repository else None


def _config(request: ImportRequest) -> dict[str, Any]:
    wanted = platforms.parse(request.platform) if request.platform else platforms.host()
    if wanted.os != "linux":
        raise InvalidRequest(f"operating system is not supported: {wanted.os}")
    if len(request.message) > _MAX_TEXT:
        raise InvalidRequest(f"the message is longer than {_MAX_TEXT} characters")
    now = rfc3339(time.time_ns())
    message = request.message or f"Imported from {request.source}"
    whole: dict[str, Any] = {
        "architecture": wanted.architecture,
        "os": wanted.os,
        "created": now,
        "comment": message,
        "config": instructions.applied({}, request.changes),
        "history": [{"created": now, "comment": message}],
    }
    if wanted.variant:
        whole["variant"] = wanted.variant
    return whole


def _url(source: str) -> str:
    url = source if "://" in source else f"http://{source}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise InvalidRequest(f"invalid source: {source[:200]!r} is no http or https URL")
    return url


@asynccontextmanager
async def _download(url: str, progress: Progress) -> AsyncIterator[AsyncIterator[bytes]]:
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url) as response,
        ):
            if response.status != 200:
                raise Unavailable(f"{url} answered HTTP {response.status}")
            yield _pieces(response, progress)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"cannot get {url}: {error or type(error).__name__}") from error


async def _pieces(response: aiohttp.ClientResponse, progress: Progress) -> AsyncIterator[bytes]:
    done, total = 0, response.content_length or 0
    async for piece in response.content.iter_chunked(_CHUNK):
        done += len(piece)
        progress(PullEvent("", "Importing", done, total))
        yield piece
