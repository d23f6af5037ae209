"""New images of this host: a configuration, layers that are there, and perhaps one more that comes as a tar.

Commit and import both give a recipe, and `Images.assemble` makes the image of it, whole or not at all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hyper.image.layer import keep_layer, receive, scratch_file, storage_errors
from hyper.image.record import Origin
from hyper.image.reference import Reference
from hyper.image.squash import Bounds
from hyper.image.store import Store
from hyper.types.oci import decode_config


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe: an image to be."""

    #: The image configuration (a JSON object as in the OCI image-spec); its ``rootfs`` is filled in.
    config: dict[str, Any]
    #: Diff ids of layers in the store, lowest first (`ImageRecord.layers`).
    layers: tuple[str, ...] = ()
    #: One more layer on top, a tar stream as the OCI image-spec has layers (whiteouts as ``.wh.`` files), compressed
    #: or not; None: none.
    tar: AsyncIterable[bytes] | None = None
    #: The id of the image that the image is made from, "" for none.
    parent: str = ""
    #: The tag that the image gets; None: none.
    name: Reference | None = None


async def assemble(
    store: Store, bounds: Bounds, recipe: Recipe, progress: Callable[[int], None]
) -> str:
    """The image's id; it is recorded and on disk.

    Raises:
        InvalidRequest: the tar (BadLayer) or the configuration is broken. HyperError: no space…
    """
    with ExitStack() as pins:
        pins.enter_context(store.pinned(recipe.layers))
        layers = list(recipe.layers)
        try:
            if recipe.tar is not None:
                layers.append(await _add_layer(store, bounds, recipe.tar, pins, progress))
            config = finished_config(recipe.config, layers)
            image_id = f"sha256:{sha256(config).hexdigest()}"
            await asyncio.to_thread(
                store.add_image,
                image_id,
                config,
                b"",
                layers,
                origin=Origin("made"),
                parent=recipe.parent,
            )
            if recipe.name is not None:
                await asyncio.to_thread(store.set_reference, recipe.name, image_id)
        except BaseException:
            pins.close()
            store.collect()
            raise
    return image_id


def finished_config(config: dict[str, Any], layers: list[str]) -> bytes:
    """The bytes of an image configuration with these layers.

    Raises:
        InvalidRequest: something in it has the wrong type, or it is too long.
    """
    whole = {**config, "rootfs": {"type": "layers", "diff_ids": layers}}
    data = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    decode_config(data)
    return data


async def _add_layer(
    store: Store,
    bounds: Bounds,
    tar: AsyncIterable[bytes],
    pins: ExitStack,
    progress: Callable[[int], None],
) -> str:
    with storage_errors(store, "the new layer"), scratch_file(store, ".blob") as target:
        raw = await receive(store, tar, target, progress=progress)
        facts = await keep_layer(store, bounds, raw, pins)
    return facts.diff_id
