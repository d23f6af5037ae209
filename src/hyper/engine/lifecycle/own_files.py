"""Files that were put into a pod's container: kept in its folder, brought into its root at each start."""

from __future__ import annotations

import msgspec

from hyper.engine.record.folder import ContainerFolder
from hyper.proto.message import File
from hyper.system.files import write_atomically


def keep(folder: ContainerFolder, files: list[File]) -> None:
    """The files that are put into a container are kept with it. Raises: OSError."""
    write_atomically(folder.files, msgspec.json.encode(files))


def read(folder: ContainerFolder) -> tuple[File, ...]:
    """The files that are put into a container; few have any."""
    try:
        data = folder.files.read_bytes()
    except FileNotFoundError:
        return ()
    return tuple(msgspec.json.decode(data, type=list[File]))
