"""Saved images (``docker save``) as one tar stream: an OCI layout and what older Dockers read, in one.

Layers are written as they came, compressed or not, so that manifests keep their digests; ``docker load`` of every age,
skopeo and podman unpack either. Source: moby image/tarexport/save.go; OCI image-spec image-layout.md.
"""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyper.image import blobs
from hyper.image.load import IMAGE_NAME, REF_NAME
from hyper.image.originals import Original
from hyper.image.reference import Reference
from hyper.image.store import Store
from hyper.types.oci import OCI_INDEX

_CHUNK = 1 << 20
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Saved:
    """An image to save, the tags it is saved with, and when it was made (seconds since 1970, 0: not known)."""

    image: Original
    names: list[Reference]
    created_s: int = 0


async def archive(store: Store, images: list[Saved]) -> AsyncIterator[bytes]:
    """The tar, piece by piece; the layers are pinned until it ends."""
    written: set[str] = set()
    for saved in images:
        image = saved.image
        for digest, data in ((image.image_id, image.config), (image.digest, image.manifest)):
            if digest not in written:
                written.add(digest)
                yield _document(_blob(digest), data, saved.created_s)
        for layer in image.layers:
            if layer.digest not in written:
                written.add(layer.digest)
                yield _header(_blob(layer.digest), layer.size, saved.created_s)
                async for piece in _pieces(blobs.path(store, layer.digest)):
                    yield piece
                yield bytes(-layer.size % _BLOCK)
    for name, content in _directories(images):
        yield _document(name, json.dumps(content, separators=(",", ":")).encode())
    yield bytes(2 * _BLOCK)


def _directories(images: list[Saved]) -> Iterator[tuple[str, Any]]:
    """The files that describe the archive: index.json, oci-layout, manifest.json…"""
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(_index(images))}
    yield "index.json", index
    yield "oci-layout", {"imageLayoutVersion": "1.0.0"}
    yield (
        "manifest.json",
        [
            {
                "Config": _blob(saved.image.image_id),
                "RepoTags": [name.familiar for name in saved.names] or None,
                "Layers": [_blob(layer.digest) for layer in saved.image.layers],
            }
            for saved in images
        ],
    )
    repositories: dict[str, dict[str, str]] = {}
    for saved in images:
        top = saved.image.layers[-1].digest if saved.image.layers else saved.image.image_id
        for name in saved.names:
            tags = repositories.setdefault(name.familiar_name, {})
            tags[name.tag or ""] = top.removeprefix("sha256:")
    if repositories:
        yield "repositories", repositories


def _index(images: list[Saved]) -> Iterator[dict[str, Any]]:
    for saved in images:
        image = saved.image
        entry = {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": len(image.manifest),
        }
        for name in saved.names:
            yield {**entry, "annotations": {IMAGE_NAME: str(name), REF_NAME: name.tag}}
        if not saved.names:
            yield entry


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _document(name: str, data: bytes, time_s: int = 0) -> bytes:
    return _header(name, len(data), time_s) + data + bytes(-len(data) % _BLOCK)


def _header(name: str, size: int, time_s: int) -> bytes:
    """The header of a file. Directories have no time, as in Docker: the same images always make the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, time_s
    return info.tobuf(tarfile.GNU_FORMAT)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := await asyncio.to_thread(file.read, _CHUNK):
            yield piece
