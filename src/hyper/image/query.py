"""Queries of the store: which image is meant, and what it looks like."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from hyper.errors import ImageNotFound, InvalidRequest, NotFound
from hyper.image import blobs
from hyper.image.aci import catalog
from hyper.image.record import HistoryItem, ImageRecord, Usage
from hyper.image.reference import Reference, named, parse
from hyper.image.store import Store
from hyper.types.oci import History, decode_config
from hyper.units import parse_timestamp_ns

_ID_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_MISSING = "<missing>"
#: The last second that a tar header can say.
_MAX_TIME_S = (1 << 33) - 1


def identify(store: Store, name_or_id: str) -> str:
    """The id of the visible image that ``name_or_id`` means: a full id, a reference, or the beginning of an id.

    Raises:
        NotFound: there is no such image. InvalidRequest: several begin so, or it can be no name.
    """
    match = _ID_PREFIX.fullmatch(name_or_id)
    of_aci = catalog.identify(store, name_or_id)
    if of_aci is not None:
        found = [of_aci]
    elif match is not None and len(match[1]) == 64:
        found = by_prefix(store, match[1])
    else:
        found = _by_reference(store, name_or_id)
        if not found and match is not None:
            found = by_prefix(store, match[1])
    if len(found) > 1:
        raise InvalidRequest(f"reference is ambiguous: {name_or_id}")
    if not found:
        raise ImageNotFound(f"No such image: {_shown(name_or_id)}")
    return found[0]


def by_prefix(store: Store, digits: str) -> list[str]:
    """The ids of up to two visible images that begin so."""
    query = "SELECT id FROM images WHERE visible AND id GLOB ? LIMIT 2"
    return [str(row[0]) for row in store.rows(query, f"sha256:{digits}*")]


def is_id_prefix(image_id: str, text: str) -> bool:
    """Whether ``text`` is the beginning of ``image_id``, with or without algorithm."""
    return bool(text) and (image_id.removeprefix("sha256:")).startswith(
        text.removeprefix("sha256:")
    )


def record(store: Store, image_id: str) -> ImageRecord:
    """The record of an image with all there is to know about it; the image must be there."""
    ((raw, parent),) = store.rows("SELECT config, parent FROM images WHERE id = ?", image_id)
    assert isinstance(raw, bytes)
    config = decode_config(raw)
    names = store.references(image_id)
    layers = tuple(store.layers_of(image_id))
    infos = [store.layer(diff_id) for diff_id in layers]
    return ImageRecord(
        id=image_id,
        repo_tags=tuple(name.familiar for name in names if name.tag is not None),
        repo_digests=tuple(name.familiar for name in names if name.digest is not None),
        config=config,
        raw_config=raw,
        created=config.created or "",
        size=sum(info.content_bytes for info in infos if info is not None),
        architecture=config.architecture,
        os=config.os or "linux",
        layers=layers,
        layer_paths=tuple(store.layer_path(diff_id) for diff_id in layers),
        parent=str(parent),
    )


def all_images(store: Store) -> list[ImageRecord]:
    """The visible images, newest first."""
    rows = store.rows("SELECT id FROM images WHERE visible")
    images = [record(store, str(row[0])) for row in rows]
    return sorted(images, key=lambda image: (image.created, image.id), reverse=True)


def history(store: Store, image: ImageRecord) -> list[HistoryItem]:
    """The build steps of an image, newest first, each with the size of its layer."""
    sizes = [info.content_bytes for one in image.layers if (info := store.layer(one))]
    steps = list(image.config.history or ())
    if sum(not step.empty_layer for step in steps) != len(sizes):
        steps = [History() for _ in sizes]  # a history that does not fit tells nothing
    left = iter(sizes)
    items = [
        HistoryItem(
            _MISSING,
            step.created or "",
            step.created_by or "",
            step.comment or "",
            0 if step.empty_layer else next(left),
            (),
        )
        for step in steps
    ]
    items.reverse()
    # The newest step is the image itself, and each before it the image that it was made from, as far as we know them.
    for number, known in zip(range(len(items)), _ancestry(store, image), strict=False):
        items[number] = replace(items[number], id=known.id, tags=known.repo_tags)
    return items


def _ancestry(store: Store, image: ImageRecord) -> Iterator[ImageRecord]:
    yield image
    while image.parent and by_prefix(store, image.parent.removeprefix("sha256:")):
        image = record(store, image.parent)
        yield image


def manifest(store: Store, image_id: str) -> bytes:
    """The manifest an image came with; b"" for one made here."""
    ((raw,),) = store.rows("SELECT manifest FROM images WHERE id = ?", image_id)
    assert isinstance(raw, bytes)
    return raw


def to_save(store: Store, names: Iterable[str]) -> dict[str, list[Reference]]:
    """The images that ``names`` mean to docker save, and the tags they are saved with.

    Raises: as `identify`.
    """
    chosen: dict[str, list[Reference]] = {}
    for text in names:
        for image_id, tag in _meant(store, text):
            tags = chosen.setdefault(image_id, [])
            if tag is not None and tag not in tags:
                tags.append(tag)
    return chosen


def to_push(store: Store, wanted: Reference) -> list[tuple[Reference, str]]:
    """The tags that ``wanted`` means to docker push, each with its image.

    Raises:
        NotFound: there are no such tags.
    """
    query = "SELECT tag, image_id FROM tags WHERE name = ? ORDER BY tag"
    found = [
        (named(wanted.name, tag=str(tag)), str(image_id))
        for tag, image_id in store.rows(query, wanted.name)
        if wanted.tag in (None, tag)
    ]
    if not found and wanted.tag is not None and store.rows(query, wanted.name):
        raise NotFound(f"tag does not exist: {wanted.familiar}")
    if not found:
        raise NotFound(f"An image does not exist locally with the tag: {wanted.familiar_name}")
    return found


def _meant(store: Store, text: str) -> list[tuple[str, Reference | None]]:
    if not _ID_PREFIX.fullmatch(text) or len(text) < 64:
        reference = parse(text)
        if reference.digest is None and reference.tag is None:
            query = "SELECT image_id, tag FROM tags WHERE name = ? ORDER BY tag"
            found = store.rows(query, reference.name)
            if found:
                return [(str(one), named(reference.name, tag=str(tag))) for one, tag in found]
        elif reference.digest is None and (known := store.resolve(reference)) is not None:
            return [(known, reference)]
    return [(identify(store, text), None)]


def tagged_ns(store: Store, image_id: str) -> int:
    """The time when an image last got a name; 0: never."""
    ((moment,),) = store.rows("SELECT tagged_ns FROM images WHERE id = ?", image_id)
    return int(str(moment))


def usage(store: Store) -> Usage:
    """The bytes that the layers take, and those of each image that it shares with another."""
    rows = store.rows("SELECT diff_id, content_bytes, file_bytes FROM layers")
    sizes = {str(row[0]): int(str(row[1])) for row in rows}
    files = sum(int(str(row[2])) for row in rows)
    files += sum(int(str(row[0])) for row in store.rows("SELECT file_bytes FROM merged"))
    files += blobs.disk_bytes(store)
    layers = {image.id: set(image.layers) for image in all_images(store)}
    users: dict[str, int] = dict.fromkeys(sizes, 0)
    for of_image in layers.values():
        for diff_id in of_image:
            users[diff_id] += 1
    shared = {
        image_id: sum(sizes[one] for one in of_image if users[one] > 1)
        for image_id, of_image in layers.items()
    }
    return Usage(sum(sizes.values()), files, shared)


def _by_reference(store: Store, text: str) -> list[str]:
    reference = parse(text).with_default_tag()
    if reference.digest is not None:
        # A tag beside the digest says nothing that the digest does not.
        reference = Reference(reference.domain, reference.path, None, reference.digest)
    found = store.resolve(reference)
    return [found] if found is not None else []


def _shown(name_or_id: str) -> str:
    if _ID_PREFIX.fullmatch(name_or_id) and name_or_id.startswith("sha256:"):
        return name_or_id
    if len(name_or_id) == 64 and _ID_PREFIX.fullmatch(name_or_id):
        return f"sha256:{name_or_id}"
    return parse(name_or_id).with_default_tag().familiar


def created_s(image: ImageRecord) -> int:
    """The time an image was made, by its own word, in seconds since 1970; 0 for none, nonsense and the far future."""
    try:
        found = parse_timestamp_ns(image.created, now_ns=time.time_ns()) // 10**9
    except ValueError:
        return 0
    return found if 0 <= found <= _MAX_TIME_S else 0
