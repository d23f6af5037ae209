"""The prune of images (``docker image prune``): those that no container uses go.

Source: moby daemon/images/image_prune.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyper.errors import Conflict
from hyper.image import query, removal
from hyper.image.record import ImageRecord
from hyper.image.store import Store, chain_ids

Wanted = Callable[[ImageRecord], bool]


def prune(
    store: Store, wanted: Wanted, users: removal.Users, tell: removal.Tell, *, dangling: bool
) -> tuple[removal.Records, int]:
    """Remove the images that are ``wanted`` and that no container uses: what was done, and the bytes that went.

    ``dangling``: only those without a tag.
    """
    sizes = _layer_sizes(store)
    records: removal.Records = []
    for image in query.all_images(store):
        if (dangling and image.repo_tags) or users(image.id) or not wanted(image):
            continue
        names = store.references(image.id)
        if not names and removal.children(store, image.id):
            continue
        for name in [one.familiar for one in names] or [image.id]:
            request = removal.Request(name, image.id, False, True, users, lambda _: [], tell)
            records += _remove(store, request)
    freed = sum(sizes.get(record.get("Deleted", ""), 0) for record in records)
    return records, freed


def _remove(store: Store, request: removal.Request) -> removal.Records:
    if not query.by_prefix(store, request.image_id.removeprefix("sha256:")):
        return []  # gone with a child of its
    try:
        return removal.remove(store, request)
    except Conflict:
        return []  # somebody needs it, or has begun to


def _layer_sizes(store: Store) -> dict[str, int]:
    """The bytes of each layer by the chain ids it has in images."""
    sizes: dict[str, int] = {}
    for image in query.all_images(store):
        for chain, size in _chain_sizes(store, image.layers):
            sizes[chain] = size
    return sizes


def _chain_sizes(store: Store, layers: Iterable[str]) -> Iterable[tuple[str, int]]:
    diff_ids = list(layers)
    infos = [store.layer(diff_id) for diff_id in diff_ids]
    return [
        (chain, info.content_bytes)
        for chain, info in zip(chain_ids(diff_ids), infos, strict=True)
        if info is not None
    ]
