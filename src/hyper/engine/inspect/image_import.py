"""Images made by ``docker import``: a root file system as a tar becomes an image of one layer.

Source: moby daemon/images/image_import.go (v20.10).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from hyper.errors import InvalidRequest
from hyper.image import instructions
from hyper.image import platform as platforms
from hyper.image.assemble import Recipe
from hyper.image.images import Images
from hyper.image.record import ImageRecord, PullEvent
from hyper.image.reference import Reference, parse_tag
from hyper.units import rfc3339

_MAX_TEXT: Final = 64 * 1024

Progress = Callable[[PullEvent], None]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A request for an import. ``source``: "-" (the body) or a URL; ``repository`` "": no name."""

    source: str
    repository: str
    tag: str
    message: str
    platform: str
    changes: list[str]


async def import_image(
    images: Images, request: ImportRequest, body: AsyncIterable[bytes], progress: Progress
) -> ImageRecord:
    """The image made of the tar has been stored.

    Raises:
        InvalidRequest: a bad name, instruction, URL or tar. HyperError: no space…; as `Web.download` for the URL.
    """
    name = _name(request)
    config = _config(request)
    if request.source == "-":
        return await images.assemble(Recipe(config, tar=body, name=name))
    url = _url(request.source)
    progress(PullEvent("", f"Downloading from {url}"))

    def tell(done: int, total: int) -> None:
        progress(PullEvent("", "Importing", done, total))

    async with images.web.download(url, tell, plain=True) as (pieces, _):
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
