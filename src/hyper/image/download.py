"""Downloads of blobs to files: resumed where the connection broke, verified before any other use."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from hyper.image import limits, space
from hyper.image.endpoint import Endpoint
from hyper.image.patience import Transient
from hyper.image.registry import Registry, VerificationFailed
from hyper.system.uninterrupted import uninterrupted
from hyper.types.oci import Descriptor


async def download(
    registry: Registry, blob: Descriptor, target: Path, progress: Callable[[int], None]
) -> None:
    """Write ``blob`` to the file ``target`` (new). On return size and digest were right.

    The caller removes ``target`` on failure.

    Raises:
        VerificationFailed: other bytes came than promised.
        NotFound, Unauthorized, Unavailable: as `Registry.manifest`.
        HyperError: the blob has no room. OSError: ENOSPC and its kin.
    """
    if blob.size > limits.MAX_LAYER_BLOB_BYTES:
        raise VerificationFailed(f"layer {blob.digest} is too large: {blob.size} bytes")
    space.check_fits(target.parent, blob.size, f"layer {blob.digest}")
    with target.open("xb", buffering=0) as file:
        receiver = _Receiver(file.fileno(), blob, progress, space.Watch(target.parent))
        await registry.on_endpoints(lambda endpoint: receiver.receive(registry, endpoint))


class _Receiver:
    """The state of one download over its attempts: how far it came, and the digest so far."""

    def __init__(
        self, fd: int, blob: Descriptor, progress: Callable[[int], None], watch: space.Watch
    ) -> None:
        self._fd = fd
        self._watch = watch
        self._blob = blob
        self._progress = progress
        self._restart()

    def _restart(self) -> None:
        self._offset = 0
        self._sha = hashlib.sha256()
        os.ftruncate(self._fd, 0)

    async def receive(self, registry: Registry, endpoint: Endpoint) -> None:
        """Get what is missing of the blob from ``endpoint``, or all if that cannot resume.

        Raises:
            Transient: the connection broke; what came is kept.
        """
        before = self._offset
        if before < self._blob.size or before == 0:
            try:
                await self._transfer(registry, endpoint)
            except Transient as error:
                raise error.again(progress=self._offset > before) from error
        if self._offset < self._blob.size:
            raise Transient(
                f"layer {self._blob.digest} ended after {self._offset} of {self._blob.size} bytes",
                progress=self._offset > before,
            )
        if f"sha256:{self._sha.hexdigest()}" != self._blob.digest:
            self._restart()
            raise VerificationFailed(
                f"filesystem layer verification failed for digest {self._blob.digest}"
            )

    async def _transfer(self, registry: Registry, endpoint: Endpoint) -> None:
        async with registry.blob(endpoint, self._blob.digest, self._offset) as (start, pieces):
            if start != self._offset:
                self._restart()
            async for piece in pieces:
                if self._offset + len(piece) > self._blob.size:
                    self._restart()
                    raise VerificationFailed(
                        f"layer {self._blob.digest} is longer than the {self._blob.size} bytes promised"
                    )
                # Else the thread of a cancelled pull would write to whatever has the descriptor's number next.
                await uninterrupted(asyncio.to_thread(self._store, piece))
                self._progress(self._offset)

    def _store(self, piece: bytes) -> None:
        self._watch.take(len(piece))
        view = memoryview(piece)
        offset = self._offset
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written
        self._sha.update(piece)
        self._offset = offset
