"""``docker load``: images from an archive, as ``docker save`` of any age or an OCI layout has them.

Source: moby image/tarexport/load.go; containerd core/images/archive/exporter.go (what Docker with containerd's image
store saves); OCI image-spec image-layout.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from hyper import ids
from hyper.errors import HyperError, InvalidRequest
from hyper.image import limits
from hyper.image import platform as platforms
from hyper.image.archive import Archive
from hyper.image.layer import Received, keep_layer, storage_errors
from hyper.image.origin import Finish
from hyper.image.record import PullEvent
from hyper.image.reference import Reference, parse
from hyper.image.shared import in_parallel
from hyper.image.squash import Bounds
from hyper.image.store import Store
from hyper.types.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    ImageConfig,
    decode_config,
    decode_index,
    decode_manifest,
    kind_of,
)

#: Annotations of an index's entries that name the image.
IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
#: On the entry of what is said about an image (a signature): the manifest that it is about.
_SUBJECT = "io.containerd.manifest.subject"
_MAX_IMAGES = 1000


class _Item(msgspec.Struct, rename="pascal"):
    """An entry of manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image of an archive. ``manifest``: b"" if the archive has none."""

    raw_config: bytes
    config: ImageConfig
    layers: tuple[Received, ...]
    manifest: bytes = b""
    names: list[Reference] = field(default_factory=list)

    @property
    def image_id(self) -> str:
        """The id that the image will have."""
        return f"sha256:{sha256(self.raw_config).hexdigest()}"


def candidates(archive: Archive) -> list[Candidate]:
    """The images of an archive.

    Raises:
        InvalidRequest: the archive has none, or what it says of them is broken.
    """
    found = _from_index(archive) if archive.has("index.json") else []
    if archive.has("manifest.json"):
        manifests = {one.image_id: one.manifest for one in found}
        return _from_manifest_json(archive, manifests)
    if not found:
        raise InvalidRequest(
            "invalid archive: does not contain a manifest.json or an index.json with an image"
        )
    return found


def proof(archive: Archive, digest: str, image: Candidate) -> bytes | None:
    """The image's manifest, if ``digest`` is that manifest's or that of an index which lists it; None otherwise.

    Raises:
        InvalidRequest: a manifest or an index on the way is broken.
    """
    if not archive.has(_blob(digest)):
        return None
    data = archive.document(_blob(digest))
    manifests = [data]
    if kind_of(data, "") in INDEX_TYPES:
        listed = [_blob(one.digest) for one in decode_index(data).manifests or ()]
        manifests = [archive.document(name) for name in listed if archive.has(name)]
    return next((one for one in manifests if _is_of(one, image)), None)


def _is_of(data: bytes, image: Candidate) -> bool:
    if kind_of(data, "") not in MANIFEST_TYPES:
        return False
    manifest = decode_manifest(data)
    layers = [layer.digest for layer in manifest.layers or ()]
    return (manifest.config.digest, layers) == (
        image.image_id,
        [one.digest for one in image.layers],
    )


def _from_manifest_json(archive: Archive, manifests: dict[str, bytes]) -> list[Candidate]:
    try:
        items = msgspec.json.decode(archive.document("manifest.json"), type=list[_Item])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"invalid manifest.json: {error}") from None
    _check_count(len(items))
    found = []
    for item in items:
        raw = archive.document(item.config)
        layers = tuple(archive.file(name) for name in item.layers or ())
        names = [_tag(text) for text in item.repo_tags or ()]
        image = Candidate(raw, _checked(raw, len(layers)), layers, b"", names)
        known = manifests.get(image.image_id, b"")
        found.append(Candidate(raw, image.config, layers, known, names))
    return found


def _from_index(archive: Archive) -> list[Candidate]:
    """The images of an index. An image of several names has an entry for each."""
    entries = decode_index(archive.document("index.json")).manifests or ()
    _check_count(len(entries))
    found: dict[str, Candidate] = {}
    for entry in entries:
        image = _from_descriptor(archive, entry)
        if image is not None:
            known = found.setdefault(image.image_id, image)
            known.names.extend(_annotated(entry))
    return list(found.values())


def _from_descriptor(archive: Archive, entry: Descriptor) -> Candidate | None:
    """The image an entry leads to; None for what is none for any machine (attestations, signatures), or not in the
    archive.
    """
    if _SUBJECT in (entry.annotations or {}):
        return None
    data = archive.document(_blob(entry.digest))
    kind = kind_of(data, entry.media_type)
    if kind in INDEX_TYPES:
        inner = [
            one for one in decode_index(data).manifests or () if archive.has(_blob(one.digest))
        ]
        chosen = platforms.choose(inner, platforms.host())
        if chosen is None:
            return None
        data = archive.document(_blob(chosen.digest))
        kind = kind_of(data, chosen.media_type)
    if kind not in MANIFEST_TYPES:
        raise InvalidRequest(f'unsupported manifest media type "{kind[:100]}"')
    manifest = decode_manifest(data)
    raw = archive.document(_blob(manifest.config.digest))
    layers = tuple(archive.file(_blob(layer.digest)) for layer in manifest.layers or ())
    return Candidate(raw, _checked(raw, len(layers)), layers, data)


def _checked(raw: bytes, layers: int) -> ImageConfig:
    config = decode_config(raw)
    if config.os not in ("", "linux"):
        raise InvalidRequest(f"cannot load {config.os[:50]} image on linux")
    if len(config.diff_ids) != layers:
        raise InvalidRequest(
            f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, got {layers}"
        )
    return config


def _check_count(count: int) -> None:
    if count > _MAX_IMAGES:
        raise InvalidRequest(f"invalid archive: {count} images (at most {_MAX_IMAGES})")


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _tag(text: str) -> Reference:
    reference = parse(text)
    if reference.tag is None or reference.digest is not None:
        raise InvalidRequest(f"invalid tag {text[:200]!r}")
    return reference


def _annotated(entry: Descriptor) -> list[Reference]:
    """The name of an entry, if it is a whole one and not just a tag."""
    annotations = entry.annotations or {}
    text = annotations.get(IMAGE_NAME) or annotations.get(REF_NAME, "")
    return [_tag(text)] if ":" in text else []


async def load(
    store: Store,
    bounds: Bounds,
    image: Candidate,
    finish: Finish,
    progress: Callable[[PullEvent], None],
) -> None:
    """The image is here with its names, or nothing new is.

    Raises:
        InvalidRequest: a layer is broken, hostile, or not what the configuration says. HyperError: no space…
    """
    with ExitStack() as pins:
        pins.enter_context(store.pinned(image.config.diff_ids))
        wanted = dict(zip(image.config.diff_ids, image.layers, strict=True))
        missing = [diff_id for diff_id in wanted if store.layer(diff_id) is None]
        try:
            await in_parallel(
                limits.PARALLEL_LAYERS,
                [_load_layer(store, bounds, one, wanted[one], pins, progress) for one in missing],
            )
            await asyncio.to_thread(
                store.add_image,
                image.image_id,
                image.raw_config,
                image.manifest,
                image.config.diff_ids,
                origin=finish(),
            )
            for name in image.names:
                await asyncio.to_thread(store.set_reference, name, image.image_id)
        except BaseException:
            pins.close()
            store.collect()
            raise


async def _load_layer(
    store: Store,
    bounds: Bounds,
    diff_id: str,
    raw: Received,
    pins: ExitStack,
    progress: Callable[[PullEvent], None],
) -> None:
    short = ids.short_id(diff_id)
    progress(PullEvent(short, "Loading layer", 0, raw.size))
    with storage_errors(store, f"layer {short}"):
        if not raw.path.exists():
            raise HyperError(f"layer {short}: the archive has one file for two layers")
        await keep_layer(
            store,
            bounds,
            raw,
            pins,
            promised=diff_id,
            progress=lambda done: progress(PullEvent(short, "Loading layer", done, raw.size)),
        )
    progress(PullEvent(short, "Loading layer", raw.size, raw.size))
