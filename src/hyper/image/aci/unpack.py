"""Workers that take an image apart or render one, with their files: the daemon's half."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hyper.image import limits
from hyper.image.aci import workers
from hyper.image.aci.manifest import ImageManifest, decode
from hyper.image.aci.render import Rendered
from hyper.image.aci.split import Parts
from hyper.image.layer import Received
from hyper.image.squash import Bounds

_SPLIT, _RENDER = "hyper.image.aci.split", "hyper.image.aci.render"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An unpacked image. ``layer``: the tar of its files."""

    image_id: str
    manifest: ImageManifest
    layer: Received


async def unpack(
    archive: Path,
    layer: Path,
    manifest: Path,
    *,
    bounds: Bounds,
    progress: Callable[[int], None] = lambda _: None,
) -> Unpacked:
    """The image in ``archive``; ``layer`` and ``manifest`` are new files, which the caller removes.

    ``progress`` gets the bytes of the archive used so far.

    Raises:
        BadLayer: it is no image, or broken or hostile. InvalidRequest: its manifest is. OSError: ENOSPC and its kin.
    """
    with archive.open("rb") as source, manifest.open("xb", buffering=0) as notes:
        options = {
            "manifest": notes.fileno(),
            # It becomes a blob of the store: that is the limit of what it may unpack to.
            "max_bytes": min(bounds.max_bytes, limits.MAX_LAYER_BLOB_BYTES),
            "max_entries": bounds.max_entries,
        }
        parts = await workers.write(
            _SPLIT,
            options,
            Parts,
            layer,
            stdin=source.fileno(),
            pass_fds=(notes.fileno(),),
            progress=progress,
        )
    checked = decode(manifest.read_bytes())
    return Unpacked(parts.image_id, checked, await asyncio.to_thread(_received, layer))


async def render(
    layers: Sequence[Path], target: Path, paths: Path, *, keep: Sequence[str], owners: Sequence[str]
) -> tuple[Received, Rendered]:
    """The union of ``layers`` (squashfs files, lowest first) with only ``keep`` (none: all) is the tar ``target``.

    ``owners``: files whose owners are told. ``target`` and ``paths`` are new files, which the caller removes.

    Raises:
        BadLayer: something that is named is not there. OSError: ENOSPC and its kin. HyperError: a layer is damaged.
    """
    paths.write_bytes(msgspec.json.encode(list(keep)))
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in (paths, *layers)]
        fds = [file.fileno() for file in files]
        options = {"paths": fds[0], "layers": fds[1:], "owners": list(owners)}
        found = await workers.write(_RENDER, options, Rendered, target, pass_fds=fds)
    return await asyncio.to_thread(_received, target), found


def _received(path: Path) -> Received:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            sha.update(piece)
        os.fsync(file.fileno())
        return Received(path, f"sha256:{sha.hexdigest()}", file.tell())
