"""A layer's way into the store, from wherever its bytes come: a registry, an archive, a client."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hyper.errors import HyperError, InvalidRequest, reason
from hyper.image import blobs, limits
from hyper.image.decompress import compression_of
from hyper.image.record import LayerInfo
from hyper.image.registry import VerificationFailed
from hyper.image.space import Watch
from hyper.image.squash import Bounds, squash
from hyper.image.store import Store
from hyper.image.tarstream import BadLayer
from hyper.image.worker import Facts
from hyper.system.uninterrupted import uninterrupted

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_MAGIC_BYTES = 6


@dataclass(frozen=True, slots=True)
class Received:
    """A received file: finished, of unknown content."""

    path: Path
    digest: str
    size: int


async def keep_layer(
    store: Store,
    bounds: Bounds,
    raw: Received,
    pins: ExitStack,
    *,
    promised: str | None = None,
    keep_blob: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> Facts:
    """The tar in ``raw`` (compressed or not) is a layer of the store, pinned until ``pins`` close.

    ``raw`` becomes the layer's blob with ``keep_blob``; else the caller removes it. ``promised``: the diff id it must
    have.

    Raises:
        BadLayer: the layer is broken or hostile. VerificationFailed: it has another diff id.
        OSError: ENOSPC and its kin.
    """
    with scratch_file(store, ".sqfs") as built:
        work = squash(raw.path, built, bounds=bounds, progress=progress)
        if keep_blob:
            facts, _ = await asyncio.gather(work, asyncio.to_thread(sync, raw.path))
        else:
            facts = await work
        if promised is not None and facts.diff_id != promised:
            raise VerificationFailed(
                f"layer {raw.digest} unpacks to {facts.diff_id}, the image promises {promised}"
            )
        pins.enter_context(store.pinned([facts.diff_id]))
        size = built.stat().st_size
        info = LayerInfo(
            facts.diff_id, facts.content_bytes, size, facts.entries, facts.opaque, facts.empty
        )
        # The pin has to outlive this: what is put there after a collection would stay for good.
        await uninterrupted(
            asyncio.to_thread(_adopt, store, info, built, raw if keep_blob else None)
        )
    return facts


def _adopt(store: Store, info: LayerInfo, built: Path, raw: Received | None) -> None:
    if store.layer(info.diff_id) is None:
        store.add_layer(info, built)
    if raw is not None:
        keep_blob(store, raw, info.diff_id)


def keep_blob(store: Store, raw: Received, diff_id: str) -> blobs.Blob:
    """The synced file ``raw`` is a blob of a layer that is in the store or pinned."""
    with raw.path.open("rb") as file:
        compression = compression_of(file.read(_MAGIC_BYTES))
    blob = blobs.Blob(raw.digest, diff_id, raw.size, compression)
    blobs.add(store, blob, raw.path)
    return blob


async def receive(
    store: Store,
    pieces: AsyncIterable[bytes],
    target: Path,
    *,
    max_bytes: int = limits.MAX_LAYER_BLOB_BYTES,
    progress: Callable[[int], None] = lambda _: None,
) -> Received:
    """Write all pieces to ``target`` (new).

    Raises:
        InvalidRequest: more than ``max_bytes`` come. OSError: ENOSPC and its kin.
    """
    sha, size, watch = hashlib.sha256(), 0, Watch(target.parent)
    with target.open("xb", buffering=0) as file:

        def write(piece: bytes) -> None:
            watch.take(len(piece))
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
            sha.update(piece)

        async for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise InvalidRequest(f"the archive is longer than {max_bytes} bytes")
            await asyncio.to_thread(write, piece)
            progress(size)
    return Received(target, f"sha256:{sha.hexdigest()}", size)


@contextmanager
def scratch_file(store: Store, suffix: str) -> Iterator[Path]:
    """The path of a file in the making; the file is not there afterwards."""
    path = store.tmp / f"{secrets.token_hex(8)}{suffix}"
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


@contextmanager
def storage_errors(store: Store, what: str) -> Iterator[None]:
    """The block's errors are told as failures to store ``what``.

    Raises:
        BadLayer, HyperError
    """
    try:
        yield
    except BadLayer as error:
        raise BadLayer(f"{what}: {error.message}") from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise HyperError(
                f"no space left on device while storing {what}",
                hint=f"free some space in {store.root}, or remove images",
            ) from error
        raise HyperError(f"cannot store {what}: {reason(error)}") from error


def sync(path: Path) -> None:
    """The bytes written to ``path`` are on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
