"""A push (``docker push``): an image to a repository, in Docker's words.

Source: moby distribution/push_v2.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hyper import ids
from hyper.image import blobs, limits
from hyper.image.blobs import Blob
from hyper.image.originals import Original
from hyper.image.record import PullEvent
from hyper.image.reference import Reference
from hyper.image.registry import Registry
from hyper.image.shared import in_parallel
from hyper.image.store import Store
from hyper.image.upload import has_blob, mount_blob, send_blob, send_document, send_manifest
from hyper.types.oci import Descriptor

#: Repositories that are tried as sources of a layer.
MAX_MOUNTS = 4

Progress = Callable[[PullEvent], None]


async def push(
    store: Store, registry: Registry, name: Reference, image: Original, progress: Progress
) -> None:
    """The image ``name`` (with tag) is in its registry; that is remembered.

    Raises: as `Registry.manifest`.
    """
    layers = {layer.digest: layer for layer in image.layers}
    for layer in layers.values():
        progress(PullEvent(_short(layer), "Preparing"))
    pusher = _Pusher(store, registry, name, progress)
    await in_parallel(limits.PARALLEL_LAYERS, [pusher.layer(one) for one in layers.values()])
    config = Descriptor(image.image_id, len(image.config))
    if not await has_blob(registry, config.digest):
        await send_document(registry, config, image.config)
    await send_manifest(registry, name.tag or "", image.manifest, image.media_type)
    await asyncio.to_thread(_remember, store, name, image)
    progress(PullEvent("", f"{name.tag}: digest: {image.digest} size: {len(image.manifest)}"))


def _remember(store: Store, name: Reference, image: Original) -> None:
    had = [(layer.digest, layer.diff_id) for layer in image.layers]
    blobs.add_sources(store, name.name, had)
    store.set_reference(name.with_digest(image.digest), image.image_id)


def mount_candidates(store: Store, name: Reference, digest: str) -> list[str]:
    """The paths of other repositories of the same registry that had a blob."""
    found = [one.partition("/") for one in blobs.sources(store, digest)]
    paths = [path for domain, _, path in found if domain == name.domain and path != name.path]
    return paths[:MAX_MOUNTS]


class _Pusher:
    def __init__(
        self, store: Store, registry: Registry, name: Reference, progress: Progress
    ) -> None:
        self._store = store
        self._registry = registry
        self._name = name
        self._progress = progress

    async def layer(self, layer: Blob) -> None:
        """The layer is in the repository."""
        if await has_blob(self._registry, layer.digest):
            self._tell(layer, "Layer already exists")
            return
        others = mount_candidates(self._store, self._name, layer.digest)
        path = await mount_blob(self._registry, layer.digest, others)
        if path is not None:
            self._tell(layer, f"Mounted from {path}")
            return
        await send_blob(
            self._registry,
            Descriptor(layer.digest, layer.size),
            blobs.path(self._store, layer.digest),
            lambda done: self._tell(layer, "Pushing", done),
        )
        self._tell(layer, "Pushed")

    def _tell(self, layer: Blob, status: str, done: int = 0) -> None:
        total = layer.size if done else 0
        self._progress(PullEvent(_short(layer), status, done, total))


def _short(layer: Blob) -> str:
    """The short id of a layer that leaves: Docker shows its diff id."""
    return ids.short_id(layer.diff_id)
