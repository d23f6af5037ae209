"""Uploads of blobs and manifests to a registry: only those that it has not, resumed where the connection broke.

Source: OCI distribution-spec v1.1, "Push".
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from urllib.parse import urlencode

from hyper.image.endpoint import Endpoint
from hyper.image.patience import Transient
from hyper.image.registry import Registry
from hyper.types.oci import Descriptor

_CHUNK = 1 << 20
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_OCTETS = {"Content-Type": "application/octet-stream"}

Progress = Callable[[int], None]


async def has_blob(registry: Registry, digest: str) -> bool:
    """Whether the repository has a blob.

    Raises: as `Registry.manifest`.
    """

    async def ask(endpoint: Endpoint) -> bool:
        async with registry.request(
            endpoint, "HEAD", f"blobs/{digest}", accepted=(200, 404)
        ) as response:
            return response.status == 200

    return await registry.on_endpoints(ask)


async def mount_blob(registry: Registry, digest: str, repositories: Iterable[str]) -> str | None:
    """The first of ``repositories`` (paths on the same registry) from which the registry took the blob over; or None.

    Raises: as `Registry.manifest`.
    """
    for path in repositories:
        query = urlencode({"mount": digest, "from": path})

        async def ask(endpoint: Endpoint, query: str = query) -> bool:
            # 202: it does not mount, and begins an upload that nobody continues; it forgets that by itself.
            async with registry.request(
                endpoint, "POST", f"blobs/uploads/?{query}", accepted=(201, 202)
            ) as response:
                return response.status == 201

        if await registry.on_endpoints(ask):
            return path
    return None


async def send_blob(registry: Registry, blob: Descriptor, file: Path, progress: Progress) -> None:
    """The blob whose bytes are in ``file`` is in the repository.

    Raises: as `Registry.manifest`.
    """
    sender = _Sender(registry, blob, file, progress)
    await registry.on_endpoints(sender.send)


async def send_document(registry: Registry, blob: Descriptor, data: bytes) -> None:
    """The blob ``data`` is in the repository.

    Raises: as `Registry.manifest`.
    """

    async def ask(endpoint: Endpoint) -> None:
        location = await _begin(registry, endpoint)
        await _finish(registry, endpoint, location, blob.digest, data)

    await registry.on_endpoints(ask)


async def send_manifest(registry: Registry, tag: str, data: bytes, media_type: str) -> None:
    """The tag ``tag`` names the manifest ``data`` in the repository.

    Raises: as `Registry.manifest`.
    """

    async def ask(endpoint: Endpoint) -> None:
        async with registry.request(
            endpoint,
            "PUT",
            f"manifests/{tag}",
            headers={"Content-Type": media_type},
            body=lambda: data,
            accepted=(200, 201),
        ):
            pass

    await registry.on_endpoints(ask)


async def _begin(registry: Registry, endpoint: Endpoint) -> str:
    async with registry.request(endpoint, "POST", "blobs/uploads/", accepted=(202,)) as response:
        return registry.location(endpoint, response)


async def _finish(
    registry: Registry, endpoint: Endpoint, location: str, digest: str, data: bytes
) -> None:
    query = ("&" if "?" in location else "?") + urlencode({"digest": digest})
    async with registry.request(
        endpoint, "PUT", location + query, headers=_OCTETS, body=lambda: data, accepted=(201, 204)
    ):
        pass


class _Sender:
    """The sender of one blob: the state of an upload over its attempts."""

    def __init__(
        self, registry: Registry, blob: Descriptor, file: Path, progress: Progress
    ) -> None:
        self._registry = registry
        self._blob = blob
        self._file = file
        self._progress = progress
        self._location: str | None = None
        self._offset = 0

    async def send(self, endpoint: Endpoint) -> None:
        """Send the part of the blob that the registry has not got yet.

        Raises:
            Transient: the connection broke.
        """
        before = self._offset
        if self._location is not None:
            await self._resume(endpoint)
        if self._location is None:
            self._location, self._offset = await _begin(self._registry, endpoint), 0
        try:
            if self._offset < self._blob.size:
                await self._patch(endpoint)
            await _finish(self._registry, endpoint, self._location, self._blob.digest, b"")
        except Transient as error:
            raise error.again(progress=self._offset > before) from error

    async def _resume(self, endpoint: Endpoint) -> None:
        """Ask how far the upload got; where that cannot be said, begin anew."""
        assert self._location is not None
        async with self._registry.request(
            endpoint, "GET", self._location, accepted=(204, 404)
        ) as response:
            match = _RANGE.fullmatch(response.headers.get("Range", ""))
            known = int(match[1]) + 1 if match is not None else 0
            if response.status != 204 or not 1 < known <= self._blob.size:
                self._location, self._offset = None, 0
                return
            self._location = self._registry.location(endpoint, response, self._location)
        self._offset = known

    async def _patch(self, endpoint: Endpoint) -> None:
        start, size = self._offset, self._blob.size
        headers = {
            **_OCTETS,
            "Content-Length": str(size - start),
            "Content-Range": f"{start}-{size - 1}",
        }
        assert self._location is not None
        async with self._registry.request(
            endpoint,
            "PATCH",
            self._location,
            headers=headers,
            body=lambda: self._pieces(start),
            accepted=(202, 204),
        ) as response:
            self._location = self._registry.location(endpoint, response, self._location)
        self._offset = size

    async def _pieces(self, start: int) -> AsyncIterator[bytes]:
        with self._file.open("rb", buffering=0) as file:
            file.seek(start, os.SEEK_SET)
            self._offset = start
            while piece := await asyncio.to_thread(file.read, _CHUNK):
                yield piece
                self._offset += len(piece)
                self._progress(self._offset)
