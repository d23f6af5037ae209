"""One image out of a folder or an archive: the files the daemon needs, as a tar archive that `hyper load` reads.

Source: OCI image-spec image-layout.md; Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass

import msgspec

from hyper.cli.flags import LocalError
from hyper.cli.reference import familiar, full_name
from hyper.errors import InvalidRequest
from hyper.types.oci import (
    INDEX_TYPES,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    decode_index,
    decode_manifest,
    kind_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hyper.cli.imagebox import Box

_BLOCK = 512
#: Annotations of an index's entries that name the image, containerd's and OCI's.
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class _Item(msgspec.Struct, rename="pascal"):
    """An entry of manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of an archive to send: documents, and files of the box under their names there.

    ``image_id``: the id the image will have; "" where the daemon chooses among several.
    """

    image_id: str
    documents: tuple[tuple[str, bytes], ...]
    files: tuple[str, ...]


def plan_oci(box: Box, choice: str, architecture: Callable[[], str]) -> Plan:
    """The image of an OCI layout that ``choice`` (a tag or name, "" for the only one) means.

    ``architecture``: of the daemon's machine, asked for where it matters.

    Raises:
        LocalError: the box is no layout or a broken one, has no such image, or several and none was chosen.
    """
    if not box.has("index.json"):
        raise LocalError(f"{box.path} is no OCI image layout: it has no index.json")
    try:
        entries = decode_index(_document(box, "index.json")).manifests or ()
        entry = _chosen(box, entries, choice, architecture)
        configs, files = _reached(box, entry, architecture)
    except InvalidRequest as error:
        raise LocalError(f"{box.path}: {error.message}") from error
    index = {"schemaVersion": 2, "manifests": [_without_nothing(msgspec.to_builtins(entry))]}
    documents = (
        ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        ("index.json", json.dumps(index).encode()),
    )
    return Plan(configs[0] if len(configs) == 1 else "", documents, tuple(dict.fromkeys(files)))


def _chosen(
    box: Box, entries: Sequence[Descriptor], choice: str, architecture: Callable[[], str]
) -> Descriptor:
    fitting = [entry for entry in entries if not choice or _is_called(entry, choice)]
    if len({entry.digest for entry in fitting}) > 1:
        ours = architecture()
        fitting = [
            entry for entry in fitting if entry.platform and entry.platform.architecture == ours
        ] or fitting
    names = sorted({name for entry in entries for name in _called(entry)})
    if not fitting:
        what = f"no image {choice!r}" if choice else "no image"
        raise LocalError(f"{box.path} has {what}", hint=_has(names))
    if len({entry.digest for entry in fitting}) > 1:
        raise LocalError(
            f"{box.path} has several images: say which, after a colon", hint=_has(names)
        )
    return fitting[0]


def _called(entry: Descriptor) -> list[str]:
    annotations = entry.annotations or {}
    return [annotations[key] for key in _NAMES if key in annotations]


def _is_called(entry: Descriptor, choice: str) -> bool:
    return any(name == choice or _full(name) == _full(choice) for name in _called(entry))


def _reached(
    box: Box, entry: Descriptor, architecture: Callable[[], str]
) -> tuple[list[str], list[str]]:
    """The configurations that an entry leads to, and every file on the way there."""
    name = _blob(entry.digest)
    data = _document(box, name)
    if kind_of(data, entry.media_type) in INDEX_TYPES:
        children = [one for one in decode_index(data).manifests or () if box.has(_blob(one.digest))]
        ours = architecture()
        here = [one for one in children if one.platform and one.platform.architecture == ours]
        if not here:
            raise LocalError(f"{box.path} has no image for linux/{ours}")
        configs, files = [], [name]
        for child in here:
            more = _of_manifest(_document(box, _blob(child.digest)))
            configs.append(more[0])
            files += [_blob(child.digest), *more[1]]
        return configs, files
    config, files = _of_manifest(data)
    return [config], [name, *files]


def _of_manifest(data: bytes) -> tuple[str, list[str]]:
    manifest = decode_manifest(data)
    config = manifest.config.digest
    return config, [_blob(config), *(_blob(layer.digest) for layer in manifest.layers or ())]


def plan_docker(box: Box, choice: str) -> Plan:
    """The image of a ``docker save`` archive that ``choice`` (a name, "" for the only image) means.

    Raises:
        LocalError: the box is no such archive or a broken one, has no such image, or several and none was chosen.
    """
    if not box.has("manifest.json"):
        raise LocalError(f"{box.path} is no archive of docker save: it has no manifest.json")
    try:
        items = msgspec.json.decode(_document(box, "manifest.json"), type=list[_Item])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise LocalError(f"{box.path}: invalid manifest.json: {error}") from error
    names = sorted({name for item in items for name in item.repo_tags or ()})
    fitting = [
        item
        for item in items
        if not choice or _full(choice) in [_full(tag) for tag in item.repo_tags or ()]
    ]
    if not fitting:
        what = f"no image {choice!r}" if choice else "no image"
        raise LocalError(f"{box.path} has {what}", hint=_has(names))
    if len(fitting) > 1:
        raise LocalError(
            f"{box.path} has several images: say which, after a colon", hint=_has(names)
        )
    item = fitting[0]
    tags = [tag for tag in item.repo_tags or () if not choice or _full(tag) == _full(choice)]
    config = _document(box, item.config)
    layers = item.layers or []
    listed = {"Config": item.config, "RepoTags": tags or None, "Layers": layers}
    documents = (("manifest.json", json.dumps([listed]).encode()), (item.config, config))
    image_id = f"sha256:{hashlib.sha256(config).hexdigest()}"
    return Plan(image_id, documents, tuple(dict.fromkeys(layers)))


def archive(box: Box, plan: Plan) -> Iterator[bytes]:
    """The tar archive of a plan, piece by piece.

    Raises:
        LocalError: a file is missing, or changes while it is read.
    """
    for name, data in plan.documents:
        yield _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)
    # In the order of the archive: going back in a compressed one means to begin again.
    for (_, size), name in sorted((box.place(name), name) for name in plan.files):
        yield _header(name, size)
        left = size
        for piece in box.pieces(name):
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise LocalError(f"{box.path}: {name} changed while it was read")
        yield bytes(-size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _document(box: Box, name: str) -> bytes:
    _, size = box.place(name)
    if size > MAX_DOCUMENT_BYTES:
        raise LocalError(f"{box.path}: {name} is too long: {size} bytes")
    return b"".join(box.pieces(name))


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _full(name: str) -> str:
    return familiar(full_name(name))


def _has(names: Sequence[str]) -> str:
    return f"it has: {', '.join(names)}"[:500] if names else "its images have no names"


def _without_nothing(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    return value
