"""What every use case works with, built once by the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hyper.config import Config
from hyper.engine.attachment import Attachments
from hyper.engine.events import EventBus
from hyper.engine.identities import Identities
from hyper.engine.starts import Starts
from hyper.engine.store import Store
from hyper.engine.tasks import Tasks
from hyper.engine.volumes import Volumes
from hyper.engine.wires import Wires
from hyper.image.images import Images
from hyper.machine.driver import Driver
from hyper.sandbox.scratch import ScratchDisks
from hyper.sandbox.starter import Starter
from hyper.system import jail

#: Unprivileged identities of machines when the daemon is root: one each, none in /etc/passwd. Every daemon of a host
#: has a range of its own (one of 4096, above what probes share), so that two daemons' machines are strangers too.
_FIRST_UID: Final = jail.FIRST_MACHINE_UID + jail.MACHINE_UID_COUNT
_UIDS_PER_DAEMON: Final = 16384
#: The last of them: for machines that exist before their container does.
_EARLY_UIDS: Final = 4096


def machine_uids(daemon_id: str) -> range:
    """The identities a daemon gives to its machines."""
    first = _FIRST_UID + int(daemon_id[:3], 16) * _UIDS_PER_DAEMON
    return range(first, first + _UIDS_PER_DAEMON)


def container_uids(daemon_id: str) -> range:
    """Those of machines that are made for a container."""
    return machine_uids(daemon_id)[:-_EARLY_UIDS]


def early_uids(daemon_id: str) -> range:
    """Those of machines that exist before their container does."""
    return machine_uids(daemon_id)[-_EARLY_UIDS:]


@dataclass(frozen=True, slots=True)
class Host:
    """The parts of the daemon. ``privileged``: it runs as root."""

    config: Config
    store: Store
    images: Images
    driver: Driver
    scratch: ScratchDisks
    volumes: Volumes
    attachments: Attachments
    events: EventBus
    tasks: Tasks
    privileged: bool
    wires: Wires
    identities: Identities
    starter: Starter
    starts: Starts

    def container_dir(self, container_id: str) -> Path:
        """Where a container's scratch disk and log are kept."""
        return self.config.data_root / "containers" / container_id

    def run_dir(self, container_id: str) -> Path:
        """Where a running machine's sockets are; short, since socket paths must be < 108 bytes."""
        return self.config.exec_root / "vm" / container_id[:16]
