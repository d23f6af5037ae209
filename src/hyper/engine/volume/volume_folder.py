"""Volumes on disk: a folder each, which is its own record. Nothing here knows of containers.

NAME/volume.json      what the volume is
NAME/…                what its driver keeps there (drivers.py)

A folder is made and removed under a name that is no volume's (``.new-…``, ``.old-…``), so that a killed daemon leaves
either the whole volume or something that the next one sweeps away.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hyper.engine.volume.volume_record import VolumeRecord
from hyper.errors import HyperError
from hyper.system import files

logger = logging.getLogger(__name__)

RECORD: Final = "volume.json"


class VolumeFolders:
    """The folder ``root`` of all volumes' folders; one daemon at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self) -> list[VolumeRecord]:
        """Records of all volumes; those that a killed daemon had begun to make or to remove are gone.

        Raises:
            HyperError: a record cannot be read: better no daemon than one that does not know its volumes.
        """
        self.root.mkdir(mode=0o700, exist_ok=True)
        found = []
        for folder in self.root.iterdir():
            if folder.name.startswith("."):
                logger.warning("volume folder %s is not whole: it is removed", folder.name)
                shutil.rmtree(folder)
            elif (folder / RECORD).exists():
                found.append(_read(folder / RECORD))
            else:
                logger.error("%s is no volume's folder: it is left alone", folder)
        return found

    def create(self, record: VolumeRecord, make: Callable[[Path], None]) -> None:
        """The volume's folder is there, whole: ``make`` has put into it what the volume has from the beginning.

        Raises:
            OSError: the folder could not be made; nothing is left.
        """
        draft = self.root / f".new-{secrets.token_hex(8)}"
        try:
            draft.mkdir(mode=0o700)
            make(draft)
            files.write_atomically(draft / RECORD, msgspec.json.encode(record), durable=False)
            draft.rename(self.root / record.name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        files.sync_dir(self.root)

    def save(self, record: VolumeRecord) -> None:
        """The volume's kept record is ``record``."""
        files.write_atomically(self.root / record.name / RECORD, msgspec.json.encode(record))

    def remove(self, record: VolumeRecord) -> None:
        """The volume is gone from the disk (of a BIND the host's directory stays)."""
        old = self.root / f".old-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            (self.root / record.name).rename(old)
            shutil.rmtree(old)


def _read(path: Path) -> VolumeRecord:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=VolumeRecord)
    except (OSError, msgspec.DecodeError) as error:
        raise HyperError(f"cannot read {path}: {error}") from error
    if record.name != path.parent.name:
        raise HyperError(f"{path} is the record of another volume: {record.name[:100]}")
    return record
