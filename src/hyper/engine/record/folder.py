"""Files that are kept of one container beside its record: the tree below its folder.

<data root>/containers/<id>/
    scratch.ext4    the writable layer, a sparse disk image; shared with the machine while it runs
    log             its programs' output (output/log_file.py); rotated: log, log.1, log.2…, the oldest first
    files.json      files that were put into a pod's container, as the agent is told of them; few containers have one
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ContainerFolder:
    """The folder of one container. Its files are there from the container's creation to its removal."""

    path: Path

    @property
    def scratch(self) -> Path:
        """The disk image of the writable layer. A container is whole once it is there."""
        return self.path / "scratch.ext4"

    @property
    def log(self) -> Path:
        """The log of the programs' output."""
        return self.path / "log"

    @property
    def files(self) -> Path:
        """Files that were put into a pod's container, as JSON."""
        return self.path / "files.json"
