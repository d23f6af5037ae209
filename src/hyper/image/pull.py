"""A pull: from a reference to an image of the store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256

from hyper import ids
from hyper.errors import InvalidRequest, NotFound
from hyper.image import limits
from hyper.image import platform as platforms
from hyper.image.download import download
from hyper.image.layer import Received, keep_layer, scratch_file, storage_errors
from hyper.image.record import PullEvent
from hyper.image.reference import Reference
from hyper.image.registry import Registry
from hyper.image.shared import SharedWork, in_parallel
from hyper.image.squash import Bounds
from hyper.image.store import Store
from hyper.types.oci import (
    CONFIG_TYPES,
    DOCKER_SCHEMA1,
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    ImageConfig,
    Manifest,
    Platform,
    decode_config,
    decode_index,
    decode_manifest,
    kind_of,
)

Progress = Callable[[PullEvent], None]
#: (status, current, total) of one layer.
LayerEvent = tuple[str, int, int]
Jobs = SharedWork[str, LayerEvent, None]


@dataclass(frozen=True, slots=True)
class Found:
    """The image a reference leads to: the digest it is pinned by, and the image for our platform."""

    digest: str
    raw_manifest: bytes
    manifest: Manifest
    raw_config: bytes
    config: ImageConfig

    @property
    def image_id(self) -> str:
        """The image's id."""
        return self.manifest.config.digest

    def layers(self) -> list[tuple[str, Descriptor]]:
        """The (diff id, blob) of every layer, lowest first."""
        return list(zip(self.config.diff_ids, self.manifest.layers or (), strict=True))


async def find(registry: Registry, reference: Reference, wanted: Platform) -> Found:
    """The image for ``wanted`` that the reference leads to; manifests are read until it is known.

    Raises:
        NotFound: no such image, or none for this platform. InvalidRequest: documents that are broken.
        Unauthorized, Forbidden, Unavailable, VerificationFailed: as `Registry.manifest`.
    """
    data, content_type = await registry.manifest(reference.digest or reference.tag or "")
    digest = f"sha256:{sha256(data).hexdigest()}"
    kind = kind_of(data, content_type)
    if kind in INDEX_TYPES:
        entries = decode_index(data).manifests or ()
        chosen = platforms.choose(entries, wanted)
        if chosen is None:
            raise NotFound(
                f"no matching manifest for {platforms.show(wanted)} in the manifest list entries"
            )
        data, content_type = await registry.manifest(chosen.digest)
        kind = kind_of(data, content_type)
    if kind == DOCKER_SCHEMA1:
        raise InvalidRequest(
            f"{reference.familiar} has a schema 1 manifest, which is no longer supported"
        )
    if kind not in MANIFEST_TYPES:
        raise InvalidRequest(f'unsupported manifest media type "{kind[:100]}"')
    manifest = decode_manifest(data)
    if manifest.config.media_type not in ("", *CONFIG_TYPES):
        raise InvalidRequest(
            f'{reference.familiar} is no container image: its config is "{manifest.config.media_type[:100]}"'
        )
    raw = await registry.small_blob(manifest.config.digest, manifest.config.size)
    return Found(digest, data, manifest, raw, _checked_config(raw, manifest, reference))


def _checked_config(raw: bytes, manifest: Manifest, reference: Reference) -> ImageConfig:
    config = decode_config(raw)
    if config.os not in ("", "linux"):
        raise InvalidRequest(
            f'{reference.familiar}: image operating system "{config.os}" cannot be used on this platform'
        )
    if len(config.diff_ids) != len(manifest.layers or ()):
        raise InvalidRequest("layers from manifest don't match image configuration")
    return config


class LayerFetcher:
    """The fetcher of one pull's layers into the store, at most ``PARALLEL_LAYERS`` at a time."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        registry: Registry,
        bounds: Bounds,
        progress: Progress,
        *,
        keep_blobs: bool,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._registry = registry
        self._bounds = bounds
        self._progress = progress
        self._keep_blobs = keep_blobs

    async def fetch(self, layers: list[tuple[str, Descriptor]]) -> None:
        """Return when all layers are in the store. The first failure ends the others.

        Raises:
            HyperError: whatever befell a layer, naming it.
        """
        blobs = dict(layers)
        for diff_id, blob in blobs.items():
            known = self._store.layer(diff_id) is not None
            self._tell(blob, ("Already exists" if known else "Pulling fs layer", 0, 0))
        missing = [diff_id for diff_id in blobs if self._store.layer(diff_id) is None]
        work = [self._one(diff_id, blobs[diff_id]) for diff_id in missing]
        await in_parallel(limits.PARALLEL_LAYERS, work)

    async def _one(self, diff_id: str, blob: Descriptor) -> None:
        await self._jobs.run(
            diff_id,
            lambda tell: self._bring(diff_id, blob, tell),
            lambda event: self._tell(blob, event),
        )

    async def _bring(
        self, diff_id: str, blob: Descriptor, tell: Callable[[LayerEvent], None]
    ) -> None:
        if self._store.layer(diff_id) is not None:
            tell(("Already exists", 0, 0))
            return
        with ExitStack() as pins:
            pins.enter_context(storage_errors(self._store, f"layer {blob.digest}"))
            pins.enter_context(self._store.pinned([diff_id]))
            raw = pins.enter_context(scratch_file(self._store, ".blob"))
            await download(
                self._registry, blob, raw, lambda done: tell(("Downloading", done, blob.size))
            )
            tell(("Download complete", 0, 0))
            await keep_layer(
                self._store,
                self._bounds,
                Received(raw, blob.digest, raw.stat().st_size),
                pins,
                promised=diff_id,
                keep_blob=self._keep_blobs,
                progress=lambda done: tell(("Extracting", done, blob.size)),
            )
        tell(("Pull complete", 0, 0))

    def _tell(self, blob: Descriptor, event: LayerEvent) -> None:
        status, current, total = event
        self._progress(PullEvent(ids.short_id(blob.digest), status, current, total))


def pinned(reference: Reference, digest: str) -> Reference:
    """The reference with both its tag, if any, and the digest that was found."""
    return replace(reference, digest=digest)
