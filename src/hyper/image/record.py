"""Records that the image layer gives others: images, origin, progress, history, usage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyper.types.oci import ImageConfig


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image of the store, as it was when asked for."""

    #: ``sha256:…``, the digest of the configuration.
    id: str
    #: As Docker prints them: ``nginx:latest``; ``nginx@sha256:…``. Sorted.
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    config: ImageConfig
    raw_config: bytes
    #: RFC 3339, as the configuration has it; "" if it does not say.
    created: str
    #: Bytes of all files, unpacked.
    size: int
    architecture: str
    os: str
    #: diff ids, lowest first, and the squashfs of each.
    layers: tuple[str, ...]
    layer_paths: tuple[Path, ...]
    #: The id of the image it was made from on this host, "" if none.
    parent: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of an image: how it came here, and when."""

    #: registry, docker, podman (or another name that an engine of this host has for itself), archive, aci, made (here).
    kind: str
    #: The registry's name of the image, the engine's socket, or "".
    place: str = ""
    #: Until the image could be used.
    took_ms: int = 0
    #: When it came, since 1970.
    at_ns: int = 0


@dataclass(frozen=True, slots=True)
class PullEvent:
    """A line of progress in Docker's words. ``id`` is a layer's short id, a tag, or "" for a remark."""

    id: str
    status: str
    current: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A build step, as ``docker history`` shows it (newest first). ``id`` is "<missing>" but for the first."""

    id: str
    created: str
    created_by: str
    comment: str
    size: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer of the store."""

    diff_id: str
    content_bytes: int
    file_bytes: int
    entries: int
    opaque: bool
    empty: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """The disk usage of images. ``shared``: per image id, bytes of layers that other images have too."""

    layers_bytes: int
    disk_bytes: int
    shared: dict[str, int]
