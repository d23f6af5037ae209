"""Originals: all that a registry or an archive would hold of an image of the store: configuration, manifest, blobs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hyper.errors import HyperError, NotFound
from hyper.image import blobs, limits
from hyper.image.blobs import Blob
from hyper.image.decompress import chunks
from hyper.image.layer import Received, keep_blob, scratch_file, storage_errors, sync
from hyper.image.record import ImageRecord
from hyper.image.shared import in_parallel
from hyper.image.store import Store
from hyper.system.uninterrupted import uninterrupted
from hyper.types.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor, decode_manifest

#: What zlib's own default gains on this costs three times the time.
_LEVEL = 4
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_SUFFIXES = {"": "", "gzip": "+gzip", "zstd": "+zstd"}

#: Bring a blob again from where an image came from: (its descriptor, a file to write to).
Fetch = Callable[[Descriptor, Path], Awaitable[Received]]


@dataclass(frozen=True, slots=True)
class Original:
    """An original: an image as others exchange it. ``layers``: lowest first, all in the store."""

    manifest: bytes
    media_type: str
    config: bytes
    image_id: str
    layers: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"


async def original(
    store: Store, image: ImageRecord, manifest: bytes, fetch: Fetch, *, compressed: bool
) -> Original:
    """The original of an image, with all its blobs in the store; the caller has pinned its layers.

    The manifest is the one the image came with if its blobs can be had, else one of our own. ``compressed``: layers
    that came as a plain tar are compressed for a manifest of our own.

    Raises:
        NotFound: a layer's blob is not here and no registry that had it gives it again.
    """
    if manifest:
        parsed = decode_manifest(manifest)
        try:
            layers = await _as_promised(store, image, parsed.layers or (), fetch)
        except NotFound:
            if not all(blobs.of_layer(store, one) for one in image.layers):
                raise
        else:
            kind = parsed.media_type or OCI_MANIFEST
            return Original(manifest, kind, image.raw_config, image.id, layers)
    chosen = await in_parallel(
        limits.PARALLEL_LAYERS,
        [_any_blob(store, diff_id, compressed=compressed) for diff_id in image.layers],
    )
    made = _manifest(image, chosen)
    return Original(made, OCI_MANIFEST, image.raw_config, image.id, tuple(chosen))


async def _as_promised(
    store: Store, image: ImageRecord, descriptors: Iterable[Descriptor], fetch: Fetch
) -> tuple[Blob, ...]:
    pairs = list(zip(image.layers, descriptors, strict=True))
    found = await in_parallel(
        limits.PARALLEL_LAYERS,
        [_restored(store, descriptor, diff_id, fetch) for diff_id, descriptor in pairs],
    )
    return tuple(found)


async def _restored(store: Store, descriptor: Descriptor, diff_id: str, fetch: Fetch) -> Blob:
    known = blobs.get(store, descriptor.digest)
    if known is not None:
        return known
    what = f"layer {descriptor.digest}"
    with storage_errors(store, what), scratch_file(store, ".blob") as target:
        raw = await fetch(descriptor, target)
        found = await asyncio.to_thread(_diff_id, raw.path)
        if found != diff_id:
            raise HyperError(f"{what} unpacks to {found}, the image promises {diff_id}")
        return await uninterrupted(asyncio.to_thread(_kept, store, raw, diff_id))


async def _any_blob(store: Store, diff_id: str, *, compressed: bool) -> Blob:
    known = blobs.of_layer(store, diff_id)
    for blob in known:
        if blob.compression in _SUFFIXES and (blob.compression or not compressed):
            return blob
    if not known:
        raise NotFound(f"layer {diff_id} is not kept in the form it came in")
    with storage_errors(store, f"layer {diff_id}"), scratch_file(store, ".gz") as target:
        raw = await asyncio.to_thread(_gzip, blobs.path(store, known[0].digest), target)
        return await uninterrupted(asyncio.to_thread(_kept, store, raw, diff_id))


def _kept(store: Store, raw: Received, diff_id: str) -> Blob:
    sync(raw.path)
    return keep_blob(store, raw, diff_id)


def _diff_id(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for piece in chunks(file):
            sha.update(piece)
    return f"sha256:{sha.hexdigest()}"


def _gzip(source: Path, target: Path) -> Received:
    """The tar in ``source`` as gzip; the same bytes each time."""
    packer, sha, size = zlib.compressobj(_LEVEL, wbits=31), hashlib.sha256(), 0
    with source.open("rb", buffering=0) as file, target.open("xb") as output:

        def write(data: bytes) -> int:
            sha.update(data)
            output.write(data)
            return len(data)

        for piece in chunks(file):
            size += write(packer.compress(piece))
        size += write(packer.flush())
    return Received(target, f"sha256:{sha.hexdigest()}", size)


def _manifest(image: ImageRecord, layers: Iterable[Blob]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, image.id, len(image.raw_config)),
        "layers": [
            _descriptor(_LAYER_TYPE + _SUFFIXES[blob.compression], blob.digest, blob.size)
            for blob in layers
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}
